"""Silkledger: a trade ledger that agencies, banks and auditors share without trusting whoever runs it."""
