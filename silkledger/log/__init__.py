"""The transparency log's mathematics: RFC 9162 tree, C2SP tiles and checkpoints, RFC 9942 receipts, promises.

Pure: no I/O, no clock. Guarantees that what verifies was in the tree of that root under that key; does not
say that the root was ever anchored or final.
"""
