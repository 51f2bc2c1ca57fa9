"""Mirrors of a log: its entries and tiles in a directory that any web server can serve (C2SP tlog-tiles).

Whoever holds a mirror can verify the log without its operator, and can give a log back what it lost.
"""
