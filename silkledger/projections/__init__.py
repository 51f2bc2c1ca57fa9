"""What is on chain, as tables: pure functions of the blocks, dropped and rebuilt at will.

Each module has tables, a `Projector` that fills them inside the follower's commit, and readers. Every row
carries its `block_number`, so that undoing a reorg is deleting; no row is ever changed. The services answer
from these tables, the auditor's replay fills them a second time and compares.
"""
