"""Generators of the sample documents, one module for each. Each `make()` is a pure function."""
