"""A witness cosigns what extends what it cosigned, once stored, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from silkledger.keys import Suite, generate
from silkledger.log.checkpoint import Checkpoint, LogVerifierKey, sign_checkpoint, verify_cosignature
from silkledger.values import MerkleRoot
from silkledger.witness.request import MAX_BODY, AddCheckpoint, RequestMalformed
from silkledger.witness.server import WitnessServer
from silkledger.witness.state import WitnessState
from silkledger.witness.witness import Answer, Witness
from tests.support.log_source import ORIGIN, MemoryLog

NOW = 1_790_000_000
"""Unix seconds."""


class Rig:
    """A witness of one log, and that log."""

    def __init__(self, folder: Path) -> None:
        self.log = MemoryLog(700)
        self.tree = self.log.tree
        self.key = generate(Suite.EDDSA)
        self.file = folder / "witness.sqlite"
        self.witness = self.open()

    def open(self) -> Witness:
        self.state = WitnessState(self.file)
        return Witness("witness.example/w1", self.key, [self.log.vkey], self.state, lambda: NOW)

    def note(self, size: int, root: bytes | None = None) -> str:
        return sign_checkpoint(
            Checkpoint(ORIGIN, size, MerkleRoot(root or self.tree.root(size))), self.log.key
        )

    def body(self, old: int, size: int) -> bytes:
        proof = self.tree.consistency_path(old, size) if 0 < old <= size else []
        return AddCheckpoint(old, tuple(proof), self.note(size)).encode()

    def add(self, old: int, size: int) -> Answer:
        return self.witness.add_checkpoint(self.body(old, size))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.state.close()


def test_each_head_that_extends_the_last_is_cosigned(rig: Rig) -> None:
    for old, size in ((0, 1), (1, 256), (256, 256), (256, 700)):
        answer = rig.add(old, size)
        assert answer.status == 200, answer
        assert verify_cosignature(rig.note(size) + answer.body, rig.witness.vkey) == NOW
    assert rig.state.note(ORIGIN) == rig.note(700)


def test_the_first_head_may_be_the_empty_tree(rig: Rig) -> None:
    assert rig.add(0, 0).status == 200
    assert rig.add(0, 5).status == 200


def test_another_old_size_is_told_the_cosigned_one(rig: Rig) -> None:
    assert rig.add(5, 700) == Answer(409, "0\n", "text/x.tlog.size")
    assert rig.add(0, 300).status == 200
    assert rig.add(0, 700) == Answer(409, "300\n", "text/x.tlog.size")
    assert rig.add(299, 700) == Answer(409, "300\n", "text/x.tlog.size")
    assert rig.add(300, 700).status == 200


def test_a_rewritten_log_is_never_cosigned(rig: Rig) -> None:
    assert rig.add(0, 300).status == 200
    rig.log.all[7] = b"altered"
    rig.tree = rig.log.tree
    assert rig.add(300, 300) == Answer(409, "300\n", "text/x.tlog.size")
    answer = rig.add(300, 700)
    assert answer.status == 422
    assert answer.body.startswith("OLD_ROOT_MISMATCH")
    assert rig.add(700, 300).status == 400
    rig.tree = MemoryLog(700).tree
    assert rig.add(300, 700).status == 200


def test_wrong_proofs_are_refused_and_change_nothing(rig: Rig) -> None:
    needless = AddCheckpoint(0, (bytes(32),), rig.note(300)).encode()
    assert rig.witness.add_checkpoint(needless).status == 422
    assert rig.state.head(ORIGIN) is None
    assert rig.add(0, 300).status == 200
    missing = AddCheckpoint(300, (), rig.note(700)).encode()
    assert rig.witness.add_checkpoint(missing).status == 422
    head = rig.state.head(ORIGIN)
    assert head is not None
    assert head.size == 300


def test_unknown_origins_and_keys(rig: Rig) -> None:
    root = MerkleRoot(bytes(32))
    other = sign_checkpoint(Checkpoint("other.example/log", 1, root), rig.log.key)
    assert rig.witness.add_checkpoint(AddCheckpoint(0, (), other).encode()).status == 404
    stranger = sign_checkpoint(Checkpoint(ORIGIN, 1, root), generate(Suite.EDDSA))
    assert rig.witness.add_checkpoint(AddCheckpoint(0, (), stranger).encode()).status == 403
    altered = rig.note(300).replace("\n300\n", "\n301\n")
    assert rig.witness.add_checkpoint(AddCheckpoint(0, (), altered).encode()).status == 403


def test_either_key_while_a_log_changes_its_key(rig: Rig) -> None:
    new = generate(Suite.EDDSA)
    keys = [rig.log.vkey, LogVerifierKey.of(ORIGIN, new.verifying_key)]
    witness = Witness("witness.example/w1", rig.key, keys, rig.state, lambda: NOW)
    assert witness.add_checkpoint(rig.body(0, 300)).status == 200
    rig.log.key = new
    assert witness.add_checkpoint(rig.body(300, 700)).status == 200
    assert rig.add(700, 700).status == 403


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n",
        b"old 00\n\n",
        b"old -1\n\n",
        b"new 0\n\n",
        b"old 0\nAAAA\n\n",
        b"old 0\n" + b"A" * 44 + b"\n\n",
        b"old 0\n" + b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n" * 64 + b"\n",
        b"\xff\n\n",
    ],
)
def test_malformed_requests(rig: Rig, body: bytes) -> None:
    with pytest.raises(RequestMalformed):
        AddCheckpoint.parse(body)
    assert rig.witness.add_checkpoint(body).status == 400
    assert rig.witness.add_checkpoint(b"old 0\n\nno checkpoint\n").status == 400


def test_what_was_cosigned_is_known_after_a_restart(rig: Rig) -> None:
    assert rig.add(0, 300).status == 200
    rig.state.close()
    rig.witness = rig.open()
    assert rig.add(0, 200) == Answer(409, "300\n", "text/x.tlog.size")


def test_of_requests_at_the_same_time_only_one_line_of_heads_is_cosigned(rig: Rig) -> None:
    assert rig.add(0, 300).status == 200
    bodies = [rig.body(300, size) for size in range(301, 341)]
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda body=body: answers.append(rig.witness.add_checkpoint(body)))
        for body in bodies
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers) == [200] + [409] * 39


def post(url: str, body: bytes) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


def test_over_http(rig: Rig) -> None:
    with WitnessServer(("127.0.0.1", 0), rig.witness) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        status, _, line = post(f"{base}/add-checkpoint", rig.body(0, 300))
        assert status == 200
        assert verify_cosignature(rig.note(300) + line, rig.witness.vkey) == NOW
        assert post(f"{base}/add-checkpoint", rig.body(0, 300)) == (409, "text/x.tlog.size", "300\n")
        assert post(f"{base}/elsewhere", b"")[0] == 404
        assert post(f"{base}/add-checkpoint", bytes(MAX_BODY + 1))[0] == 413
        server.shutdown()


def test_as_a_process(rig: Rig, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "silkledger.witness", "--name", "witness.example/w2"]
    command += ["--key", str(tmp_path / "w2.pem"), "--state", str(tmp_path / "w2.sqlite")]
    refused = subprocess.run([*command, "--log", "no key"], capture_output=True, text=True, timeout=30)
    assert refused.returncode == 2
    assert "VKEY_MALFORMED" in refused.stderr
    process = subprocess.Popen([*command, "--log", str(rig.log.vkey)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    vkey = LogVerifierKey.parse(process.stdout.readline().strip())
    url = process.stdout.readline().strip()
    status, _, line = post(f"{url}/add-checkpoint", rig.body(0, 300))
    assert status == 200
    assert verify_cosignature(rig.note(300) + line, vkey) > NOW
    process.terminate()
    assert process.wait(10) == 0
    process.stdout.close()
