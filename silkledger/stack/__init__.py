"""The embedded stack: a whole Silkledger on one machine, for laptops, demonstrations and tests.

Guarantees: everything listens on 127.0.0.1 only; everything lives in one data directory; a stack that is
started again on the same directory goes on with the same ledger. Does not guarantee anything about safety
in production: its certificate authority's key, its governance key and its log key lie side by side on one
disk, and its chain has one validator and no seals. It says so whenever it starts.
"""
