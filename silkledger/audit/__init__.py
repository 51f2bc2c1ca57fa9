"""The auditor's replay: everything that the services claim, rebuilt from the chain and the log, and compared.

Guarantees: every block from genesis is verified (parent, bloom, rebuilt receipts root); every projection row
of the compared databases is computed a second time by the same pure functions and compared field by field.
Bytes that cannot be had are UNAVAILABLE, never guessed. On an engine with commit seals, with the auditor's
trust roots, every block was sealed by a quorum of the validators that these lead to. On one without, nothing
shows that the network agreed on the blocks; the report says which it is.
"""
