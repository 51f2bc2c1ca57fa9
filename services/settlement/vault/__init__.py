"""What the vault's messages say: payments' terms read again from the bytes, for an auditor."""
