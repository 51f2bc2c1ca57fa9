"""Ledger events as a resumable stream, told with their reorgs and gaps."""
