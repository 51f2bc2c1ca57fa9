"""The sequencer: leaves in order of acceptance, checkpoints that extend, and a halt whenever they would
not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, text, update

from services.ledger import storage
from services.ledger.domain import Admitted
from services.ledger.errors import ChainNotFollowed, LogHalted, QueueFull
from services.ledger.migrations import metadata
from services.ledger.sequencing.bulk import Terms, insert_entries
from services.ledger.sequencing.log_tree import Nodes, append_batch, consistency_path, inclusion_path
from services.ledger.sequencing.queue import Queue
from services.ledger.sequencing.sequencer import LogInconsistent, Sequencer, SequencingLimits
from silkledger.keys import Suite, generate
from silkledger.log.checkpoint import LogVerifierKey, verify_note
from silkledger.log.tree import Tree, leaf_hash, range_nodes
from silkledger.projections.anchors import BAD_PROOF, anchor, anchor_refusal
from silkledger.projections.statements import entry, leaf
from silkledger.registry.histories import origin_id
from silkledger.runtime.db import Database

ORIGIN = "silkledger.example/test"
KEY = generate(Suite.EDDSA)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(f"sqlite:///{tmp_path}/log.sqlite")
    async with opened.write() as connection:
        await connection.run_sync(metadata().create_all)
    yield opened
    await opened.close()


def sequencer(database: Database, queue: Queue, batch: int = 100) -> Sequencer:
    async def caught_up() -> bool:
        return True

    return Sequencer(database, queue, ORIGIN, KEY, SequencingLimits(0.01, batch), caught_up)


TERMS = Terms(1, 2, 1, bytes(32))


def row(number: int) -> tuple[Admitted, bytes]:
    item = Admitted(number.to_bytes(32, "big"), bytes(32), "did", "subject", "705", None)
    return item, b"statement %d" % number


async def accept(database: Database, first: int, count: int) -> None:
    async with database.write() as connection:
        await insert_entries(connection, [row(number) for number in range(first, first + count)], TERMS)


def expected(count: int) -> Tree:
    tree = Tree()
    tree.extend(b"statement %d" % number for number in range(count))
    return tree


async def test_leaves_are_in_order_and_every_size_has_its_proofs(database: Database) -> None:
    queue = Queue(1000)
    worker = sequencer(database, queue, batch=7)
    accepted = 0
    for count in (0, 1, 5, 7, 12, 3):
        await accept(database, accepted, count)
        accepted += count
        while await worker.step():
            pass
    tree = expected(accepted)
    async with database.read() as connection:
        rows = await storage.logged_entries(connection, 0, 100)
        assert [item.raw for item in rows] == [b"statement %d" % number for number in range(accepted)]
        head = await storage.checkpoint_at(connection)
        assert head is not None
        checkpoint = verify_note(head.note, LogVerifierKey.of(ORIGIN, KEY.verifying_key))
        assert (checkpoint.size, checkpoint.root) == (accepted, tree.root())
        for size in range(1, accepted + 1):
            assert await consistency_path(connection, size, accepted) == tree.consistency_path(size)
            for index in range(size):
                assert await inclusion_path(connection, index, size) == tree.inclusion_path(index, size)
    assert queue.waiting == 0


def test_a_batch_makes_the_nodes_that_single_leaves_make() -> None:
    hashes = [leaf_hash(b"statement %d" % number) for number in range(70)]
    for old, new in ((0, 1), (0, 70), (1, 2), (5, 64), (31, 33), (63, 70), (64, 65)):
        nodes = Nodes()
        append_batch(nodes, 0, hashes[:old])
        nodes.loaded, nodes.written = {place: nodes.written[place] for place in range_nodes(0, old)}, {}
        assert append_batch(nodes, old, hashes[old:new]) == (new, bytes(expected(new).root()))
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


def anchored(size: int, root: bytes) -> dict[str, object]:
    return {
        "block_number": 9,
        "log_index": 0,
        "tx_hash": bytes(32),
        "origin_id": origin_id(ORIGIN),
        "size": size,
        "root": root,
        "prev_size": 0,
        "prev_root": bytes(32),
    }


async def test_it_goes_on_over_its_own_anchor(database: Database) -> None:
    worker = await grown(database)
    async with database.write() as connection:
        await connection.execute(insert(anchor), anchored(4, bytes(expected(4).root())))
    assert await worker.step() == 3


@pytest.mark.parametrize(
    "damage",
    ["anchored further", "anchored otherwise", "leaf lost", "node altered", "node lost", "refused on chain"],
)
async def test_it_halts_rather_than_rewrite(database: Database, damage: str) -> None:
    worker = await grown(database)
    nodes = storage.tree_node
    statement = {
        "anchored further": insert(anchor).values(**anchored(99, bytes(32))),
        "anchored otherwise": insert(anchor).values(**anchored(4, bytes(32))),
        "leaf lost": delete(leaf).where(leaf.c.leaf_index == 4),
        "node altered": update(nodes).where(nodes.c.level == 2).values(hash=bytes(32)),
        "node lost": delete(nodes).where(nodes.c.level == 2),
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
    queue.add(2)
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


async def test_the_same_statement_is_queued_once(database: Database) -> None:
    await accept(database, 0, 2)
    async with database.write() as connection:
        new = await insert_entries(connection, [row(1), row(2)], TERMS)
    assert new == {(2).to_bytes(32, "big")}
    await sequencer(database, Queue(10)).step()
    async with database.read() as connection:
        assert await storage.leaf_count(connection) == 3
        assert len((await connection.execute(entry.select())).all()) == 3
