"""Performance, as ratios within one run: machines are noisy, so nothing here is compared across runs."""

import silkledger as _before_grpc  # noqa: F401 # see there
