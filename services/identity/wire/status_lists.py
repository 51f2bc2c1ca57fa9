"""Status lists as messages."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from services.identity.status_lists.reading import Found, Standing, Which
from services.identity.storage import CallState
from services.identity.wire.calls import block_ref, call_status
from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.identity.v1 import identity_pb2 as pb


def status_list(standing: Standing) -> pb.StatusList:
    """A list and where it stands."""
    held, record = standing.held, standing.record
    accepted_at = Timestamp()
    accepted_at.FromMilliseconds(held.accepted_ms)
    return pb.StatusList(
        issuer=str(held.number.issuer),
        id=held.number.list_id,
        sequence=held.number.sequence,
        purpose=held.purpose,
        digest=held.digest,
        entries=held.entries,
        accepted_at=accepted_at,
        stage=chain.EvidenceStage.ValueType(standing.stage),
        recorded_at=None if standing.block is None else block_ref(standing.block),
        recorded_digest=b"" if record is None else record.digest,
        equivocated=held.equivocated,
    )


def published(standing: Standing, call: CallState | None) -> bytes:
    """The reply of PublishStatusList, serialised."""
    return pb.PublishStatusListResponse(
        status_list=status_list(standing), call=None if call is None else call_status(call)
    ).SerializeToString()


def found_list(found: Found) -> pb.GetStatusListResponse:
    return pb.GetStatusListResponse(
        content=found.content, status_list=status_list(found.standing), as_of=block_ref(found.as_of)
    )


def which_of(request: pb.GetStatusListRequest) -> Which:
    """Which list is asked for."""
    kind = request.WhichOneof("which")
    return Which(
        sequence=request.sequence if kind == "sequence" else None,
        as_of_block=request.as_of_block if kind == "as_of_block" else None,
        as_of_time=request.as_of_time.seconds if kind == "as_of_time" else None,
    )
