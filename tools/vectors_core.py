"""Write the test vectors of keys, statements and the log. Run it again and nothing changes.

`python tools/vectors_core.py` writes; `--check` compares and exits 1 on a difference. All keys in here are
published test keys. What the vectors mean is told in docs/formats/.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any, Final

import gmalg  # type: ignore[import-not-found, import-untyped, unused-ignore]

from silkledger import cbor, cose
from silkledger.keys import PrivateKey, Suite, VerifyingKey
from silkledger.keys.account import Account
from silkledger.keys.suites import FACTS
from silkledger.log.checkpoint import Checkpoint, LogVerifierKey, NoteKeyType, cosign, sign_checkpoint
from silkledger.log.promise import make_promise
from silkledger.log.receipt import make_receipt
from silkledger.log.tree import Tree
from silkledger.manifest import ManifestLeaf, manifest_tree, salt_subject, sign_manifest
from silkledger.statement import parse_statement, sign_statement
from silkledger.values import Did, Digest, DocumentType, StatementId

OUT: Final = Path(__file__).resolve().parent.parent / "tests" / "vectors"
ORIGIN: Final = "silkledger.example/embedded"
ISSUED: Final = 1_790_000_000
ACCOUNT: Final = Account.from_secret(b"\x01" * 32)
DID: Final = Did.of(7317, ACCOUNT.address)
LOG_KEY: Final = PrivateKey(Suite.EDDSA, b"\x02" * 32)


class FixedSm2:
    """An SM2 signer whose nonce is a published constant, so that its vectors can be made again. Never a
    real one."""

    def __init__(self, secret: bytes) -> None:
        self._key = PrivateKey(Suite.SM2, secret)

    @property
    def suite(self) -> Suite:
        return Suite.SM2

    @property
    def verifying_key(self) -> VerifyingKey:
        return self._key.verifying_key

    def sign(self, message: bytes) -> bytes:
        nonce = int.from_bytes(hashlib.sha256(b"vector" + message).digest(), "big") >> 1
        uid = b"1234567812345678"
        signer = gmalg.SM2(
            sk=self._key.export_secret(), uid=uid, pk=self.verifying_key.public, rnd_fn=lambda bits: nonce
        )
        r, s = signer.sign(message)
        return bytes(r.rjust(32, b"\0") + s.rjust(32, b"\0"))


def signer(suite: Suite) -> PrivateKey | FixedSm2:
    secret = bytes([abs(suite) % 250 + 1]) * 32
    return FixedSm2(secret) if suite is Suite.SM2 else PrivateKey(suite, secret)


def keys() -> dict[str, Any]:
    message, cases = b"silkledger test vector", []
    for suite in Suite:
        key = signer(suite)
        signature = key.sign(message)
        case: dict[str, Any] = {
            "suite": suite.name,
            "cose_alg": int(suite),
            "public": key.verifying_key.public.hex(),
            "multicodec": key.verifying_key.to_multicodec().hex(),
            "multikey": key.verifying_key.to_multikey(),
            "message": message.hex(),
            "signature": signature.hex(),
            "refused": {"SIGNATURE_LENGTH": signature[:63].hex(), "SIGNATURE_INVALID": _turned(signature)},
        }
        facts = FACTS[suite]
        if facts.low_s and facts.order:
            high = (facts.order - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")
            case["refused"]["SIGNATURE_HIGH_S"] = (signature[:32] + high).hex()
        if facts.order:
            case["refused"]["SIGNATURE_RANGE"] = (signature[:32] + bytes(32)).hex()
        cases.append(case)
    return {"suites": cases, "account": {"public": ACCOUNT.public_key.hex(), "address": str(ACCOUNT.address)}}


def _turned(signature: bytes) -> str:
    return (bytes([signature[0] ^ 1]) + signature[1:]).hex()


def make_statement(key: PrivateKey | FixedSm2, fragment: str, **extra: Any) -> bytes:
    return sign_statement(
        key,
        issuer=DID,
        kid=f"{DID}#{fragment}",
        subject="bl/SAMPLE0000001",
        document_type=DocumentType("705"),
        digest=Digest(hashlib.sha256(b"sample bill of lading").digest()),
        content_type="application/json",
        issued_at=ISSUED,
        salt=bytes(range(16)),
        **extra,
    )


def statements() -> dict[str, Any]:
    good = [make_statement(ACCOUNT.key, "controller")]
    good.append(
        make_statement(ACCOUNT.key, "controller", supersedes=StatementId(b"\x07" * 32), audience=[DID])
    )
    good += [make_statement(signer(suite), "delegate-1") for suite in Suite]
    accepted = []
    for raw in good:
        parsed = parse_statement(raw)
        key = parsed.carried_key() or signer(parsed.suite).verifying_key
        parsed.verify(key)
        accepted.append(
            {
                "suite": parsed.suite.name,
                "raw": raw.hex(),
                "id": parsed.id.hex(),
                "sig_structure": parsed.sig_structure.hex(),
                "key": key.to_multikey(),
                "kid": parsed.kid,
                "digest": parsed.digest.hex(),
                "audience": [str(did) for did in parsed.audience],
                "supersedes": parsed.supersedes.hex() if parsed.supersedes else None,
            }
        )
    return {"accepted": accepted, "refused": refused(good[0]), "manifest": manifest()}


def refused(raw: bytes) -> list[dict[str, str]]:
    sign1 = cose.parse_sign1(raw, limit=8192)
    header, digest = sign1.protected, sign1.payload or b""

    def built(protected: dict[int | str, Any], payload: bytes = digest) -> bytes:
        data = cbor.encode(protected)
        return cose.encode_sign1(data, payload, ACCOUNT.key.sign(cose.sig_structure(data, payload)))

    claims = header[15]
    cases = {
        "COSE_TRUNCATED": raw[:-1],
        "COSE_TRAILING_BYTES": raw + b"\0",
        "COSE_TAG_MISSING": raw[1:],
        "COSE_NOT_DETERMINISTIC": b"\xd2\x98\x04" + raw[2:],
        "COSE_UNPROTECTED_NOT_EMPTY": cose.encode_sign1(
            sign1.protected_raw, digest, sign1.signature, {4: b"x"}
        ),
        "DIGEST_LENGTH": built(header, digest[:31]),
        "HEADER_UNKNOWN": built(header | {5: 0}),
        "ALG_UNSUPPORTED": built(header | {1: -257}),
        "KID_NOT_OF_ISSUER": built(header | {4: b"did:ethr:0x1c95:0x" + b"11" * 20 + b"#controller"}),
        "CLAIM_UNKNOWN": built(header | {15: claims | {7: b""}}),
        "SALT_LENGTH": built(header | {15: claims | {-70002: bytes(15)}}),
        "CONTROLLER_KEY_MISSING": built(header | {15: {k: v for k, v in claims.items() if k != -70005}}),
    }
    return [{"reason": reason, "raw": data.hex()} for reason, data in cases.items()]


def manifest() -> dict[str, Any]:
    salt, kind = bytes(range(16)), DocumentType("380")
    leaves = [
        ManifestLeaf(
            hashlib.sha256(b"leaf salt %d" % i).digest()[:16],
            Digest(hashlib.sha256(b"sample invoice %d" % i).digest()),
            kind,
            salt_subject(salt, f"inv/{i}"),
        )
        for i in range(5)
    ]
    raw = sign_manifest(
        ACCOUNT.key,
        issuer=DID,
        kid=f"{DID}#controller",
        subject="batch/1",
        document_type=kind,
        leaves=leaves,
        issued_at=ISSUED,
        salt=salt,
    )
    tree = manifest_tree(leaves)
    proofs = [
        {"index": i, "leaf": leaf.encode().hex(), "path": [h.hex() for h in tree.inclusion_path(i)]}
        for i, leaf in enumerate(leaves)
    ]
    return {"raw": raw.hex(), "root": tree.root().hex(), "documents": proofs}


def log() -> dict[str, Any]:
    entries = [b"entry %d" % i for i in range(20)]
    tree = Tree()
    tree.extend(entries)
    head = Checkpoint(ORIGIN, tree.size, tree.root())
    note = sign_checkpoint(head, LOG_KEY)
    witness = PrivateKey(Suite.EDDSA, b"\x03" * 32)
    wkey = LogVerifierKey.of("witness.example/w1", witness.verifying_key, NoteKeyType.COSIGNATURE_V1)
    receipt = make_receipt(
        LOG_KEY, origin=ORIGIN, size=20, index=11, path=tree.inclusion_path(11), root=tree.root()
    )
    promise = make_promise(
        LOG_KEY,
        origin=ORIGIN,
        statement_ids=[StatementId(bytes([i]) * 32) for i in (3, 1, 2)],
        accepted_at_ms=ISSUED * 1000,
        log_by_ms=ISSUED * 1000 + 60_000,
        organisation=DID,
        request_id="00000000-0000-4000-8000-000000000001",
    )
    pairs = [(1, 2), (3, 7), (4, 7), (6, 13), (8, 16), (16, 20), (19, 20)]
    places = [(0, 1), (0, 8), (5, 8), (6, 7), (11, 20), (19, 20)]
    return {
        "entries": [entry.hex() for entry in entries],
        "roots": [tree.root(size).hex() for size in range(21)],
        "inclusion": [
            {"index": i, "size": n, "path": [h.hex() for h in tree.inclusion_path(i, n)]} for i, n in places
        ],
        "consistency": [
            {"old": m, "new": n, "path": [h.hex() for h in tree.consistency_path(m, n)]} for m, n in pairs
        ],
        "vkey": str(LogVerifierKey.of(ORIGIN, LOG_KEY.verifying_key)),
        "checkpoint": note,
        "witness_vkey": str(wkey),
        "cosigned": cosign(note, wkey.name, witness, ISSUED),
        "receipt": {"index": 11, "raw": receipt.hex()},
        "promise": promise.hex(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    check = parser.parse_args().check
    differs = False
    for name, content in (("keys/suites", keys()), ("statement/statement", statements()), ("log/log", log())):
        path, text = OUT / f"{name}.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        if check and (not path.exists() or path.read_text() != text):
            print(f"{path} differs from what tools/vectors_core.py writes")
            differs = True
        elif not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return int(differs)


if __name__ == "__main__":
    sys.exit(main())
