"""The SDK: what an agency's, a bank's or an auditor's program uses.

Keys stay here: documents are hashed and statements and calls are signed in this process; only digests and
signatures leave it. Every write carries a `request_id`, and a retry repeats the same one, so that a reply
lost on the way never becomes a second registration.
"""

from silkledger.client.audit import AuditClient
from silkledger.client.channel import Connection, Credentials
from silkledger.client.errors import FieldViolation, RpcFailed
from silkledger.client.events import EventStream, EventWish, Resumed
from silkledger.client.identity import IdentityClient
from silkledger.client.ledger import LedgerClient
from silkledger.client.settlement import SettlementClient

__all__ = [
    "AuditClient",
    "Connection",
    "Credentials",
    "EventStream",
    "EventWish",
    "FieldViolation",
    "IdentityClient",
    "LedgerClient",
    "Resumed",
    "RpcFailed",
    "SettlementClient",
]
