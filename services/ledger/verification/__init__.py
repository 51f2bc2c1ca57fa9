"""Verdicts as of a block, by the same rules and check names as an evidence file, from this service's own
rows.
"""
