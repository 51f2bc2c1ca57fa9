"""The reconciliation desk: importing statements, running the rules, keeping breaks."""
