"""A mirror holds exactly what the log signed, resumes anywhere, and believes no rewritten log."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from silkledger.keys import Suite, generate
from silkledger.log.checkpoint import LogVerifierKey, verify_note
from silkledger.log.tiles import Bundle, Tile, bundles_between, decode_bundle, node_in_tile, tile_of
from silkledger.log.tree import hash_ranges, inclusion_ranges, leaf_hash, verify_inclusion
from silkledger.mirror.directory import MirrorDirectory
from silkledger.mirror.errors import MirrorError
from silkledger.mirror.follow import extend
from silkledger.mirror.verify import read_entries, verify_mirror
from tests.support.log_source import MemoryLog


@pytest.fixture
def mirror(tmp_path: Path) -> MirrorDirectory:
    return MirrorDirectory(tmp_path / "mirror")


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def refusal(mirror: MirrorDirectory, log: MemoryLog) -> str:
    before = mirror.checkpoint()
    with pytest.raises(MirrorError) as refused:
        await extend(mirror, log, log.vkey)
    assert mirror.checkpoint() == before
    return refused.value.reason


@pytest.mark.parametrize("sizes", [(0, 1), (255, 256, 257), (1, 300, 300, 512), (700,)])
async def test_grown_in_any_steps_it_is_the_whole_log(
    mirror: MirrorDirectory, tmp_path: Path, sizes: tuple[int, ...]
) -> None:
    log = MemoryLog()
    for size in sizes:
        log.grow(size - len(log.all))
        extension = await extend(mirror, log, log.vkey)
        assert extension.checkpoint.size == size
        assert verify_mirror(mirror, log.vkey).checkpoint == extension.checkpoint
    assert list(read_entries(mirror, 0, len(log.all))) == log.all
    assert list(read_entries(mirror, len(log.all) // 3, len(log.all))) == log.all[len(log.all) // 3 :]
    at_once = MirrorDirectory(tmp_path / "at-once")
    await extend(at_once, log, log.vkey)
    stepwise = files(mirror.root)
    assert {path: stepwise[path] for path in files(at_once.root)} == files(at_once.root)


async def test_tiles_of_three_levels(mirror: MirrorDirectory) -> None:
    log = MemoryLog(65_600)
    await extend(mirror, log, log.vkey)
    assert (mirror.root / Tile(1, 0).path()).is_file()
    assert (mirror.root / Tile(2, 0, 1).path()).is_file()
    assert verify_mirror(mirror, log.vkey).tiles == 257 + 1 + 1


class Breaks(MemoryLog):
    """Stops in the middle of the entries."""

    async def entries(self, start: int) -> AsyncIterator[tuple[int, bytes]]:
        async for index, entry in super().entries(start):
            if index == 600:
                raise ConnectionResetError
            yield index, entry


async def test_an_extension_cut_off_is_begun_again_and_covers_nothing_until_whole(
    mirror: MirrorDirectory,
) -> None:
    log = MemoryLog(300)
    await extend(mirror, log, log.vkey)
    log.grow(500)
    broken = Breaks()
    broken.key, broken.vkey, broken.all = log.key, log.vkey, log.all
    with pytest.raises(ConnectionResetError):
        await extend(mirror, broken, log.vkey)
    assert verify_mirror(mirror, log.vkey).checkpoint.size == 300
    assert (await extend(mirror, log, log.vkey)).checkpoint.size == 800
    assert verify_mirror(mirror, log.vkey).checkpoint.size == 800


async def test_a_log_that_forks_or_shrinks_is_not_followed_and_its_note_is_kept(
    mirror: MirrorDirectory,
) -> None:
    log = MemoryLog(300)
    await extend(mirror, log, log.vkey)
    kept = log.all[7]
    log.all[7] = b"altered"
    assert await refusal(mirror, log) == "LOG_FORKED"
    log.grow(5)
    assert await refusal(mirror, log) == "LOG_FORKED"
    log.all = log.all[:100]
    assert await refusal(mirror, log) == "LOG_ROLLED_BACK"
    notes = [path.read_text() for path in (mirror.root / "refused").iterdir()]
    assert sorted(verify_note(note, log.vkey).size for note in notes) == [100, 300, 305]
    log.all = [*log.all[:7], kept, *log.all[8:]]
    log.grow(300)
    assert (await extend(mirror, log, log.vkey)).checkpoint.size == 400


class Withholds(MemoryLog):
    """Its checkpoint is true, its entries are not."""

    last: bytes | None = None

    async def entries(self, start: int) -> AsyncIterator[tuple[int, bytes]]:
        for index in range(start, len(self.all) - 1):
            yield index, self.all[index]
        if self.last is not None:
            yield len(self.all) - 1, self.last


async def test_entries_that_are_not_what_was_signed_are_refused(mirror: MirrorDirectory) -> None:
    log = Withholds(300)
    assert await refusal(mirror, log) == "ENTRIES_MISSING"
    log.last = b"another entry"
    assert await refusal(mirror, log) == "ENTRIES_WRONG"
    log.last = log.all[-1]
    assert (await extend(mirror, log, log.vkey)).checkpoint.size == 300
    assert await refusal(mirror, MemoryLog(400)) == "NOTE_NOT_SIGNED"


@pytest.mark.parametrize(
    ("path", "change", "reason"),
    [
        (Bundle(0).path(), b"", "MIRROR_DAMAGED"),
        (Bundle(1, 44).path(), None, "MIRROR_INCOMPLETE"),
        (Tile(0, 0).path(), bytes(8192), "MIRROR_DAMAGED"),
        (Tile(1, 0, 1).path(), None, "MIRROR_INCOMPLETE"),
        (Tile(1, 0, 1).path(), bytes(32), "MIRROR_DAMAGED"),
        ("checkpoint", None, "MIRROR_EMPTY"),
        ("checkpoint", b"silkledger.example/mirrored\n300\n", "NOTE_MALFORMED"),
    ],
)
async def test_whatever_is_altered_or_missing_is_named(
    mirror: MirrorDirectory, path: str, change: bytes | None, reason: str
) -> None:
    log = MemoryLog(300)
    await extend(mirror, log, log.vkey)
    if change is None:
        (mirror.root / path).unlink()
    else:
        (mirror.root / path).write_bytes(change)
    with pytest.raises(MirrorError) as refused:
        verify_mirror(mirror, log.vkey)
    assert refused.value.reason == reason


async def test_an_altered_entry_is_named_by_its_index(mirror: MirrorDirectory) -> None:
    log = MemoryLog(300)
    await extend(mirror, log, log.vkey)
    bundle = mirror.root / Bundle(1, 44).path()
    bundle.write_bytes(bundle.read_bytes().replace(b"entry 270 of", b"entry 271 of"))
    with pytest.raises(MirrorError, match=r"entry 270 is not the one in tile/0/001\.p/44"):
        verify_mirror(mirror, log.vkey)


async def test_one_writer_at_a_time(mirror: MirrorDirectory) -> None:
    with mirror.owned(), pytest.raises(MirrorError, match="MIRROR_IN_USE"), mirror.owned():
        pass


async def test_any_web_server_serves_it_and_a_client_proves_an_entry_from_tiles_alone(
    mirror: MirrorDirectory,
) -> None:
    log = MemoryLog(700)
    await extend(mirror, log, log.vkey)
    shutil.rmtree(mirror.root / "refused", ignore_errors=True)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(mirror.root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def get(path: str) -> bytes:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/{path}", timeout=5) as answer:
                return bytes(answer.read())

        checkpoint = verify_note(get("checkpoint").decode(), log.vkey)
        bundle = bundles_between(0, checkpoint.size)[2]
        entry = decode_bundle(get(bundle.path()), bundle.width)[100]
        path = hash_ranges(
            inclusion_ranges(612, checkpoint.size),
            lambda nodes: [node_in_tile(n, get(tile_of(n, checkpoint.size).path())) for n in nodes],
        )
        verify_inclusion(612, checkpoint.size, leaf_hash(entry), path, checkpoint.root)
        server.shutdown()


async def test_a_mirror_goes_on_while_the_log_changes_its_key(mirror: MirrorDirectory) -> None:
    log = MemoryLog(3)
    new = generate(Suite.EDDSA)
    keys = [log.vkey, LogVerifierKey.of(log.vkey.name, new.verifying_key)]
    await extend(mirror, log, log.vkey)
    log.grow(2)
    log.signers = [new, log.key]
    assert (await extend(mirror, log, log.vkey)).checkpoint.size == 5
    log.grow(2)
    log.signers = [new]
    assert await refusal(mirror, log) == "NOTE_NOT_SIGNED"
    assert (await extend(mirror, log, keys)).checkpoint.size == 7
    assert verify_mirror(mirror, keys).checkpoint.size == 7
    with pytest.raises(MirrorError) as refused:
        verify_mirror(mirror, log.vkey)
    assert refused.value.reason == "NOTE_NOT_SIGNED"
