"""Each function makes one message. Bytes of signed objects go out exactly as they were stored."""

from __future__ import annotations

from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from services.ledger.domain import Anchored
from services.ledger.events import cursor as events
from services.ledger.events.arguments import arguments_json
from services.ledger.events.wishes import filter_of
from services.ledger.log_keys.changes import KeyStanding
from services.ledger.relay.relay import CallStanding
from services.ledger.use_cases import Registration, StatementView
from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.evidence.verdict import Verdict
from silkledger.evm.calls import NotConsumed
from silkledger.evm.contracts import ContractEvent
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.projections.calls import CallEvent, CallResult
from silkledger.values import BlockRef


def timestamp(ms: int) -> Timestamp:
    """From Unix milliseconds."""
    made = Timestamp()
    made.FromMilliseconds(ms)
    return made


def block(ref: BlockRef) -> chain.BlockRef:
    return chain.BlockRef(number=ref.number, hash=bytes(ref.hash), time=timestamp(ref.time * 1000))


def log_key(standing: KeyStanding) -> pb.LogKey:
    key = standing.key
    return pb.LogKey(
        verifier_key=standing.verifier_key,
        added_block=key.added_at,
        ended_block=key.ended_at,
        signs=standing.signs,
    )


def registration(accepted: Registration) -> bytes:
    """The serialised response, as it is stored with the request id."""
    ids = zip(accepted.statement_ids, accepted.new, strict=True)
    return pb.RegisterStatementsResponse(
        statements=[
            pb.RegisteredStatement(statement_id=item, already_registered=not new) for item, new in ids
        ],
        promise=accepted.promise,
        accepted_at=timestamp(accepted.accepted_ms),
        log_by=timestamp(accepted.log_by_ms),
        admission_block=block(accepted.admission),
    ).SerializeToString()


def manifest_registration(accepted: Registration) -> bytes:
    """The serialised response to a manifest, as it is stored with the request id."""
    return pb.RegisterManifestResponse(
        statement_id=accepted.statement_ids[0],
        already_registered=not accepted.new[0],
        promise=accepted.promise,
        accepted_at=timestamp(accepted.accepted_ms),
        log_by=timestamp(accepted.log_by_ms),
        admission_block=block(accepted.admission),
    ).SerializeToString()


def anchor(found: Anchored) -> pb.Anchor:
    return pb.Anchor(
        block=block(found.block), transaction_hash=found.tx_hash, tree_size=found.size, root=found.root
    )


def statement(view: StatementView) -> pb.Statement:
    """The entry's bytes are left out for who may not have them; what is public in the log is not."""
    row = view.entry
    made = pb.Statement(
        statement_id=row.statement_id,
        signed_statement=row.raw if view.readable else b"",
        issuer=row.issuer,
        subject=row.subject if view.readable else "",
        document_type=row.document_type,
        document_digest=row.document_digest,
        stage=int(view.stage),  # type: ignore[arg-type]
        accepted_at=timestamp(row.accepted_ms),
        supersedes=row.supersedes or b"",
    )
    if row.manifest_size is not None:
        made.manifest_size = row.manifest_size
    if row.document is not None:
        made.document_index = row.document.index
        made.document_leaf = row.document.leaf if view.readable else b""
    if row.leaf_index is not None:
        made.leaf_index = row.leaf_index
    if view.anchor is not None:
        made.anchor.CopyFrom(anchor(view.anchor))
    return made


def verdict(found: Verdict) -> chain.Verdict:
    made = chain.Verdict(
        outcome=int(found.outcome),  # type: ignore[arg-type]
        assurance=int(found.assurance),  # type: ignore[arg-type]
        checks=[
            chain.Check(
                name=check.name,
                result=int(check.result),  # type: ignore[arg-type]
                reason=check.reason,
                detail=check.detail,
            )
            for check in found.checks
        ],
        assumptions=found.assumptions,
        notices=found.notices,
    )
    if found.as_of is not None:
        made.as_of.CopyFrom(block(found.as_of))
    return made


_NOT_CONSUMED: Final = {
    NotConsumed.BAD_SIGNATURE: chain.CALL_OUTCOME_BAD_SIGNATURE,
    NotConsumed.EXPIRED: chain.CALL_OUTCOME_EXPIRED,
    NotConsumed.FORBIDDEN_TARGET: chain.CALL_OUTCOME_FORBIDDEN_TARGET,
    NotConsumed.UNDERFUNDED: chain.CALL_OUTCOME_UNDERFUNDED,
    NotConsumed.REENTRY: chain.CALL_OUTCOME_FORBIDDEN_TARGET,
}


def _outcome(result: CallResult) -> chain.CallOutcome.ValueType:
    if result.event is CallEvent.EXECUTED:
        return chain.CALL_OUTCOME_EXECUTED
    if result.event is CallEvent.REFUSED:
        return chain.CALL_OUTCOME_REFUSED
    if result.event is CallEvent.NOT_CONSUMED and result.why is not None:
        return _NOT_CONSUMED[result.why]
    return chain.CALL_OUTCOME_CONFLICT


def call_status(standing: CallStanding) -> chain.CallStatus:
    made = chain.CallStatus(
        actor=standing.actor,
        request_id=standing.call_id,
        stage=int(standing.stage),  # type: ignore[arg-type]
    )
    if standing.result is not None:
        made.outcome = _outcome(standing.result)
        made.reason = standing.result.reason
        made.reason_text = standing.result.reason_text
        made.transaction_hash = bytes(standing.result.tx_hash)
    if standing.block is not None:
        made.block.CopyFrom(block(standing.block))
    return made


def relayed(standing: CallStanding) -> bytes:
    """The serialised response of RelayCall, as it is stored with the request id."""
    return chain.RelayCallResponse(status=call_status(standing)).SerializeToString()


def cursor(message: pb.Cursor) -> events.Cursor:
    return events.Cursor(message.block_number, message.log_index, message.block_hash)


def _cursor(place: events.Cursor) -> pb.Cursor:
    return pb.Cursor(block_number=place.block_number, log_index=place.log_index, block_hash=place.block_hash)


def wish(start: pb.SubscribeStart, chain_id: int) -> events.Wish:
    """Raises: FieldRefused."""
    place = getattr(start, "from")
    wanted = filter_of(
        chain_id,
        names=start.event_names,
        contracts=start.contracts,
        organisations=start.organisations,
        arguments=[(item.name, item.values) for item in start.arguments],
    )
    return events.Wish(
        start.consumer,
        cursor(place) if start.HasField("from") else None,
        wanted,
        start.final_only,
        start.confirm_acknowledgements,
    )


def event_wire(place: events.Cursor, at: BlockRef, event: ContractEvent) -> bytes:
    """An EventBatch of this one event. Encoded batches that are joined are the batch of all their events:
    protobuf, "last one wins" but for repeated fields.
    """
    told = pb.ChainEvent(
        cursor=_cursor(place),
        block=block(at),
        transaction_hash=bytes(event.tx_hash),
        contract=bytes(event.address),
        contract_name=event.contract,
        name=event.name,
        arguments_json=arguments_json(event.args),
    )
    return pb.EventBatch(events=[told]).SerializeToString()


_EVENTS_TAG: Final = bytes([pb.SubscribeResponse.EVENTS_FIELD_NUMBER << 3 | 2])
"""Field `events` of SubscribeResponse, length-delimited."""


def stream_item(item: events.Item) -> bytes:
    """A SubscribeResponse, encoded. Events were encoded once, for all streams."""
    if isinstance(item, events.Batch):
        batch = b"".join(item.wires)
        return b"".join((_EVENTS_TAG, _varint(len(batch)), batch))
    return _notice(item).SerializeToString()


def _notice(
    item: events.Retracted | events.Gap | events.Progress | events.Acknowledged,
) -> pb.SubscribeResponse:
    if isinstance(item, events.Retracted):
        place = _cursor(events.Cursor.after(item.ancestor))
        return pb.SubscribeResponse(retracted=pb.Retracted(ancestor=block(item.ancestor), cursor=place))
    if isinstance(item, events.Gap):
        gap = pb.Gap(reason=item.reason)
        getattr(gap, "from").CopyFrom(_cursor(item.start))
        return pb.SubscribeResponse(gap=gap)
    if isinstance(item, events.Progress):
        progress = pb.Progress(cursor=_cursor(item.cursor), caught_up=item.caught_up)
        return pb.SubscribeResponse(progress=progress)
    return pb.SubscribeResponse(acknowledged=_cursor(item.cursor))


def _varint(value: int) -> bytes:
    """Protobuf's base-128 encoding."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
