"""Blocks and relayed calls as messages, and calls read from them."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from services.identity.storage import CallState
from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.evm.calls import SignedCall
from silkledger.evm.contracts import error_text
from silkledger.values import Address, BlockRef


def block_ref(block: BlockRef) -> chain.BlockRef:
    return chain.BlockRef(number=block.number, hash=block.hash, time=Timestamp(seconds=block.time))


def signed_call(sent: chain.SignedCall) -> SignedCall:
    return SignedCall(
        Address(sent.actor),
        Address(sent.target),
        sent.request_id,
        sent.deadline,
        sent.gas,
        sent.data,
        sent.signature,
    )


def call_status(state: CallState) -> chain.CallStatus:
    return chain.CallStatus(
        actor=state.actor,
        request_id=state.call_id,
        stage=chain.EvidenceStage.ValueType(state.stage),
        outcome=chain.CallOutcome.Value(f"CALL_OUTCOME_{state.outcome}"),
        reason=state.reason,
        reason_text=error_text(state.reason) if state.outcome == "REFUSED" else "",
        block=None if state.block is None else block_ref(state.block),
        transaction_hash=state.tx_hash,
    )


def relayed(state: CallState) -> bytes:
    """The reply of the rpcs that relay a call, serialised."""
    return chain.RelayCallResponse(status=call_status(state)).SerializeToString()
