"""Both verifiers say the same of damaged bundles, byte for byte, and neither lets one pass."""

from __future__ import annotations

import random
from hashlib import sha256
from pathlib import Path

import pytest

from silkledger.evidence.header import EngineKind
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verify import verify_bundle
from silkledger.values import Digest
from tests.integration.verifier_ts.node import Question, ask, stable, stable_of_python
from tests.unit.evidence.full_bundle import full_bundle
from tests.unit.evidence.qbft_chain import validators
from tests.unit.evidence.world import CN, DOCUMENT, World

DIGEST = Digest(sha256(DOCUMENT).digest())
SAMPLES = 250
GOOD = ("PASS", "PASS_DEVELOPMENT_ONLY")


def _bundle(engine: EngineKind) -> tuple[bytes, TrustRoots]:
    """A small whole bundle: registration and as-of block are one, the issuer's own country relies."""
    sealed = engine is EngineKind.QBFT
    world = World(
        engine=engine,
        members=validators(1),
        registration=11,
        as_of=11,
        relying=(CN,),
        first_header=10 if sealed else None,
    )
    return world.evidence().encode(), world.roots([10] if sealed else None, relying=CN)


def _mutations(data: bytes) -> list[bytes]:
    """Sampled from a fixed seed: one byte changed, put in, or taken away; and cuts."""
    chosen = random.Random(1)
    made: list[bytes] = []
    for position in chosen.sample(range(len(data)), SAMPLES):
        changed = bytearray(data)
        changed[position] ^= chosen.randrange(1, 256)
        made.append(bytes(changed))
    for position in chosen.sample(range(len(data)), SAMPLES // 10):
        made.append(data[:position] + bytes([chosen.randrange(256)]) + data[position:])
        made.append(data[:position] + data[position + 1 :])
        made.append(data[:position])
    return made


@pytest.mark.parametrize("engine", list(EngineKind))
def test_both_verifiers_say_the_same_of_every_damaged_bundle(engine: EngineKind, tmp_path: Path) -> None:
    _compare(*_bundle(engine), tmp_path)


def test_of_a_cosigned_and_promised_manifest_as_well(tmp_path: Path) -> None:
    bundle, roots = full_bundle()
    _compare(bundle.encode(), roots, tmp_path)


def _compare(data: bytes, roots: TrustRoots, tmp_path: Path) -> None:
    damaged = [data, *_mutations(data)]
    text = roots.to_json()
    theirs = ask((Question(one, text, str(DIGEST)) for one in damaged), tmp_path)
    assert theirs[0]["outcome"] in GOOD, "undamaged"
    assert [v["outcome"] for v in theirs[1:] if v["outcome"] in GOOD] == []
    differing = [
        (found, wanted)
        for one, other in zip(damaged, theirs, strict=True)
        if (found := stable(other)) != (wanted := stable_of_python(verify_bundle(DIGEST, one, roots)))
    ]
    assert differing == []
