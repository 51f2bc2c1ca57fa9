"""Both verifiers read the same statements, and refuse the same, wherever the format draws the line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from silkledger import cbor, cose
from silkledger.evidence.verify import verify_bundle
from silkledger.values import Digest
from tests.integration.verifier_ts.node import ROOT, Question, ask, stable, stable_of_python
from tests.unit.evidence.world import DOCUMENT, World

VECTORS = json.loads((ROOT / "tests/vectors/statement/statement.json").read_text())
DIGEST = Digest(sha256(DOCUMENT).digest())
CLAIMS = 15
DID = "did:ethr:0x1c95:0x" + "ab" * 20
VARIANTS: list[tuple[tuple[int, ...], Any]] = [
    *[
        ((CLAIMS, 2), subject)
        for subject in ("", "x", "x" * 256, "x" * 257, "船" * 256, "🚢" * 256, "🚢" * 257)
    ],
    *[((CLAIMS, 2), f"a{chr(code)}b") for code in (0, 9, 0x7F, 0x85, 0xA0, 0xAD, 0x200B, 0x200F, 0x2010)],
    *[((CLAIMS, 2), f"a{chr(code)}b") for code in (0x202E, 0x202F, 0x2060, 0x206A, 0x3000, 0xFEFF, 0xFFFD)],
    *[((CLAIMS, 2), f"{chr(code)}ab") for code in (0x20, 0xA0, 0x1680, 0x2003, 0x3000, 0x180E, 0xFEFF)],
    *[((CLAIMS, 6), value) for value in (0, 1, -1, 253_402_300_799, 253_402_300_800, 2**63, True, "1", None)],
    *[((CLAIMS, -70001), value) for value in ("705", "", "123456789", "70 5", "７０５", "abcXYZ12", 705)],
    *[((CLAIMS, -70002), value) for value in (bytes(16), bytes(15), bytes(17), "x" * 16)],
    *[((CLAIMS, -70003), value) for value in (bytes(32), bytes(31), None)],
    *[
        ((CLAIMS, -70004), value)
        for value in ([], [DID], [DID, DID], [DID[:-1]], [DID, 1], DID, [DID.upper()])
    ],
    ((CLAIMS, -70004), [f"did:ethr:0x1c95:0x{number:040x}" for number in range(64)]),
    ((CLAIMS, -70004), [f"did:ethr:0x1c95:0x{number:040x}" for number in range(65)]),
    *[
        ((CLAIMS, -70005), value)
        for value in (bytes(33), b"\x02" + b"\xff" * 32, bytes(32), b"\x04" + bytes(32))
    ],
    *[
        ((CLAIMS, 1), value)
        for value in (DID, "did:ethr:0x01:0x" + "ab" * 20, "did:ethr:0x0:0x" + "ab" * 20, 1)
    ],
    ((CLAIMS, 7), 1),
    ((CLAIMS, "x"), 1),  # type: ignore[list-item]
    ((CLAIMS,), []),
    *[
        ((259,), value)
        for value in ("text/plain", "text", "text/", "a/b;c=d", "a/b;", "a/b\n", "é/b", b"a/b")
    ],
    ((259,), "a/" + "b" * 65),
    *[((258,), value) for value in (-16, -44, True, None)],
    *[((1,), value) for value in (-47, -7, -8, -65601, -35, 0, True, "ES256K")],
    *[((4,), value) for value in (b"", b"x", "text", f"{DID}#controller".encode(), b"\xff")],
    ((3,), "text/plain"),
    ((99,), 0),
]


def _changed(raw: bytes, path: tuple[int, ...], value: object) -> bytes:
    sign1 = cose.parse_sign1(raw, limit=8192)
    header = dict(sign1.protected)
    inner = header
    for label in path[:-1]:
        inner[label] = dict(inner[label])
        inner = inner[label]
    inner[path[-1]] = value
    return cose.encode_sign1(cbor.encode(header), sign1.payload, sign1.signature)


def _fragments(raw: bytes) -> Iterator[bytes]:
    issuer = cose.parse_sign1(raw, limit=8192).protected[CLAIMS][1]
    for fragment in (
        "delegate-1",
        "delegate-0",
        "delegate-01",
        "delegate-999999",
        "delegate-1000000",
        "Controller",
    ):
        changed = _changed(raw, (4,), f"{issuer}#{fragment}".encode())
        yield changed
        header = cose.parse_sign1(changed, limit=8192).protected
        claims = {key: value for key, value in header[CLAIMS].items() if key != -70005}
        yield _changed(changed, (CLAIMS,), claims)


def _statements(raw: bytes) -> Iterator[bytes]:
    yield raw
    for vector in VECTORS["accepted"] + VECTORS["refused"]:
        yield bytes.fromhex(vector["raw"])
    yield bytes.fromhex(VECTORS["manifest"]["raw"])
    for path, value in VARIANTS:
        yield _changed(raw, path, value)
    yield from _fragments(raw)
    sign1 = cose.parse_sign1(raw, limit=8192)
    for signature in (b"", sign1.signature[:-1], sign1.signature + b"\0", bytes(64), b"\xff" * 64):
        yield cose.encode_sign1(sign1.protected_raw, sign1.payload, signature)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = order - int.from_bytes(sign1.signature[32:], "big")
    twin = sign1.signature[:32] + high.to_bytes(32, "big")
    yield cose.encode_sign1(sign1.protected_raw, sign1.payload, twin)


def test_both_verifiers_draw_the_line_in_the_same_place(tmp_path: Path) -> None:
    world = World()
    bundle, roots = world.evidence(), world.roots()
    bundles = [replace(bundle, statement=raw).encode() for raw in _statements(world.statement.raw)]
    theirs = ask((Question(one, roots.to_json(), str(DIGEST)) for one in bundles), tmp_path)
    ours = [verify_bundle(DIGEST, one, roots) for one in bundles]
    assert theirs[0]["outcome"] == "PASS_DEVELOPMENT_ONLY"
    assert {verdict.check("statement").reason for verdict in ours} >= {"", "STATEMENT_MALFORMED"}
    differing = [
        (found, wanted)
        for one, other in zip(ours, theirs, strict=True)
        if (found := stable(other)) != (wanted := stable_of_python(one))
    ]
    assert differing == []
