"""Messages made of values."""
