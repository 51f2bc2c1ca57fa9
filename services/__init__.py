"""The three services. Each is a process of its own, with its own database; none imports another."""

import silkledger as _before_grpc  # noqa: F401 # see there
