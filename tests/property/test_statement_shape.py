"""A shape never reads what the strict parser would refuse or read otherwise, whatever the bytes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.ledger.domain import IssuerKeys, Violation, check_statement, check_statements
from silkledger.keys import PrivateKey, Suite, generate
from silkledger.keys.account import Account
from silkledger.statement import SignedStatement, StatementError, parse_statement, sign_statement
from silkledger.statement_shape import Read, StatementShape
from silkledger.values import Did, Digest, DocumentType, StatementId

ACCOUNT = Account.from_secret(b"\x11" * 32)
DID = Did.of(7317, ACCOUNT.address)
OTHER_KEYS = [generate(suite) for suite in (Suite.ES256, Suite.EDDSA, Suite.SM2, Suite.ES256K)]
METHODS = {f"delegate-{n}": key.verifying_key.to_multicodec() for n, key in enumerate(OTHER_KEYS, 1)}
KEYS = IssuerKeys(DID, ACCOUNT.address, False, METHODS)

SUBJECTS = st.text(min_size=1, max_size=40).filter(lambda text: text == text.strip() and text.isprintable())
TIMES = st.one_of(
    st.sampled_from([1, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 253_402_300_799]),
    st.integers(1, 2**33),
)


@st.composite
def statements(draw: st.DrawFn) -> bytes:
    chosen = draw(st.integers(0, 4))
    key: PrivateKey = ACCOUNT.key if chosen == 0 else OTHER_KEYS[chosen - 1]
    superseded = draw(st.one_of(st.none(), st.none(), st.binary(min_size=32, max_size=32)))
    return sign_statement(
        key,
        issuer=DID,
        kid=f"{DID}#controller" if chosen == 0 else f"{DID}#delegate-{chosen}",
        subject=draw(SUBJECTS),
        document_type=DocumentType(draw(st.sampled_from(["705", "380", "A"]))),
        digest=Digest(draw(st.binary(min_size=32, max_size=32))),
        content_type=draw(st.sampled_from(["application/pdf", "text/plain"])),
        issued_at=draw(TIMES),
        salt=draw(st.binary(min_size=16, max_size=16)),
        supersedes=None if superseded is None else StatementId(superseded),
        audience=[DID] if draw(st.booleans()) else [],
    )


def parsed(raw: bytes) -> SignedStatement | None:
    try:
        return parse_statement(raw)
    except StatementError:
        return None


def own(statement: SignedStatement) -> Read:
    return Read(
        bytes(statement.id),
        bytes(statement.digest),
        statement.subject,
        statement.signature,
        statement.sig_structure,
    )


@given(statements(), statements(), st.data())
@settings(max_examples=150, deadline=None)
def test_what_a_shape_reads_is_what_the_strict_parser_reads(
    one: bytes, other: bytes, data: st.DataObject
) -> None:
    shape = StatementShape.of(parse_statement(one))
    if shape is None:
        assert parse_statement(one).supersedes is not None or parse_statement(one).issued_at <= 0xFFFF
        return
    assert shape.read(one) == own(parse_statement(one))
    at = data.draw(st.integers(0, len(one) - 1))
    mutated = one[:at] + bytes((one[at] ^ data.draw(st.integers(1, 255)),)) + one[at + 1 :]
    for raw in (other, mutated, one[:-1], one + b"\0", b""):
        read = shape.read(raw)
        if read is not None:
            strict = parsed(raw)
            assert strict is not None
            assert read == own(strict)
            constant = parse_statement(one)
            assert (strict.kid, strict.document_type, strict.audience, strict.supersedes) == (
                constant.kid,
                constant.document_type,
                constant.audience,
                constant.supersedes,
            )


@given(st.lists(statements(), min_size=1, max_size=6), st.data())
@settings(max_examples=60, deadline=None)
def test_a_run_is_checked_as_its_statements_one_by_one(raws: list[bytes], data: st.DataObject) -> None:
    spoiled = list(raws)
    for _ in range(data.draw(st.integers(0, 3))):
        index = data.draw(st.integers(0, len(raws) - 1))
        at = data.draw(st.integers(0, len(raws[index]) - 1))
        flipped = raws[index][at] ^ (1 << data.draw(st.integers(0, 7)))
        spoiled[index] = raws[index][:at] + bytes((flipped,)) + raws[index][at + 1 :]
    # Twice in a row, so that shapes are met again.
    run = [*raws, *spoiled]
    single = [check_statement(index, raw, KEYS) for index, raw in enumerate(run)]
    whole = check_statements(0, run, KEYS)
    assert whole.violations == tuple(item for item in single if isinstance(item, Violation))
    good = [item for item in single if isinstance(item, SignedStatement)]
    assert whole.id_list() == [bytes(item.id) for item in good]
    assert whole.types == tuple(str(item.document_type) for item in good)
    assert [item.supersedes for item in whole.superseding] == [
        bytes(item.supersedes) for item in good if item.supersedes is not None
    ]


def test_a_high_s_in_a_run_is_named() -> None:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    raw = sign_statement(
        ACCOUNT.key,
        issuer=DID,
        kid=f"{DID}#controller",
        subject="urn:sample:1",
        document_type=DocumentType("705"),
        digest=Digest(bytes(32)),
        content_type="text/plain",
        issued_at=1_700_000_000,
        salt=bytes(16),
    )
    high = raw[:-32] + (order - int.from_bytes(raw[-32:], "big")).to_bytes(32, "big")
    (violation,) = check_statements(0, [raw, high], KEYS).violations
    assert (violation.index, violation.reason) == (1, "SIGNATURE_HIGH_S")
