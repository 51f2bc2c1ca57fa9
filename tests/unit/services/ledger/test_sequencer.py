"""The sequencer: leaves in order of acceptance, checkpoints that extend, and a halt whenever they would
not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import delete, insert, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import storage
from services.ledger.admission.acceptance import Acceptance
from services.ledger.errors import ChainNotFollowed, LogHalted, QueueFull
from services.ledger.index.known import KnownStatements
from services.ledger.sequencing import sequencer as sequencing
from services.ledger.sequencing.log_tree import Nodes, append_batch, consistency_path, inclusion_path
from services.ledger.sequencing.queue import Queue
from services.ledger.sequencing.sequencer import LogInconsistent, Sequencer
from silkledger.log.checkpoint import LogVerifierKey, verify_note
from silkledger.log.tree import Tree, leaf_hash, range_nodes
from silkledger.projections.anchors import BAD_PROOF, anchor, anchor_refusal
from silkledger.projections.log_tiles import tile
from silkledger.projections.statements import leaf_run
from silkledger.registry.histories import origin_id
from silkledger.runtime.db import Database
from silkledger.runtime.errors import RequestIdConflict
from tests.support.anvil import eventually
from tests.unit.services.ledger.sequenced import (
    KEY,
    ORIGIN,
    accept,
    anchored,
    candidate,
    expected,
    raw,
    sequencer,
)


async def test_leaves_are_in_order_and_every_size_has_its_proofs(database: Database) -> None:
    queue = Queue(1000)
    worker = sequencer(database, queue, batch=7)
    accepted = 0
    for count in (0, 1, 5, 7, 12, 3):
        await accept(database, accepted, count, queue)
        accepted += count
        while await worker.step():
            pass
    tree = expected(accepted)
    async with database.read() as connection:
        rows = await storage.logged_entries(connection, 0, 100)
        assert [item.raw for item in rows] == [raw(number) for number in range(accepted)]
        head = await storage.checkpoint_at(connection)
        assert head is not None
        checkpoint = verify_note(head.note, LogVerifierKey.of(ORIGIN, KEY.verifying_key))
        assert (checkpoint.size, checkpoint.root) == (accepted, tree.root())
        for size in range(1, accepted + 1):
            assert await consistency_path(connection, size, accepted) == tree.consistency_path(size)
            for index in range(size):
                assert await inclusion_path(connection, index, size) == tree.inclusion_path(index, size)
    assert queue.waiting == 0


async def test_what_a_full_batch_left_is_logged_without_a_new_arrival(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its rounds the worker waits an hour for the bell, which rings no more."""
    monkeypatch.setattr(sequencing, "IDLE_POLL_S", 3600.0)
    queue, stop = Queue(1000), asyncio.Event()
    await sequencer(database, queue).step()
    for call in range(3):
        await accept(database, 5 * call, 5, queue)
    worker = asyncio.create_task(sequencer(database, queue, batch=8).run(stop))
    try:
        await eventually(partial(all_logged, database, 15), "the last call is logged")
    finally:
        stop.set()
        await worker


async def all_logged(database: Database, count: int) -> bool:
    async with database.read() as connection:
        return await storage.leaf_count(connection) == count


def test_a_batch_makes_the_nodes_that_single_leaves_make() -> None:
    hashes = [leaf_hash(b"%d" % number) for number in range(70)]
    whole = Tree()
    for value in hashes:
        whole.append_hash(value)
    for old, new in ((0, 1), (0, 70), (1, 2), (5, 64), (31, 33), (63, 70), (64, 65)):
        nodes = Nodes()
        append_batch(nodes, 0, hashes[:old])
        nodes.loaded, nodes.written = {place: nodes.written[place] for place in range_nodes(0, old)}, {}
        assert append_batch(nodes, old, hashes[old:new]) == (new, bytes(whole.root(new)))
        made = {(level, place) for level in range(8) for place in range(new >> level)}
        before = {(level, place) for level in range(8) for place in range(old >> level)}
        assert set(nodes.written) == made - before


async def grown(database: Database) -> Sequencer:
    worker = sequencer(database, Queue(1000))
    await accept(database, 0, 5)
    await worker.step()
    await accept(database, 5, 3)
    return worker


async def checkpoints(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(text("SELECT max(tree_size) FROM checkpoint"))).scalar_one())


async def test_it_goes_on_over_its_own_anchor(database: Database) -> None:
    worker = await grown(database)
    async with database.write() as connection:
        await connection.execute(insert(anchor), anchored(4, bytes(expected(4).root())))
    assert await worker.step() == 3


@pytest.mark.parametrize(
    "damage",
    [
        "anchored further",
        "anchored otherwise",
        "leaves lost",
        "tile altered",
        "tile lost",
        "refused on chain",
    ],
)
async def test_it_halts_rather_than_rewrite(database: Database, damage: str) -> None:
    worker = await grown(database)
    statement = {
        "anchored further": insert(anchor).values(**anchored(99, bytes(32))),
        "anchored otherwise": insert(anchor).values(**anchored(4, bytes(32))),
        "leaves lost": delete(leaf_run),
        "tile altered": update(tile).values(hashes=bytes(5 * 32)),
        "tile lost": delete(tile),
        "refused on chain": insert(anchor_refusal).values(
            block_number=9,
            log_index=1,
            tx_hash=bytes(32),
            origin_id=origin_id(ORIGIN),
            size=5,
            root=bytes(32),
            reason=BAD_PROOF,
        ),
    }[damage]
    async with database.write() as connection:
        await connection.execute(statement)
    with pytest.raises(LogInconsistent):
        await worker.step()
    assert await checkpoints(database) == 5


async def test_the_queue_refuses_before_the_log_is_open_when_full_and_when_halted(database: Database) -> None:
    queue = Queue(3)
    with pytest.raises(ChainNotFollowed):
        queue.check(1)
    await sequencer(database, queue).step()
    queue.check(3)
    queue.waiting = 2
    with pytest.raises(QueueFull) as full:
        queue.check(2)
    assert full.value.retry_after_s is not None
    queue.halted = "because"
    with pytest.raises(LogHalted):
        queue.check(1)


async def test_calls_under_way_take_room_until_they_end(database: Database) -> None:
    queue = Queue(3)
    await sequencer(database, queue).step()
    with queue.reserve(2):
        with pytest.raises(QueueFull) as full, queue.reserve(2):
            pass
        assert full.value.retry_after_s is not None
        queue.check(1)
    queue.check(3)


async def test_the_same_statement_is_logged_once_and_told_as_known(database: Database) -> None:
    queue, known = Queue(100), KnownStatements()
    acceptance = Acceptance(database, queue, known)
    assert await acceptance.accept(candidate([0, 1, 0], "a")) == bytes([1, 1, 0])
    assert await acceptance.accept(candidate([1, 2], "b")) == bytes([0, 1])
    assert await acceptance.accept(candidate([1, 2], "b")) == bytes([0, 1])
    await sequencer(database, queue).step()
    assert await acceptance.accept(candidate([2, 3], "c")) == bytes([0, 1])
    other = Acceptance(database, Queue(100), KnownStatements())  # another process: knows no queue
    assert await other.accept(candidate([3, 4], "d")) == bytes([1, 1])
    await sequencer(database, queue).step()
    async with database.read() as connection:
        assert await storage.leaf_count(connection) == 5
        rows = await storage.logged_entries(connection, 0, 10)
        assert [row.raw for row in rows] == [raw(number) for number in range(5)]
        assert await storage.entries_by_id(connection, [rows[3].statement_id]) == {
            rows[3].statement_id: rows[3]
        }
    assert queue.ids == set()


class _Sequenced(KnownStatements):
    """The sequencer ends a batch just when the log was asked: it was not in the log yet, it waits no more."""

    def __init__(self, queue: Queue) -> None:
        super().__init__()
        self._queue = queue

    async def logged(self, connection: AsyncConnection, ids: Sequence[bytes]) -> dict[bytes, int]:
        found = await super().logged(connection, ids)
        self._queue.taken(list(self._queue.ids))
        return found


async def test_what_is_logged_while_it_is_asked_for_is_known(database: Database) -> None:
    queue = Queue(100)
    assert await Acceptance(database, queue, KnownStatements()).accept(candidate([0], "a")) == b"\1"
    assert await Acceptance(database, queue, _Sequenced(queue)).accept(candidate([0, 1], "b")) == b"\0\1"


async def test_calls_that_share_a_commit_keep_their_own_answers(database: Database) -> None:
    acceptance = Acceptance(database, Queue(100), KnownStatements())
    conflicting = replace(candidate([9], "b"), fingerprint=bytes(32))
    answers = await asyncio.gather(
        *(acceptance.accept(candidate([number], f"{number}")) for number in range(5)),
        acceptance.accept(candidate([5, 0], "b")),
        acceptance.accept(conflicting),
        return_exceptions=True,
    )
    assert answers[:6] == [b"\1", b"\1", b"\1", b"\1", b"\1", b"\1\0"]
    assert isinstance(answers[6], RequestIdConflict)
    await sequencer(database, Queue(100)).step()
    async with database.read() as connection:
        assert await storage.leaf_count(connection) == 6


async def test_a_call_cancelled_before_its_commit_leaves_nothing(database: Database) -> None:
    acceptance = Acceptance(database, Queue(100), KnownStatements())
    first = asyncio.create_task(acceptance.accept(candidate([0], "a")))
    await asyncio.sleep(0)  # its group is being committed
    second = asyncio.create_task(acceptance.accept(candidate([1], "b")))
    await asyncio.sleep(0)
    second.cancel()
    assert await first == b"\1"
    await sequencer(database, Queue(100)).step()
    async with database.read() as connection:
        assert await storage.leaf_count(connection) == 1


async def test_a_failed_commit_fails_its_calls_and_nothing_waits(database: Database) -> None:
    queue = Queue(100)
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE audit RENAME TO elsewhere"))
    with pytest.raises(DBAPIError):
        await Acceptance(database, queue, KnownStatements()).accept(candidate([0], "a"))
    assert (queue.waiting, queue.ids) == (0, set())
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE elsewhere RENAME TO audit"))
    assert await Acceptance(database, queue, KnownStatements()).accept(candidate([0], "a")) == b"\1"
