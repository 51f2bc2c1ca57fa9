"""Relaying authors' signed calls to the chain. The service pays and delivers; it cannot change what was
signed.
"""
