"""Signed status lists: taken from their issuers, recorded on chain by their own calls, given to anybody.

The service signs none. What it holds it never changes: a list is added under the next number of its series,
or not at all.
"""
