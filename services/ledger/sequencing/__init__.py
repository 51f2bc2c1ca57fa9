"""From accepted to anchored: entries get leaves, the tree grows, checkpoints are signed, heads go on
chain.
"""
