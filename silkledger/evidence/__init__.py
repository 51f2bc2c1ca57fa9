"""Verification without I/O: bytes in, verdict out.

Everything here is a pure function of its arguments: no node, no service, no clock, no file. What a
bundle proves, how each step is checked and what is left unchecked is said in docs/formats/evidence.md
and docs/formats/verdict.md. Nothing here trusts a value because of where it came from.
"""
