"""`silkledger demo`: the whole story on the real stack, one module for each chapter."""
