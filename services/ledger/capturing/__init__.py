"""State proofs captured while the node still has the state, so that evidence can be had after it pruned."""
