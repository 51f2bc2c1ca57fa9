"""Cosignatures of other operators' witnesses (C2SP tlog-witness) over this log's anchored heads."""
