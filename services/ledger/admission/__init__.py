"""Admission: are these the caller's own statements, well formed, signed by a key in force, and accredited?

Checked against the follower's last final block. It is not a verdict: verdicts use the registration block.
"""
