"""Replays asked for over gRPC: operations that outlive the call and the process, done beside the service.

The replay itself is another program (`python -m silkledger.audit`). The service starts it at a lower
priority, tells it what to compare, and keeps its report: a replay starves nobody, and its code sees no key.
"""
