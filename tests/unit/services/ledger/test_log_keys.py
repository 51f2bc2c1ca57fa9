"""The keys that a ledger process signs with: which sign, and what a receipt is made with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from eth_abi.abi import encode

from services.ledger.log_keys.signing import (
    KeyWatch,
    LogSigningKeys,
    NoKeyCounts,
    load_log_keys,
    with_one_line,
)
from services.ledger.sequencing.queue import Queue
from services.ledger.sequencing.sequencer import LogInconsistent, Sequencer, SequencingLimits
from services.ledger.storage import CheckpointRow
from silkledger.keys import PrivateKey, Suite, generate, save_key
from silkledger.log.checkpoint import Checkpoint, LogVerifierKey, parse_note, sign_checkpoint, verify_note
from silkledger.log.receipt import verify_receipt
from silkledger.log.tree import Tree
from silkledger.projections.histories import HISTORY
from silkledger.registry.histories import origin_id
from silkledger.runtime.db import Database
from silkledger.runtime.settings import SettingsError

ORIGIN = "silkledger.example/test"
OLD, NEW = (PrivateKey(Suite.EDDSA, bytes([number]) * 32) for number in (1, 2))
OLD_KEY, NEW_KEY = (LogVerifierKey.of(ORIGIN, key.verifying_key) for key in (OLD, NEW))
ENTRIES = [b"one", b"two", b"three"]
TREE = Tree()
TREE.extend(ENTRIES)
ROOT = bytes(TREE.root())


def records(*changes: tuple[int, int, LogVerifierKey]) -> list[tuple[int, bytes]]:
    """Block and record: registered with the old key in block 4, then (block, kind, key)."""
    types = ["uint8", "string", "address", "bytes", "bytes32"]
    registration = encode(types, [1, ORIGIN, bytes(20), OLD_KEY.recorded, bytes(32)])
    return [
        (4, registration),
        *((block, encode(["uint8", "bytes"], [kind, key.recorded])) for block, kind, key in changes),
    ]


async def recorded(database: Database, history: Sequence[tuple[int, bytes]]) -> None:
    async with database.write() as connection:
        await connection.execute(HISTORY.delete())
        for index, (block, record) in enumerate(history):
            row = {"contract": "LogAnchor", "key": origin_id(ORIGIN), "block_number": block}
            await connection.execute(
                HISTORY.insert(), row | {"log_index": index, "head": bytes(32), "record": record}
            )


async def looked(database: Database, keys: LogSigningKeys) -> LogSigningKeys:
    async with database.read() as connection:
        await keys.look(connection)
    return keys


def test_the_keys_are_read_in_the_order_in_which_they_sign(tmp_path: Path) -> None:
    for name, key in (("old", OLD), ("new", NEW)):
        save_key(tmp_path / name, key)
    keys = load_log_keys(ORIGIN, tmp_path / "new", [str(tmp_path / "old")])
    assert keys.verifier_keys == keys.usable == (NEW_KEY, OLD_KEY)
    assert keys.current.verifying_key == NEW.verifying_key


def test_a_key_that_cannot_sign_notes_or_stands_twice_is_refused(tmp_path: Path) -> None:
    save_key(tmp_path / "log", OLD)
    save_key(tmp_path / "other", generate(Suite.ES256K))
    with pytest.raises(SettingsError, match=r"SILKLEDGER_LOG_KEY_FILE.*Ed25519"):
        load_log_keys(ORIGIN, tmp_path / "log", [str(tmp_path / "other")])
    with pytest.raises(SettingsError, match=r"SILKLEDGER_FURTHER_LOG_KEY_FILES.*twice"):
        load_log_keys(ORIGIN, tmp_path / "log", [str(tmp_path / "log")])


def test_every_key_signs_the_head_and_its_root() -> None:
    row = LogSigningKeys(ORIGIN, NEW, OLD).checkpoint(3, ROOT)
    assert [line.key_id for line in parse_note(row.note).signatures] == [NEW_KEY.key_id, OLD_KEY.key_id]
    nobody = LogSigningKeys(ORIGIN)
    for key in (NEW_KEY, OLD_KEY):
        signature, note = nobody.proof_of(row, [key])
        receipt = signature.receipt(3, 1, TREE.inclusion_path(1, 3))
        assert verify_receipt(receipt, ENTRIES[1], key, verify_note(note, key)).index == 1
        assert [line.key_id for line in parse_note(with_one_line(note, key.key_id, ORIGIN)).signatures] == [
            key.key_id
        ]


def test_a_receipt_is_made_with_what_signed_the_head_before_a_key_at_hand() -> None:
    before = LogSigningKeys(ORIGIN, OLD).checkpoint(3, ROOT)
    keys = LogSigningKeys(ORIGIN, NEW)
    signature, note = keys.proof_of(before, [OLD_KEY, NEW_KEY])
    assert (signature.key_id, note) == (OLD_KEY.key_id, before.note)
    assert keys.proof_of(before)[0].key_id == OLD_KEY.key_id
    # The one that signed does not count there: the one at hand signs the same head, and its line is added.
    signature, note = keys.proof_of(before, [NEW_KEY])
    assert signature.key_id == NEW_KEY.key_id
    assert [line.key_id for line in parse_note(note).signatures] == [OLD_KEY.key_id, NEW_KEY.key_id]
    # Nothing that counts is there: what signed the head is told all the same.
    assert LogSigningKeys(ORIGIN, OLD).proof_of(before, [NEW_KEY])[0].key_id == OLD_KEY.key_id


def test_a_head_without_signatures_of_receipts_is_signed_anew() -> None:
    note = sign_checkpoint(Checkpoint(ORIGIN, 3, TREE.root()), OLD)
    restored = CheckpointRow(3, ROOT, note)
    signature, shown = LogSigningKeys(ORIGIN, OLD).proof_of(restored, [OLD_KEY])
    assert (signature.key_id, shown) == (OLD_KEY.key_id, note)
    with pytest.raises(NoKeyCounts):
        LogSigningKeys(ORIGIN).proof_of(restored, [OLD_KEY])


async def test_a_key_that_is_ended_on_chain_signs_no_more(database: Database) -> None:
    keys = LogSigningKeys(ORIGIN, OLD, NEW)
    assert (await looked(database, keys)).usable == (OLD_KEY, NEW_KEY)
    await recorded(database, records((9, 2, NEW_KEY)))
    assert (await looked(database, keys)).usable == (OLD_KEY, NEW_KEY)
    await recorded(database, records((9, 2, NEW_KEY), (12, 3, OLD_KEY)))
    assert (await looked(database, keys)).usable == (NEW_KEY,)
    assert keys.current.verifying_key == NEW.verifying_key
    assert len(parse_note(keys.checkpoint(3, ROOT).note).signatures) == 1
    # A reorg that undoes the end gives the key back.
    await recorded(database, records((9, 2, NEW_KEY)))
    assert (await looked(database, keys)).usable == (OLD_KEY, NEW_KEY)


async def test_a_log_whose_every_key_was_ended_halts_and_says_so(database: Database) -> None:
    async def caught_up() -> bool:
        return True

    keys = LogSigningKeys(ORIGIN, OLD)
    watch = KeyWatch(database, keys)
    assert await watch.health() is None
    await recorded(database, records((9, 2, NEW_KEY), (12, 3, OLD_KEY)))
    sequencer = Sequencer(database, Queue(10), keys, SequencingLimits(0.01, 100), caught_up)
    with pytest.raises(LogInconsistent, match="ended on chain"):
        await sequencer.step()
    with pytest.raises(NoKeyCounts):
        _ = keys.current
    assert str(OLD_KEY) in str(await watch.health())
