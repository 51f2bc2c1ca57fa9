"""Issuer's key in every suite, authority, document status; each at two times."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from silkledger.evidence.bundle import Contract
from silkledger.keys import PrivateKey, SigningKey, Suite
from silkledger.registry.histories import (
    HistoryRecord,
    accreditation_key,
    accreditation_status_key,
    country_key,
    document_status_key,
    identity_key,
    recognition_key,
)
from silkledger.statement import SignedStatement, parse_statement, sign_statement
from silkledger.values import Address, Did, Digest, StatementId
from tests.unit.evidence.world import BILL, CHAIN_ID, CN, DOCUMENT, GRANT, START, TH, World, account
from tests.unit.registry import records
from tests.vectors.evidence.verdict_cases import Case, case, forged
from tools.vectors_core import FixedSm2

OTHER = account(70)
SECRET = b"\x31" * 32
SIGNERS: dict[str, SigningKey] = {
    "es256k": PrivateKey(Suite.ES256K, SECRET),
    "es256": PrivateKey(Suite.ES256, SECRET),
    "eddsa": PrivateKey(Suite.EDDSA, SECRET),
    "sm2": FixedSm2(SECRET),
}
KEY_NAME = "did/pub/Multikey/veriKey"


def cases() -> Iterator[Case]:
    yield from _controllers()
    yield from _delegates()
    yield from _accreditations()
    yield from _chains()
    yield from _recognitions()
    yield from _statuses()


def _statement(world: World, key: SigningKey, kid: str, audience: tuple[Did, ...] = ()) -> SignedStatement:
    did = Did.of(CHAIN_ID, world.issuer.address)
    raw = sign_statement(
        key,
        issuer=did,
        kid=f"{did}#{kid}",
        subject="SAMPLE-BL-1",
        document_type=BILL,
        digest=Digest(sha256(DOCUMENT).digest()),
        content_type="text/plain",
        issued_at=START,
        salt=b"\x05" * 16,
        supersedes=StatementId(b"\x66" * 32),
        audience=audience,
    )
    return parse_statement(raw)


def _controllers() -> Iterator[Case]:
    for name, block, owner, signer in (
        ("owner-changed-before", 19, OTHER, OTHER),
        ("owner-changed-before-old-key", 19, OTHER, None),
        ("owner-changed-at-registration", 20, OTHER, OTHER),
        ("owner-changed-later", 22, OTHER, None),
        ("deactivated-before", 9, None, None),
        ("deactivated-later", 23, None, None),
    ):
        world = World()
        if signer is not None:
            did = Did.of(CHAIN_ID, world.issuer.address)
            world.statement = parse_statement(world.sign(signer, did))
        world.identity_record(records.owner(block, bytes(20) if owner is None else bytes(owner.address)))
        yield case(name, world)
    world = World()
    world.statement = parse_statement(world.sign(account(66), Did.of(CHAIN_ID, world.issuer.address)))
    yield case("controller-of-nobody", world)
    world = World()
    undead = [records.owner(9, bytes(20)), records.owner(10, bytes(OTHER.address))]
    key = identity_key(world.issuer.address)
    yield forged("record-after-deactivation", world, Contract.IDENTITY_REGISTRY, key, undead)
    unknown = [HistoryRecord(9, (9).to_bytes(32, "big"))]
    yield forged("record-of-unknown-kind", World(), Contract.IDENTITY_REGISTRY, key, unknown)
    padded = [HistoryRecord(9, records.owner(9, bytes(OTHER.address)).record + bytes(32))]
    yield forged("record-with-more-bytes", World(), Contract.IDENTITY_REGISTRY, key, padded)
    dirty = [HistoryRecord(9, (1).to_bytes(32, "big") + b"\x01" * 32)]
    yield forged("record-with-a-dirty-address", World(), Contract.IDENTITY_REGISTRY, key, dirty)


def _delegates() -> Iterator[Case]:
    def key_record(key: SigningKey, valid_to: int, block: int = 8) -> HistoryRecord:
        return records.attribute(block, KEY_NAME, key.verifying_key.to_multicodec(), valid_to)

    for suite, key in SIGNERS.items():
        world = World()
        world.statement = _statement(world, key, "delegate-1", (Did.of(CHAIN_ID, OTHER.address),))
        world.identity_record(key_record(key, START + 99))
        yield case(f"delegate-{suite}", world)
        wrong = World()
        second: SigningKey = PrivateKey(key.suite, b"\x32" * 32)
        wrong.statement = _statement(wrong, key, "delegate-1")
        wrong.identity_record(key_record(second, START + 99))
        yield case(f"delegate-{suite}-other-key", wrong)
    key, other = SIGNERS["es256"], SIGNERS["eddsa"]
    for name, valid_to in (("delegate-valid", START + 20), ("delegate-expired", START + 19)):
        world = World()
        world.statement = _statement(world, key, "delegate-1")
        world.identity_record(key_record(key, valid_to))
        yield case(name, world)
    relay = records.delegate(7, "relay", bytes(OTHER.address), START + 99)
    service = records.attribute(7, "did/svc/Ledger", b"https://ledger.example", START + 99)
    strange = records.attribute(7, KEY_NAME, b"\x00\x01\x02", START + 99)
    for name, kid, items in (
        ("delegate-numbered", "delegate-3", (relay, service, strange, key_record(key, START + 99))),
        ("delegate-renewed", "delegate-2", (key_record(key, START + 9), key_record(key, START + 99, 9))),
        ("delegate-old-fragment", "delegate-1", (key_record(key, START + 99), key_record(key, START + 99))),
        ("delegate-unreadable", "delegate-1", (strange,)),
        ("delegate-other-suite", "delegate-1", (key_record(other, START + 99),)),
        (
            "delegate-cleared",
            "delegate-1",
            (key_record(key, START + 99), records.owner(9, bytes(OTHER.address))),
        ),
    ):
        world = World()
        world.statement = _statement(world, key, kid)
        world.identity_record(*items)
        yield case(name, world)


def _accreditations() -> Iterator[Case]:
    for name, recorded, effective, change in (
        ("accreditation-suspended", 10, 10, 2),
        ("accreditation-revoked-later-effective-before", 22, 15, 3),
        ("accreditation-suspended-later", 22, 22, 2),
        ("accreditation-suspension-announced", 10, 21, 2),
    ):
        world = World()
        _grant_status(world, GRANT, recorded, effective, change)
        yield case(name, world)
    world = World()
    _grant_status(world, GRANT, 10, 10, 2)
    _grant_status(world, GRANT, 12, 12, 1)
    yield case("accreditation-reinstated", world)
    world = World()
    _grant_status(world, GRANT, 10, 10, 3)
    _grant_status(world, GRANT, 12, 12, 1)
    yield case("accreditation-revoked-for-ever", world)
    periods = {"not-yet": (20, 0), "expired": (6, 19), "last-block": (6, 20)}
    for name, (start, until) in periods.items():
        world = World()
        _set_grant(world, start=start, until=until)
        yield case(f"accreditation-{name}", world)
    world = World()
    world.histories[Contract.TRUST_REGISTRY][accreditation_key(world.issuer.address, BILL)].clear()
    yield case("not-accredited", world)
    world = World()
    world.histories[Contract.TRUST_REGISTRY][country_key(TH)].clear()
    yield case("country-unknown", world)
    world = World()
    key, issuer = accreditation_key(world.issuer.address, BILL), bytes(world.issuer.address)
    level = [records.grant(6, GRANT, issuer, level=4, start=6)]
    yield forged("accreditation-level-impossible", world, Contract.TRUST_REGISTRY, key, level)
    country = [records.grant(6, GRANT, issuer, code="cn", start=6)]
    yield forged("accreditation-country-impossible", World(), Contract.TRUST_REGISTRY, key, country)
    gap = [records.grant(6, GRANT, issuer, doc_type="7\x005", start=6)]
    yield forged("accreditation-type-impossible", World(), Contract.TRUST_REGISTRY, key, gap)
    world = World()
    _grant_status(world, GRANT, 10, 10, 2)
    other = [records.grant_status(10, b"\x01" * 32, 2, 10)]
    status = accreditation_status_key(GRANT)
    yield forged("accreditation-status-of-another", world, Contract.TRUST_REGISTRY, status, other)


def _set_grant(world: World, **changes: object) -> None:
    key = accreditation_key(world.issuer.address, BILL)
    fields = {"start": 6, "by": bytes(world.authority.address)} | changes
    item = records.grant(6, GRANT, bytes(world.issuer.address), **fields)  # type: ignore[arg-type]
    world.histories[Contract.TRUST_REGISTRY][key] = [item]


def _grant_status(world: World, grant: bytes, recorded: int, effective: int, status: int) -> None:
    item = records.grant_status(recorded, grant, status, effective)
    world.record(Contract.TRUST_REGISTRY, accreditation_status_key(grant), item)


def _chains() -> Iterator[Case]:
    for links in (2, 4, 5):
        yield case(f"chain-of-{links}", _chain(links))
    for name, status in (("suspended", 2), ("revoked", 3)):
        world = _chain(3)
        _grant_status(world, bytes([102]) * 32, 10, 10, status)
        yield case(f"chain-parent-{name}", world)
    yield case("chain-parent-not-yet", _chain(2, start=20))
    yield case("chain-parent-expired", _chain(2, until=19))
    world = _chain(3)
    world.histories[Contract.TRUST_REGISTRY][accreditation_key(account(102).address, BILL)].clear()
    yield case("chain-parent-unknown", world)
    world = _chain(2)
    key = accreditation_key(world.issuer.address, BILL)
    spare = records.grant(
        7, GRANT, bytes(world.issuer.address), level=1, start=30, by=bytes(world.authority.address)
    )
    world.record(Contract.TRUST_REGISTRY, key, spare)
    yield case("chain-or-a-second-accreditation", world)


def _chain(links: int, start: int = 6, until: int = 0) -> World:
    """The issuer's accreditation stands under `links - 1` others, the root of this period."""
    world = World()
    holders: list[Address] = [
        world.issuer.address,
        *(account(101 + i).address for i in range(links - 1)),
        world.authority.address,
    ]
    for index in range(links):
        last = index == links - 1
        parent = bytes(32) if last else bytes([101 + index]) * 32
        identifier = GRANT if index == 0 else bytes([100 + index]) * 32
        item = records.grant(
            6,
            identifier,
            bytes(holders[index]),
            start=start if last else 6,
            until=until if last else 0,
            parent=parent,
            by=bytes(holders[index + 1]),
        )
        world.histories[Contract.TRUST_REGISTRY][accreditation_key(holders[index], BILL)] = [item]
    return world


def _recognitions() -> Iterator[Case]:
    key = recognition_key(TH, CN, BILL)
    for name, items in (
        ("not-recognised", []),
        ("recognition-announced", [records.recognition(7, "TH", "CN", start=21)]),
        ("recognition-ended", [records.recognition(7, "TH", "CN", start=7, until=19)]),
        ("recognition-level-too-high", [records.recognition(7, "TH", "CN", level=3, start=7)]),
        (
            "recognition-withdrawn",
            [records.recognition(7, "TH", "CN", start=7), records.withdrawal(9, "TH", "CN", 10)],
        ),
        (
            "recognition-withdrawn-and-given-again",
            [
                records.recognition(7, "TH", "CN", start=7),
                records.withdrawal(9, "TH", "CN", 10),
                records.recognition(11, "TH", "CN", start=12),
            ],
        ),
        (
            "recognition-successor-announced",
            [
                records.recognition(7, "TH", "CN", start=7),
                records.recognition(9, "TH", "CN", level=3, start=22),
            ],
        ),
    ):
        world = World()
        world.histories[Contract.TRUST_REGISTRY][key] = list(items)
        yield case(name, world)


def _statuses() -> Iterator[Case]:
    for name, kind in (("revoked", 1), ("suspended", 2), ("superseded", 4)):
        world = World()
        successor = b"\x77" * 32 if kind == 4 else bytes(32)
        world.status_record(records.document_status(23, kind, 23, new_id=successor))
        yield case(f"document-{name}", world)
        yield case(f"document-{name}-later", world, as_of=22)
    world = World()
    world.status_record(records.document_status(23, 1, 21))
    yield case("document-revoked-later-effective-before", world, as_of=22)
    world = World()
    world.status_record(records.document_status(21, 2, 21), records.document_status(23, 3, 23))
    yield case("document-reinstated", world)
    yield case("document-suspended-then", world, as_of=22)
    world = World()
    world.status_record(
        records.document_status(21, 4, 21, new_id=b"\x77" * 32), records.document_status(22, 1, 22)
    )
    yield case("document-superseded-and-revoked", world)
    world = World()
    key = document_status_key(world.issuer.address, world.statement.id)
    for name, item in (
        ("successor-of-a-revocation", records.document_status(21, 1, 21, new_id=b"\x77" * 32)),
        ("kind", records.document_status(24, 5, 24)),
    ):
        yield forged(f"document-status-{name}", World(), Contract.DOCUMENT_STATUS, key, [item])
    for name, actor in (
        ("stranger", account(80)),
        ("former-owner", World().issuer),
        ("successor", account(81)),
    ):
        world = World()
        world.identity_record(records.owner(22, bytes(account(81).address)))
        world.status_record(records.document_status(23, 1, 23), actor=actor.address)
        yield case(f"document-revoked-by-{name}", world)
