"""A log that changes its key: which key counts for an anchor in block 20 of 24."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from eth_abi.abi import encode

from silkledger.evidence.bundle import Bundle, Contract
from silkledger.evidence.trust_roots import PinnedLog
from silkledger.keys import PrivateKey
from silkledger.log.checkpoint import Checkpoint, LogVerifierKey, sign_checkpoint
from silkledger.registry.histories import HistoryRecord, origin_id
from tests.unit.evidence.witnesses import promise
from tests.unit.evidence.world import ORIGIN, World, key_record, log_private_key, origin_record
from tests.vectors.evidence.verdict_cases import Case, case, forged

OLD, NEW, OTHER = (log_private_key(number) for number in (1, 2, 3))
ADDED, ENDED = 2, 3
KEY = origin_id(ORIGIN)


def world(*changes: tuple[int, int, PrivateKey], signer: PrivateKey = NEW) -> World:
    """Registered with `OLD` in block 4; `changes` are (block, kind, key). `signer` signs as the log."""
    made = World(log_key=signer)
    made.histories[Contract.LOG_ANCHOR][KEY] = [
        origin_record(4, OLD),
        *(key_record(block, kind, key) for block, kind, key in changes),
    ]
    return made


WORLDS = {
    "added-before": world((10, ADDED, NEW)),
    "added-in-the-block": world((20, ADDED, NEW)),
    "added-later": world((21, ADDED, NEW)),
    "never-added": world((10, ADDED, OTHER)),
    "old-beside-new": world((10, ADDED, NEW), signer=OLD),
    "old-ended-before": world((10, ADDED, NEW), (19, ENDED, OLD), signer=OLD),
    "old-ended-in-the-block": world((10, ADDED, NEW), (20, ENDED, OLD), signer=OLD),
    "old-ended-later": world((10, ADDED, NEW), (21, ENDED, OLD), signer=OLD),
    "new-after-the-end": world((10, ADDED, NEW), (12, ENDED, OLD)),
    "new-ended-as-well": world((10, ADDED, NEW), (11, ADDED, OTHER), (12, ENDED, OLD), (13, ENDED, NEW)),
    "added-and-ended-in-one-block": world((20, ADDED, NEW), (20, ENDED, NEW)),
}
"""By what happened to the keys. The checkpoint is that of the anchor."""


def cases() -> Iterator[Case]:
    yield from (case(f"log-key-{name}", made) for name, made in WORLDS.items())
    yield from _two_signers()
    yield from _pinned()
    yield from _forged()


def _two_signers() -> Iterator[Case]:
    """Checkpoint, receipt and promise by different keys."""
    changing, ended = WORLDS["added-before"], WORLDS["new-after-the-end"]
    yield case("log-key-receipt-by-the-old", changing, _receipt_by(changing, OLD))
    yield case("log-key-receipt-by-the-ended", ended, _receipt_by(ended, OLD))
    for name, made in (("old", changing), ("ended", ended)):
        by_old = replace(made.evidence(), promise=promise(made, key=OLD))
        yield case(f"log-key-promise-by-the-{name}", made, by_old)
    yield case(
        "log-key-promise-by-the-new", changing, replace(changing.evidence(), promise=promise(changing))
    )
    tree = changing.tree()
    both = sign_checkpoint(Checkpoint(ORIGIN, 5, tree.root(5)), NEW, OLD).encode()
    bundle = changing.evidence()
    yield case("log-key-both-lines", changing, replace(bundle, log=replace(bundle.log, checkpoint=both)))


def _receipt_by(made: World, key: PrivateKey) -> Bundle:
    mine, other = made.evidence(), replace_key(made, key).evidence()
    return replace(mine, log=replace(mine.log, receipt=other.log.receipt))


def replace_key(made: World, key: PrivateKey) -> World:
    """The same ledger, with checkpoint and receipt signed by `key`."""
    other = World(log_key=key)
    other.histories = made.histories
    return other


def _pinned() -> Iterator[Case]:
    """A pin names the log by any key it ever had, not the one that must sign."""
    made = WORLDS["new-after-the-end"]
    for name, key in (("old", OLD), ("new", NEW), ("other", OTHER)):
        pin = PinnedLog(ORIGIN, str(LogVerifierKey.of(ORIGIN, key.verifying_key)))
        yield Case(f"log-key-pinned-{name}", made.evidence().encode(), replace(made.roots(), log=pin))


def _forged() -> Iterator[Case]:
    """Records that no contract writes, and one left out."""
    first, added = origin_record(4, OLD), key_record(10, ADDED, NEW)
    unreadable = HistoryRecord(4, _registration(b"\x02" + bytes(32)))
    histories: dict[str, list[HistoryRecord]] = {
        "added-twice": [first, added, key_record(11, ADDED, NEW)],
        "added-again": [first, added, key_record(11, ENDED, NEW), key_record(12, ADDED, NEW)],
        "ended-unknown": [first, added, key_record(11, ENDED, OTHER)],
        "ended-twice": [first, added, key_record(11, ENDED, OLD), key_record(12, ENDED, OLD)],
        "before-registration": [key_record(3, ADDED, NEW), first],
        "other-kind": [first, key_record(10, 4, NEW)],
        "longer": [first, HistoryRecord(10, added.record + bytes(32))],
        "old-unreadable": [unreadable, added],
        "new-unreadable": [first, HistoryRecord(10, _change(b"\x02" + bytes(32))), added],
    }
    for name, items in histories.items():
        yield forged(f"log-key-{name}", World(log_key=NEW), Contract.LOG_ANCHOR, KEY, items)
    ended = WORLDS["old-ended-before"]
    bundle = ended.evidence()
    yield case("log-key-end-left-out", ended, _without_the_last_record(bundle))


def _registration(log_key: bytes) -> bytes:
    types = ["uint8", "string", "address", "bytes", "bytes32"]
    return encode(types, [1, ORIGIN, bytes(20), log_key, bytes(32)])


def _change(log_key: bytes) -> bytes:
    return encode(["uint8", "bytes"], [ADDED, log_key])


def _without_the_last_record(bundle: Bundle) -> Bundle:
    states = tuple(
        replace(
            state,
            histories=tuple(
                replace(item, records=item.records[:-1]) if item.key == KEY else item
                for item in state.histories
            ),
        )
        for state in bundle.states
    )
    return replace(bundle, states=states)
