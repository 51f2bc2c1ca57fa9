"""The three services. Each is a process of its own, with its own database; none imports another."""
