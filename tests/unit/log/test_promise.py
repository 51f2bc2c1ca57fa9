"""Promises: the log can be held to the exact list, times and request that it signed."""

from __future__ import annotations

import pytest

from silkledger import cbor, cose
from silkledger.keys import Suite, generate
from silkledger.log.checkpoint import LogVerifierKey
from silkledger.log.promise import CONTENT_TYPE, Promise, PromiseError, make_promise, verify_promise
from silkledger.values import Address, Did, StatementId

ORIGIN = "silkledger.example/embedded"
KEY = generate(Suite.EDDSA)
VKEY = LogVerifierKey.of(ORIGIN, KEY.verifying_key)
DID = Did.of(7317, Address(bytes(20)))
IDS = tuple(StatementId(bytes([i]) * 32) for i in (2, 1, 3))
PROMISE = Promise(ORIGIN, IDS, 1_790_000_000_000, 1_790_000_060_000, DID, "request-1")
CONTENT: dict[int | str, object] = {
    1: ORIGIN,
    2: [bytes(i) for i in IDS],
    3: PROMISE.accepted_at_ms,
    4: PROMISE.log_by_ms,
    5: DID.text,
    6: "request-1",
}


def make(**changes: object) -> bytes:
    fields = {
        "origin": ORIGIN,
        "statement_ids": IDS,
        "accepted_at_ms": PROMISE.accepted_at_ms,
        "log_by_ms": PROMISE.log_by_ms,
        "organisation": DID,
        "request_id": "request-1",
    }
    return make_promise(KEY, **(fields | changes))  # type: ignore[arg-type]


def signed(content: object, protected: dict[int | str, object] | None = None) -> bytes:
    header = cbor.encode(protected or {1: -8, 3: CONTENT_TYPE, 4: VKEY.key_id})
    payload = cbor.encode(content)
    return cose.encode_sign1(header, payload, KEY.sign(cose.sig_structure(header, payload)))


def reason_of(raw: bytes, vkey: LogVerifierKey = VKEY) -> str:
    with pytest.raises(PromiseError) as caught:
        verify_promise(raw, vkey)
    return caught.value.reason


def test_a_promise_comes_back_in_the_order_of_the_call() -> None:
    assert verify_promise(make(), VKEY) == PROMISE
    assert make() == signed(CONTENT)


def test_ten_thousand_ids_fit_and_one_more_does_not() -> None:
    many = [StatementId(i.to_bytes(32, "big")) for i in range(10_001)]
    assert len(verify_promise(make(statement_ids=many[:-1]), VKEY).statement_ids) == 10_000
    with pytest.raises(PromiseError, match="PROMISE_MALFORMED"):
        make(statement_ids=many)


def test_every_byte_is_under_the_signature() -> None:
    raw = make()
    at = raw.index(bytes(IDS[1]))
    swapped = raw[:at] + b"\x07" + raw[at + 1 :]
    assert reason_of(swapped) == "PROMISE_SIGNATURE_INVALID"


def test_another_log_is_not_held_to_it() -> None:
    other = LogVerifierKey.of(ORIGIN, generate(Suite.EDDSA).verifying_key)
    assert reason_of(make(), other) == "PROMISE_KEY_UNKNOWN"
    assert reason_of(signed(CONTENT | {1: "other.example/log"})) == "PROMISE_ORIGIN_MISMATCH"


@pytest.mark.parametrize(
    "change",
    [
        {2: []},
        {2: [bytes(31)]},
        {2: "ids"},
        {3: 0},
        {4: 1},
        {4: 2**63},
        {3: True},
        {5: "did:web:example"},
        {5: 7},
        {6: ""},
        {6: "x" * 129},
        {7: 1},
        {1: 1},
    ],
)
def test_malformed_content_is_refused_even_when_signed(change: dict[int | str, object]) -> None:
    assert reason_of(signed(CONTENT | change)) == "PROMISE_MALFORMED"


def test_other_headers_are_refused_even_when_signed() -> None:
    headers: tuple[dict[int | str, object], ...] = (
        {1: -8, 4: VKEY.key_id},
        {1: -8, 3: "text/plain", 4: VKEY.key_id},
        {1: -8, 3: CONTENT_TYPE},
    )
    for header in headers:
        assert reason_of(signed(CONTENT, header)) == "PROMISE_MALFORMED"


def test_a_cut_promise_is_named() -> None:
    assert reason_of(make()[:-1]) == "COSE_TRUNCATED"
    assert reason_of(make() + b"\0") == "COSE_TRAILING_BYTES"


def test_a_promise_by_either_key_of_a_changing_log() -> None:
    other = LogVerifierKey.of(ORIGIN, generate(Suite.EDDSA).verifying_key)
    for keys in ([VKEY, other], [other, VKEY]):
        assert verify_promise(make(), keys) == verify_promise(make(), VKEY)
    with pytest.raises(PromiseError, match="PROMISE_KEY_UNKNOWN"):
        verify_promise(make(), [other])
