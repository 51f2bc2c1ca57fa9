"""The only code that talks to a node: deployment, the lane (writing), the follower (reading).

Everything else reads the projections that the follower fills, and writes by leaving an intent with a lane.
"""
