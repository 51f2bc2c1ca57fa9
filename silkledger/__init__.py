"""Silkledger: a trade ledger that agencies, banks and auditors share without trusting whoever runs it."""

import os as _os

# gRPC reads this when it is imported, and no later. Its fork handlers, on unless told otherwise, wait up to a
# minute with the interpreter lock held, while a thread that greets a new connection waits for that lock: a
# service that starts another program would stand still (grpc/grpc issue 14258). Nothing here forks a process
# that goes on using gRPC, which is what the handlers are for.
_os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
