"""What the log hands out: checkpoints, receipts, RFC 9162 proofs, entries, evidence."""
