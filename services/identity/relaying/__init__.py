"""What every writing method shares: repeatable requests, and authors' signed calls taken for sending."""
