"""Questions about the chain, answered as of a final block from the follower's projections."""
