"""State digests: a fixed answer, a chain over ranges, the first range that two auditors have differently."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from silkledger.audit.digest import RANGE, block_digest, first_difference, range_digests, start_digest
from silkledger.audit.prepare import COMPARED, NOT_DIGESTED
from silkledger.values import Address, BlockHash

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "formats" / "replay.md"
START = start_digest(7317, BlockHash(bytes(32)), Address(bytes(20)))


def _blocks(count: int, forged: int | None = None) -> list[tuple[int, bytes]]:
    return [
        (n, hashlib.sha256(b"%d%s" % (n, b"!" if n == forged else b"")).digest()) for n in range(1, count + 1)
    ]


def test_a_blocks_digest_is_the_documented_one() -> None:
    # CBOR by hand: [5, [["a", [[1, h'02', "x", true, null]]]]]
    encoded = bytes.fromhex("82058182616181850141026178f5f6")
    rows = {"b": [], "a": [(1, b"\x02", "x", True, None)]}
    assert block_digest(5, rows) == hashlib.sha256(encoded).digest()


@pytest.mark.parametrize("other", [(2, b"\x02"), (1, b"\x03")])
def test_any_value_of_any_row_counts(other: tuple[int, bytes]) -> None:
    assert block_digest(5, {"a": [(1, b"\x02")]}) != block_digest(5, {"a": [other]})
    assert block_digest(5, {"a": [(1, b"\x02")]}) != block_digest(6, {"a": [(1, b"\x02")]})
    assert block_digest(5, {"a": [(1, b"\x02")]}) != block_digest(5, {"c": [(1, b"\x02")]})


def test_ranges_are_chained_from_the_start() -> None:
    blocks = _blocks(RANGE + 2)
    first, second = range_digests(START, blocks)
    assert (first.first, first.last, second.first, second.last) == (1, RANGE, RANGE + 1, RANGE + 2)
    one = hashlib.sha256(START + b"".join(digest for _, digest in blocks[:RANGE])).digest()
    assert first.digest == "0x" + one.hex()
    two = hashlib.sha256(one + blocks[RANGE][1] + blocks[RANGE + 1][1])
    assert second.digest == "0x" + two.hexdigest()
    assert range_digests(START, []) == []


def test_other_contracts_or_another_chain_start_elsewhere() -> None:
    others = {
        start_digest(1, BlockHash(bytes(32)), Address(bytes(20))),
        start_digest(7317, BlockHash(b"\1" * 32), Address(bytes(20))),
        start_digest(7317, BlockHash(bytes(32)), Address(b"\1" * 20)),
    }
    assert len({START, *others}) == 4


def test_a_gap_is_refused() -> None:
    with pytest.raises(ValueError, match="block 2 has no digest"):
        range_digests(START, [(1, bytes(32)), (3, bytes(32))])


def test_two_auditors_find_the_first_range_that_differs() -> None:
    ours = range_digests(START, _blocks(3 * RANGE))
    theirs = range_digests(START, _blocks(3 * RANGE, forged=RANGE + 7))
    found = first_difference(ours, theirs)
    assert found is not None
    assert (found.first, found.last) == (RANGE + 1, 2 * RANGE)
    assert first_difference(ours, ours) is None
    # One auditor is further than the other: nothing differs as far as both go.
    assert first_difference(ours, range_digests(START, _blocks(2 * RANGE + 5))) is None


def test_the_documented_tables_are_those_that_are_digested() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| (\*\*.*) \|$", DOCUMENT.read_text(), re.MULTILINE))
    columns = {
        table.name: ", ".join(
            f"**{column.name}**" if column.primary_key else column.name
            for column in table.columns
            if (table.name, column.name) not in NOT_DIGESTED
        )
        for table in COMPARED
    }
    assert told == columns
