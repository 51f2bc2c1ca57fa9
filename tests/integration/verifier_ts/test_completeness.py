"""Both verifiers give the same answers to every question of tests/vectors/evidence/completeness.json, and to
every damaged proof."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from silkledger.cli.completeness import document
from silkledger.cli.exit_codes import ExitCode
from silkledger.evidence.completeness import EventQuestion
from silkledger.evidence.completeness_verdict import verify_completeness
from silkledger.evidence.header import EngineKind
from silkledger.evidence.reasons import Reason
from tests.integration.verifier_ts.node import MAIN, ROOT, run_script, stable, stable_of_python
from tests.unit.evidence.contract_world import ContractWorld
from tests.unit.evidence.event_world import EventWorld
from tests.unit.evidence.qbft_chain import validators
from tests.vectors.evidence import write_completeness
from tests.vectors.evidence.completeness_cases import REASONS

VECTORS = ROOT / "tests/vectors/evidence"
SCRIPT = MAIN.with_name("completeness-main.ts")
SAMPLES = 150
CONTRACT_MODE_REASONS = {
    Reason.QBFT_NOT_EMPTY,
    Reason.VALIDATOR_CONTRACT,
    Reason.VALIDATOR_SET,
    Reason.VALIDATORS_NOT_PROVEN,
}


def ask(questions: Iterable[tuple[bytes, str, EventQuestion]], folder: Path) -> list[dict[str, Any]]:
    """The answers of one Node.js process, in order."""
    file = folder / "questions.jsonl"
    with file.open("w") as lines:
        for proof, roots, question in questions:
            fields = {
                "proof": base64.b64encode(proof).decode(),
                "roots": roots,
                "contract": str(question.contract),
                "topic": f"0x{question.topic.hex()}",
                "first": str(question.first),
                "last": str(question.last),
            }
            lines.write(json.dumps(fields) + "\n")
    done = run_script(SCRIPT, "--batch", file)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return ask(
        [(case.proof, case.roots.to_json(), case.question) for case in write_completeness.cases()],
        tmp_path_factory.mktemp("completeness"),
    )


def test_the_second_verifier_gives_every_committed_answer(theirs: list[dict[str, Any]]) -> None:
    index = json.loads((VECTORS / "completeness.json").read_text())
    assert len(theirs) == len(index["cases"])
    differing = {}
    for case, answer in zip(index["cases"], theirs, strict=True):
        found = stable(answer)
        checks = found.pop("checks")
        found["notPassed"] = {name: [result, reason] for name, result, reason in checks if result != "PASS"}
        if (found, answer["events"]) != (case["verdict"], case["events"]):
            differing[case["name"]] = (found, case["verdict"])
    assert differing == {}


def test_both_make_the_same_checks_in_the_same_order(theirs: list[dict[str, Any]]) -> None:
    ours = [stable_of_python(answer.verdict) for _, answer in write_completeness.answers()]
    assert [stable(answer) for answer in theirs] == ours


def test_the_vectors_reach_every_reason_of_their_own(theirs: list[dict[str, Any]]) -> None:
    given = {check["reason"] for answer in theirs for check in answer["checks"]}
    assert {reason.value for reason in REASONS | CONTRACT_MODE_REASONS} <= given


def test_the_committed_vectors_are_what_their_generator_writes() -> None:
    for name, data in write_completeness.files().items():
        assert (VECTORS / name).read_bytes() == data, name


def small_worlds() -> dict[str, EventWorld]:
    """Two blocks, of which the first has two events."""
    plain, sealed = (
        EventWorld(engine=engine, members=validators(1), first=12, last=13, start=11, end=14)
        for engine in EngineKind
    )
    return {"plain": plain, "sealed": sealed, "contract": ContractWorld(start=11, first=12, last=13, end=14)}


@pytest.mark.parametrize("name", small_worlds())
def test_both_say_the_same_of_every_damaged_proof(name: str, tmp_path: Path) -> None:
    world = small_worlds()[name]
    data, roots, question = world.proof().encode(), world.roots(), world.question
    chosen = random.Random(2)
    damaged = [data]
    for position in chosen.sample(range(len(data)), SAMPLES):
        changed = bytearray(data)
        changed[position] ^= chosen.randrange(1, 256)
        damaged += [bytes(changed), data[:position] + data[position + 1 :]]
    theirs = ask(((one, roots.to_json(), question) for one in damaged), tmp_path)
    answers = [verify_completeness(one, roots, question) for one in damaged]
    assert [stable(other) for other in theirs] == [stable_of_python(one.verdict) for one in answers]
    assert [other["events"] for other in theirs] == [document(one)["events"] for one in answers]
    assert len(theirs[0]["events"]) == 2
    assert not any(other["events"] for other in theirs[1:])


def test_the_command_line(tmp_path: Path) -> None:
    world = EventWorld()
    roots, proof = tmp_path / "roots.json", tmp_path / "proof"
    roots.write_text(world.roots().to_json())
    proof.write_bytes(world.proof().encode())
    question = world.question
    asked = ["--contract", str(question.contract), "--topic", f"0x{question.topic.hex()}"]
    done = run_script(SCRIPT, "--trust-roots", roots, *asked, "--from", "11", "--to", "17", proof)
    assert done.returncode == ExitCode.DEVELOPMENT_ONLY
    assert [event["blockNumber"] for event in json.loads(done.stdout)["events"]] == [12, 12, 16]
    named = ["--contract", "LogAnchor", "--topic", f"0x{question.topic.hex()}"]
    done = run_script(SCRIPT, "--trust-roots", roots, *named, "--from", "11", "--to", "17", proof)
    assert done.returncode == ExitCode.FAILED
    assert "OTHER_CONTRACT" in done.stdout
    for bad in (["--from", "0", "--to", "17"], ["--from", "x", "--to", "17"], ["--from", "9"]):
        done = run_script(SCRIPT, "--trust-roots", roots, *asked, *bad, proof)
        assert done.returncode == ExitCode.USAGE
        assert len(done.stderr.splitlines()) == 1
