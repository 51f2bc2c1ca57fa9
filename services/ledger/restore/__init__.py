"""Giving the log back what an older database lacks: from a mirror of its entries, and from the chain.

`python -m services.ledger.restore MIRROR` with the service's own settings, while the service is stopped.
"""
