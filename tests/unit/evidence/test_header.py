from __future__ import annotations

import pytest

from silkledger.evidence import rlp
from silkledger.evidence.header import EngineKind, decode_header, header_from_rpc
from silkledger.evidence.reasons import Reason
from tests.unit.evidence import recorded
from tests.unit.evidence.qbft_chain import Draft, validators
from tests.unit.evidence.refusals import refused


@pytest.mark.parametrize("number", range(4))
def test_recorded_headers_rebuild_to_the_reported_hash(number: int) -> None:
    block = recorded.chain()["blocks"][number]
    header = header_from_rpc(block)
    assert str(header.hash) == block["hash"]
    assert header.number == number
    assert decode_header(header.raw, EngineKind.NO_SEALS) == header
    assert header.ref.time == int(block["timestamp"], 16)


def test_recorded_headers_link() -> None:
    headers = [recorded.header(number) for number in range(4)]
    assert [h.parent_hash for h in headers[1:]] == [h.hash for h in headers[:-1]]


@pytest.mark.parametrize("field", ["stateRoot", "receiptsRoot", "timestamp", "extraData", "baseFeePerGas"])
def test_a_node_that_alters_a_field_is_caught(field: str) -> None:
    block = dict(recorded.chain()["blocks"][1])
    other = recorded.chain()["blocks"][2][field]
    block[field] = other if other != block[field] else "0x11"
    with refused(Reason.HEADER_HASH):
        header_from_rpc(block)


def test_a_field_left_out_is_caught() -> None:
    block = dict(recorded.chain()["blocks"][1])
    del block["withdrawalsRoot"]
    with refused(Reason.HEADER_HASH):
        header_from_rpc(block)
    del block["stateRoot"]
    with refused(Reason.RPC_FIELD):
        header_from_rpc(block)


def test_wrong_number_of_fields_is_refused() -> None:
    items = rlp.decode_list(recorded.header(1).raw, "header")
    for changed in (items[:14], [*items, *[b"\x01"] * 8]):
        with refused(Reason.HEADER_FIELDS):
            decode_header(rlp.encode(changed), EngineKind.NO_SEALS)


def test_leading_zeros_in_a_number_are_refused() -> None:
    items = rlp.decode_list(recorded.header(1).raw, "header")
    items[8] = b"\x00\x01"
    with refused(Reason.RLP_NOT_CANONICAL):
        decode_header(rlp.encode(items), EngineKind.NO_SEALS)


def test_qbft_hash_covers_neither_seals_nor_round() -> None:
    members = validators(4)
    draft = Draft(number=5, members=members)
    later = Draft(number=5, members=members, round=3)
    assert draft.sealed().hash == draft.sealed(members[:3]).hash == later.sealed().hash == draft.hash()
    assert Draft(number=5, members=members, timestamp=7).sealed().hash != draft.hash()


def test_qbft_genesis_is_not_rewritten() -> None:
    draft = Draft(number=0, members=validators(4), round=1)
    header = draft.with_seals([])
    assert header.hash == draft.digest()
    assert header.hash != draft.hash()
