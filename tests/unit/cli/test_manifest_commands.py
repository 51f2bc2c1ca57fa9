"""`silkledger manifest` and `evidence attach`, as far as they need no service."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from silkledger.cli.__main__ import app
from silkledger.cli.context import CommandFailed
from silkledger.cli.document_lists import documents_of
from silkledger.cli.exit_codes import ExitCode
from silkledger.evidence.bundle import decode_bundle
from silkledger.evidence.verify import verify_bundle
from silkledger.values import Digest
from tests.unit.client.test_manifests import held, of_world
from tests.unit.evidence.manifest_world import ManifestWorld
from tests.unit.evidence.witnesses import NAMES, pin, promise, vkey, with_cosignatures
from tests.unit.evidence.world import DOCUMENT, World

DIGEST = Digest(sha256(DOCUMENT).digest())


def run(*arguments: object) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout)


# Which documents


def test_files_and_the_files_of_a_folder_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "invoices"
    (folder / "older").mkdir(parents=True)
    for name in ("b.xml", "a.xml", ".hidden"):
        (folder / name).write_bytes(name.encode())
    (tmp_path / "single").write_bytes(b"one")
    found = documents_of([tmp_path / "single", folder], None)
    assert [item.name for item in found] == ["single", "a.xml", "b.xml"]
    assert found[1].digest == Digest(sha256(b"a.xml").digest())
    assert found[1].subject == "urn:silkledger:file:a.xml"


def test_a_list_names_files_beside_it_or_digests(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(b"a")
    listing = tmp_path / "list.csv"
    listing.write_text(f'\ufefffile,digest,subject\na.xml,,"INV, 1"\n,{"ab" * 32},INV-2\n', encoding="utf-8")
    first, second = documents_of([], listing)
    assert (first.name, first.subject, first.digest) == ("a.xml", "INV, 1", Digest(sha256(b"a").digest()))
    assert (second.name, second.subject, second.digest) == ("0x" + "ab" * 32, "INV-2", Digest(b"\xab" * 32))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name,subject\nx,y\n",
        "file,colour\na,b\n",
        "file,digest\n,\n",
        f"file,digest\na.xml,{'ab' * 32}\n",
        "digest\nabcd\n",
        f"digest\n{'ab' * 32},more\n",
        'file\n"a\n',
    ],
)
def test_a_list_that_says_nothing_or_two_things_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(b"a")
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    with pytest.raises(CommandFailed) as caught:
        documents_of([], tmp_path / "list.csv")
    assert caught.value.code is ExitCode.USAGE


def test_nothing_is_registered_without_a_document_or_over_a_file_that_is_there(tmp_path: Path) -> None:
    out = tmp_path / "batch.manifest"
    out.write_text("mine")
    common = ("--type", "380", "--subject", "batch/1", "--data", tmp_path)
    code, answer = run("manifest", "register", "-o", out, *common)
    assert code == ExitCode.USAGE
    assert "--as" in answer["error"]["message"]
    assert out.read_text() == "mine"


# Offline


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A manifest file, the evidence of its third document, and two documents."""
    world = ManifestWorld()
    of_world(world).with_promise(promise(world)).save(tmp_path / "batch.manifest")
    (tmp_path / "third.evidence").write_bytes(world.evidence().encode())
    (tmp_path / "third").write_bytes(DOCUMENT)
    (tmp_path / "first").write_bytes(b"another document 0")
    (tmp_path / "roots.json").write_text(world.roots().to_json())
    return tmp_path


def test_a_manifest_file_is_shown(files: Path) -> None:
    code, shown = run("manifest", "show", files / "batch.manifest")
    assert code == ExitCode.OK
    assert shown["promised"] is True
    assert [item["index"] for item in shown["documents"]] == [0, 1, 2, 3, 4]
    assert shown["documents"][2]["digest"] == str(DIGEST)


def test_the_evidence_of_one_document_proves_another(files: Path) -> None:
    made = ("--evidence", files / "third.evidence", "-o", files / "first.evidence")
    code, answer = run("manifest", "prove", files / "batch.manifest", files / "first", *made)
    assert (code, answer["index"]) == (ExitCode.OK, 0)
    code, verdict = run(
        "evidence", "verify", files / "first", files / "first.evidence", "--trust-roots", files / "roots.json"
    )
    assert code == ExitCode.DEVELOPMENT_ONLY
    told = {check["name"]: check["detail"] for check in verdict["checks"]}
    assert told["document"] == "document 1 of the 5 of a manifest"
    assert told["promise"].startswith("accepted ")


def test_what_is_not_in_the_manifest_is_not_proven(files: Path) -> None:
    (files / "stranger").write_bytes(b"not in it")
    held().save(files / "other.manifest")
    (files / "broken.manifest").write_text("{}")
    made = ("--evidence", files / "third.evidence", "-o", files / "out")
    for manifest, document in (
        ("batch.manifest", "stranger"),
        ("other.manifest", "third"),
        ("broken.manifest", "third"),
        ("absent.manifest", "third"),
    ):
        code, answer = run("manifest", "prove", files / manifest, files / document, *made)
        assert code == ExitCode.USAGE, (manifest, answer)
    assert not (files / "out").exists()


def test_a_promise_and_cosignatures_are_attached(tmp_path: Path) -> None:
    world = World()
    bundle = world.evidence()
    (tmp_path / "evidence").write_bytes(bundle.encode())
    (tmp_path / "promise").write_bytes(promise(world))
    note = with_cosignatures(bundle, *NAMES[:2]).log.checkpoint
    (tmp_path / "checkpoint").write_bytes(note)
    out = tmp_path / "out"
    chosen = ("--checkpoint", tmp_path / "checkpoint", "--witness", vkey(NAMES[1]))
    code, answer = run(
        "evidence", "attach", tmp_path / "evidence", "-o", out, "--promise", tmp_path / "promise", *chosen
    )
    assert (code, answer["promise"], answer["cosigners"]) == (ExitCode.OK, True, [str(vkey(NAMES[1]))])
    first = ("--checkpoint", tmp_path / "checkpoint", "--witness", vkey(NAMES[0]))
    assert run("evidence", "attach", out, "-o", out, *first)[0] == ExitCode.OK
    roots = world.roots()
    verdict = verify_bundle(DIGEST, out.read_bytes(), replace(roots, witnesses=pin(2)))
    assert verdict.outcome.good
    assert verdict.reasons == ()
    assert decode_bundle(out.read_bytes()).log.checkpoint == note


def test_what_does_not_belong_is_not_attached(tmp_path: Path) -> None:
    world = World()
    (tmp_path / "evidence").write_bytes(world.evidence().encode())
    (tmp_path / "other").write_bytes(with_cosignatures(World(size=6).evidence(), NAMES[0]).log.checkpoint)
    (tmp_path / "own").write_bytes(with_cosignatures(world.evidence(), NAMES[0]).log.checkpoint)
    out = tmp_path / "out"
    for arguments in (
        (),
        ("--checkpoint", tmp_path / "own"),
        ("--witness", vkey(NAMES[0])),
        ("--checkpoint", tmp_path / "other", "--witness", vkey(NAMES[0])),
        ("--checkpoint", tmp_path / "own", "--witness", vkey(NAMES[1])),
        ("--checkpoint", tmp_path / "own", "--witness", "no key"),
        ("--promise", tmp_path / "absent"),
    ):
        assert run("evidence", "attach", tmp_path / "evidence", "-o", out, *arguments)[0] == ExitCode.USAGE
    assert run("evidence", "attach", tmp_path / "own", "-o", out, "--promise", tmp_path / "own")[0] == (
        ExitCode.USAGE
    )
    assert not out.exists()
