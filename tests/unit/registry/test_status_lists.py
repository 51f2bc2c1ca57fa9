"""Status lists on chain: the record is what the contract writes; the block says which list is in force."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode

from silkledger.registry.histories import (
    HistoryRecord,
    RecordInvalid,
    keccak256,
    status_list_id,
    status_list_key,
)
from silkledger.registry.status_lists import decode_list_record, list_at
from silkledger.values import Address, Digest

IDENTITY = Address(b"\xab" * 20)
SERIES = "https://customs.example/status/3"


def record(block: int, sequence: int, digest: bytes = b"\x01" * 32, kind: int = 4) -> HistoryRecord:
    return HistoryRecord(block, encode(["uint8", "uint64", "bytes32"], [kind, sequence, digest]))


def test_a_series_has_a_key_of_its_own() -> None:
    """As the contract makes it: keccak256(abi.encode("status list", identity, listId))."""
    assert status_list_id(SERIES) == keccak256(SERIES.encode())
    words = [(96).to_bytes(32, "big"), bytes(12) + bytes(IDENTITY), status_list_id(SERIES)]
    text = [(11).to_bytes(32, "big"), b"status list".ljust(32, b"\0")]
    assert status_list_key(IDENTITY, SERIES) == keccak256(b"".join(words + text))
    assert status_list_key(IDENTITY, SERIES) != status_list_key(IDENTITY, SERIES + "0")


def test_the_list_in_force_is_the_last_one_recorded_by_then() -> None:
    records = [record(5, 0, b"\x01" * 32), record(9, 1, b"\x02" * 32), record(9, 2, b"\x03" * 32)]
    assert list_at(records, 4) is None
    assert list_at([], 4) is None
    found = [list_at(records, block) for block in (5, 8, 9, 100)]
    assert [one.sequence if one else None for one in found] == [0, 0, 2, 2]
    assert found[0] is not None
    assert (found[0].digest, found[0].recorded_at) == (Digest(b"\x01" * 32), 5)


@pytest.mark.parametrize(
    "records", [[record(5, 1)], [record(5, 0), record(6, 0)], [record(5, 0), record(6, 2)]]
)
def test_numbers_with_a_gap_are_no_history_of_the_contract(records: list[HistoryRecord]) -> None:
    with pytest.raises(RecordInvalid):
        list_at(records, 10)


@pytest.mark.parametrize("bad", [record(5, 0, kind=3), HistoryRecord(5, b""), HistoryRecord(5, b"\0" * 97)])
def test_other_records_are_refused(bad: HistoryRecord) -> None:
    with pytest.raises(RecordInvalid):
        decode_list_record(bad)
