"""The committed vectors still hold: formats that were published cannot drift unnoticed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from silkledger.keys import SignatureInvalid, Suite, VerifyingKey
from silkledger.log.checkpoint import LogVerifierKey, verify_cosignature, verify_note
from silkledger.log.promise import verify_promise
from silkledger.log.receipt import verify_receipt
from silkledger.log.tree import Tree, leaf_hash, verify_consistency, verify_inclusion
from silkledger.manifest import parse_manifest, verify_document
from silkledger.statement import StatementError, parse_statement
from silkledger.values import Digest

HERE = Path(__file__).parent


def load(name: str) -> Any:
    return json.loads((HERE / f"{name}.json").read_text())


LOG = load("log/log")
STATEMENTS = load("statement/statement")


def test_the_generator_writes_exactly_these_files() -> None:
    tool = HERE.parents[1] / "tools" / "vectors_core.py"
    run = subprocess.run([sys.executable, str(tool), "--check"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.parametrize("case", load("keys/suites")["suites"], ids=lambda case: str(case["suite"]))
def test_suites(case: dict[str, Any]) -> None:
    key = VerifyingKey.from_multikey(case["multikey"])
    assert key == VerifyingKey(Suite(case["cose_alg"]), bytes.fromhex(case["public"]))
    assert key.to_multicodec().hex() == case["multicodec"]
    message = bytes.fromhex(case["message"])
    key.verify(message, bytes.fromhex(case["signature"]))
    for reason, signature in case["refused"].items():
        with pytest.raises(SignatureInvalid) as caught:
            key.verify(message, bytes.fromhex(signature))
        assert caught.value.reason == reason


@pytest.mark.parametrize("case", STATEMENTS["accepted"])
def test_accepted_statements(case: dict[str, Any]) -> None:
    statement = parse_statement(bytes.fromhex(case["raw"]))
    statement.verify(VerifyingKey.from_multikey(case["key"]))
    assert (statement.id.hex(), statement.kid, statement.suite.name) == (
        case["id"],
        case["kid"],
        case["suite"],
    )
    assert statement.sig_structure.hex() == case["sig_structure"]


@pytest.mark.parametrize("case", STATEMENTS["refused"], ids=lambda case: str(case["reason"]))
def test_refused_statements(case: dict[str, str]) -> None:
    with pytest.raises(StatementError) as caught:
        parse_statement(bytes.fromhex(case["raw"]))
    assert caught.value.reason == case["reason"]


def test_manifest() -> None:
    case = STATEMENTS["manifest"]
    manifest = parse_manifest(bytes.fromhex(case["raw"]))
    key = manifest.carried_key()
    assert key is not None
    manifest.verify(key)
    for document in case["documents"]:
        leaf = bytes.fromhex(document["leaf"])
        path = [bytes.fromhex(h) for h in document["path"]]
        # The digest is the third item of the leaf: after the array head, the version, and the 17 bytes of
        # salt.
        digest = Digest(leaf[21:53])
        verify_document(manifest, digest, leaf, document["index"], path)


def test_log_proofs() -> None:
    roots = [bytes.fromhex(root) for root in LOG["roots"]]
    entries = [bytes.fromhex(entry) for entry in LOG["entries"]]
    tree = Tree()
    tree.extend(entries)
    assert [tree.root(n) for n in range(21)] == roots
    for case in LOG["inclusion"]:
        path = [bytes.fromhex(h) for h in case["path"]]
        verify_inclusion(
            case["index"], case["size"], leaf_hash(entries[case["index"]]), path, roots[case["size"]]
        )
    for case in LOG["consistency"]:
        path = [bytes.fromhex(h) for h in case["path"]]
        verify_consistency(case["old"], case["new"], roots[case["old"]], roots[case["new"]], path)


def test_log_signatures() -> None:
    vkey = LogVerifierKey.parse(LOG["vkey"])
    head = verify_note(LOG["checkpoint"], vkey)
    assert (head.size, head.root.hex()) == (20, LOG["roots"][20])
    assert verify_note(LOG["cosigned"], vkey) == head
    assert verify_cosignature(LOG["cosigned"], LogVerifierKey.parse(LOG["witness_vkey"])) == 1_790_000_000
    entry = bytes.fromhex(LOG["entries"][LOG["receipt"]["index"]])
    assert verify_receipt(bytes.fromhex(LOG["receipt"]["raw"]), entry, vkey, head).index == 11
    promise = verify_promise(bytes.fromhex(LOG["promise"]), vkey)
    assert [identifier[0] for identifier in promise.statement_ids] == [3, 1, 2]
