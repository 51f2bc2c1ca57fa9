"""Verifiers that other people wrote: what the log emits must satisfy them too."""
