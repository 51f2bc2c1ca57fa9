"""The auditor's replay: everything that the services claim, rebuilt from the chain and the log, and compared.

Guarantees: every block from genesis is verified (parent, bloom, rebuilt receipts root); every projection row
of the compared databases is computed a second time by the same pure functions and compared field by field.
Bytes that cannot be had are UNAVAILABLE, never guessed. Does not show that the chain's consensus was honest:
that is what commit seals are for, and this engine may have none; the report says so.
"""
