"""Status lists in an identity service's database against the chain: every altered field is named, alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from sqlalchemy import Table

from services.identity.status_lists import rows
from silkledger.audit.status_lists import ListsAudit, audit_status_lists
from silkledger.evidence.equivocation import prove_status_lists
from silkledger.keys import PrivateKey, Suite
from silkledger.projections.histories import HISTORY
from silkledger.registry.histories import identity_key, status_list_key
from silkledger.runtime.db import Database
from silkledger.status_bits import StatusBits
from silkledger.status_list import StatusList, parse_status_list, sign_status_list
from silkledger.values import Address, Did

KEY, STRANGER = (PrivateKey(Suite.EDDSA, bytes([number]) * 32) for number in (0x31, 0x32))
ISSUER = Did.of(7317, Address(b"\xab" * 20))
SERIES = "https://customs.example/status/3"
EMPTY = StatusBits.empty()


def signed(sequence: int, *revoked: int, key: PrivateKey = KEY, series: str = SERIES) -> StatusList:
    raw = sign_status_list(
        key,
        issuer=ISSUER,
        fragment="delegate-1",
        id_=series,
        purpose="revocation",
        sequence=sequence,
        encoded_list=EMPTY.changed(to_set=revoked).encode(),
        issued="2026-03-01T08:00:00Z",
    )
    return parse_status_list(raw)


LISTS = (signed(0), signed(1, 5), signed(2, 5, 9))
"""The last one is not on chain yet."""
OTHER = signed(1, 77)
FORGED = prove_status_lists(
    OTHER.raw, signed(1, 5, key=STRANGER).raw, STRANGER.verifying_key.to_multikey()
).encode()
"""That the issuer signed two lists, by a stranger's key."""


def _history(key: bytes, block: int, record: bytes) -> dict[str, Any]:
    place = {"contract": "IdentityRegistry", "key": key, "block_number": block, "log_index": 0}
    return place | {"head": bytes(32), "record": record}


def recorded(one: StatusList, block: int) -> dict[str, Any]:
    record = encode(["uint8", "uint64", "bytes32"], [4, one.sequence, one.digest])
    return _history(status_list_key(one.issuer.address, one.id), block, record)


def published_key() -> dict[str, Any]:
    """In force in block 3, revoked in block 8."""
    name, value = b"did/pub/Multikey/veriKey".ljust(32, b"\0"), KEY.verifying_key.to_multicodec()
    record = encode(["uint8", "bytes32", "bytes", "uint64"], [3, name, value, 2**63])
    return _history(identity_key(ISSUER.address), 3, record)


class Both:
    """What the chain says, and the service's database."""

    def __init__(self, live: Database, replayed: Database) -> None:
        self.live, self.replayed = live, replayed

    async def audit(self, upto: int = 100) -> ListsAudit:
        async with self.live.read() as live, self.replayed.read() as replayed:
            return await audit_status_lists("identity", live, replayed, upto)

    async def found(self) -> list[tuple[str, str]]:
        return [(d.table, d.field) for d in (await self.audit()).differences]

    async def change(self, statement: Any) -> None:
        async with self.live.write() as connection:
            await connection.execute(statement)


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Both]:
    live = await Database.open(f"sqlite:///{tmp_path}/identity.sqlite")
    replayed = await Database.open(f"sqlite:///{tmp_path}/replay.sqlite")
    async with live.write() as connection:
        await connection.run_sync(rows.metadata.create_all)
        for one in LISTS:
            await rows.insert_list(connection, one, one.bits(), 1)
        proof = prove_status_lists(LISTS[1].raw, OTHER.raw, KEY.verifying_key.to_multikey()).encode()
        await rows.insert_equivocation(connection, OTHER, proof, 2)
    async with replayed.write() as connection:
        await connection.run_sync(HISTORY.create)
        chain = [published_key(), recorded(LISTS[0], 5), recorded(LISTS[1], 7)]
        await connection.execute(HISTORY.insert(), chain)
    yield Both(live, replayed)
    await live.close()
    await replayed.close()


async def test_what_is_as_it_was_taken_has_no_difference(both: Both) -> None:
    told = await both.audit()
    assert (told.recorded, told.held, told.differences, told.unavailable) == (2, 2, [], [])
    assert (await both.audit(upto=6)).recorded == 1


ALTERED: list[tuple[Table, str, object, str]] = [
    (rows.status_list, "issuer", str(Did.of(7317, Address(b"\xac" * 20))), "issuer"),
    (rows.status_list, "issuer", "nobody", "issuer"),
    (rows.status_list, "list_id", SERIES + "3", "list_id"),
    (rows.status_list, "sequence", 11, "sequence"),
    (rows.status_list, "digest", bytes(32), "digest"),
    (rows.status_list, "purpose", "suspension", "purpose"),
    (rows.status_list, "entries", 8, "entries"),
    (rows.status_list, "content", LISTS[1].raw[:-1], "content"),
    (rows.status_list, "content", signed(1, key=STRANGER).raw, "content"),
    (rows.status_list, "content", LISTS[1].raw.replace(b"2026-03", b"2026-02"), "content"),
    (rows.status_list, "content", LISTS[1].raw.replace(b"#delegate-1", b"#delegate-2"), "content"),
    (rows.status_list, "content", signed(1, 6).raw, "content"),
    (rows.status_list_equivocation, "content", signed(1, 78).raw, "proof"),
    (rows.status_list_equivocation, "content", b"", "proof"),
    (rows.status_list_equivocation, "proof", b"", "proof"),
    (rows.status_list_equivocation, "proof", FORGED, "proof"),
    (rows.status_list_equivocation, "sequence", 2, "proof"),
]


@pytest.mark.parametrize(("table", "column", "value", "named"), ALTERED)
async def test_an_altered_field_is_named_alone(
    both: Both, table: Table, column: str, value: object, named: str
) -> None:
    await both.change(table.update().where(table.c.sequence == 1).values({column: value}))
    assert await both.found() == [(table.name, named)]


async def test_a_list_that_is_not_on_chain_yet_is_held_against_itself(both: Both) -> None:
    row = rows.status_list
    last = row.c.sequence == 2
    await both.change(row.update().where(last).values(content=signed(2, key=STRANGER).raw))
    assert await both.found() == [("status_list", "content")]


async def test_a_list_on_chain_whose_bytes_are_gone_is_unavailable(both: Both) -> None:
    await both.change(rows.status_list.delete().where(rows.status_list.c.sequence == 1))
    told = await both.audit()
    assert (told.recorded, told.held, told.differences) == (2, 1, [])
    assert len(told.unavailable) == 1
    assert str(LISTS[1].digest) in told.unavailable[0]


async def test_a_forged_proof_excuses_no_list(both: Both) -> None:
    """It has the list that the chain records, and names a stranger's key as the issuer's."""
    stranger = STRANGER.verifying_key.to_multikey()
    one, two = signed(1, 5, key=STRANGER), signed(1, 6, key=STRANGER)
    forged = prove_status_lists(one.raw, two.raw, stranger).encode()
    await both.change(rows.status_list_equivocation.update().values(content=one.raw, proof=forged))
    await both.change(
        rows.status_list.update().where(rows.status_list.c.sequence == 1).values(content=OTHER.raw)
    )
    found = await both.found()
    assert ("status_list_equivocation", "proof") in found
    assert ("status_list", "content") in found


async def test_where_two_were_signed_the_chain_says_which_counts(both: Both) -> None:
    """The one that came second here may be the one that the issuer recorded."""
    async with both.replayed.write() as connection:
        await connection.execute(HISTORY.delete().where(HISTORY.c.block_number == 7))
        await connection.execute(HISTORY.insert(), [recorded(OTHER, 7)])
    assert (await both.audit()).differences == []
    await both.change(rows.status_list_equivocation.delete())
    assert await both.found() == [("status_list", "content")]
