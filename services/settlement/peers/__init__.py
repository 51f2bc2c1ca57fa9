"""What this service asks of others over gRPC: the identity service, and other banks' settlement services."""
