"""What the registries' provable histories mean: pure folds, for services, auditor and verifier alike.

The contracts keep one hash head per key and emit every record behind it (`histories`). Whoever holds all the
records of a key knows the whole, ordered, dated history of it; the modules here read such histories. They
do no I/O and trust nothing but the records handed in: proving the records is `silkledger.evidence`.
"""
