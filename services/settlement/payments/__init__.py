"""The payment side: what every change of a payment shares, what comes from other banks, what is read."""
