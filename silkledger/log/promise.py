"""Promises: the log's signature that it accepted these statements and by when it will have logged them.

"Accepted" means durable. A log that has not logged one of the ids by then broke its word; what shows that is
told in docs/formats/promise.md. One signature covers the ordered list of ids of one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from silkledger import cbor, cose
from silkledger.keys import SigningKey
from silkledger.log.checkpoint import LogKeys, LogVerifierKey, named_keys, names_of, signer_of
from silkledger.values import Did, StatementId, ValueShapeError

CONTENT_TYPE: Final = "application/silkledger-promise+cbor"
MAX_IDS: Final = 10_000
"""Most statement ids in one promise."""
MAX_PROMISE: Final = 400_000
"""Largest promise read, in bytes: 34 per id, and the rest."""
_MAX_REQUEST_ID: Final = 128
_EDDSA: Final = -8
_ORIGIN, _IDS, _ACCEPTED, _LOG_BY, _ORGANISATION, _REQUEST = 1, 2, 3, 4, 5, 6


class PromiseError(ValueError):
    """A promise is refused. `reason` is a stable code.

    COSE_… (form), PROMISE_MALFORMED, PROMISE_KEY_UNKNOWN, PROMISE_ORIGIN_MISMATCH or
    PROMISE_SIGNATURE_INVALID.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Promise:
    """What the log promised. Times are Unix milliseconds by the log's clock."""

    origin: str
    statement_ids: tuple[StatementId, ...]
    accepted_at_ms: int
    log_by_ms: int
    organisation: Did
    request_id: str


def make_promise(
    key: SigningKey,
    *,
    origin: str,
    statement_ids: Sequence[bytes],
    accepted_at_ms: int,
    log_by_ms: int,
    organisation: Did,
    request_id: str,
) -> bytes:
    """Sign a promise about these ids, 32 bytes each. The caller must have committed the statements durably
    before sending it.

    Raises:
        PromiseError: PROMISE_MALFORMED if the result would be refused.
    """
    vkey = LogVerifierKey.of(origin, key.verifying_key)
    protected = cbor.encode({cose.ALG: _EDDSA, cose.CONTENT_TYPE: CONTENT_TYPE, cose.KID: vkey.key_id})
    content = {
        _ORIGIN: origin,
        _IDS: [bytes(item) for item in statement_ids],
        _ACCEPTED: accepted_at_ms,
        _LOG_BY: log_by_ms,
        _ORGANISATION: organisation.text,
        _REQUEST: request_id,
    }
    _read(content)
    payload = cbor.encode(content)
    return cose.encode_sign1(protected, payload, key.sign(cose.sig_structure(protected, payload)))


def verify_promise(raw: bytes, keys: LogKeys) -> Promise:
    """Verify that the log of `keys` made this promise, and return it.

    1. form; 2. it names one of these log keys; 3. the signature; 4. the content, of the log that the key
    names.

    Raises:
        PromiseError: with the reason.
    """
    # (1)
    try:
        sign1 = cose.parse_sign1(raw, limit=MAX_PROMISE)
        key_id = sign1.protected.get(cose.KID)
        expected = {cose.ALG: _EDDSA, cose.CONTENT_TYPE: CONTENT_TYPE, cose.KID: key_id}
        if (
            sign1.protected != expected
            or type(key_id) is not bytes
            or sign1.unprotected
            or sign1.payload is None
        ):
            raise PromiseError(
                "PROMISE_MALFORMED", "protected {1, 3, 4}, empty unprotected and a payload are required"
            )
        # (2)
        named = named_keys(keys, key_id)
        if not named:
            raise PromiseError(
                "PROMISE_KEY_UNKNOWN", f"signed under key id {key_id.hex()}, not by {names_of(keys)}"
            )
        # (3)
        signed = cose.sig_structure(sign1.protected_raw, sign1.payload)
        signer = signer_of(named, signed, sign1.signature)
        if signer is None:
            raise PromiseError("PROMISE_SIGNATURE_INVALID", f"not signed by {names_of(named)}")
        # (4)
        promise = _read(cose.decode_part(sign1.payload, "payload"))
    except cose.CoseError as error:
        raise PromiseError(error.reason, f"{error.field}: {error.detail}") from None
    if promise.origin != signer.name:
        raise PromiseError("PROMISE_ORIGIN_MISMATCH", f"promise of {promise.origin}, key of {signer.name}")
    return promise


def _read(content: Any) -> Promise:
    if type(content) is not dict or set(content) != {
        _ORIGIN,
        _IDS,
        _ACCEPTED,
        _LOG_BY,
        _ORGANISATION,
        _REQUEST,
    }:
        raise PromiseError("PROMISE_MALFORMED", "the payload must be a map with exactly the keys 1 to 6")
    ids, accepted, log_by, request = content[_IDS], content[_ACCEPTED], content[_LOG_BY], content[_REQUEST]
    if type(ids) is not list or not 0 < len(ids) <= MAX_IDS:
        raise PromiseError("PROMISE_MALFORMED", f"must list 1 to {MAX_IDS} statement ids")
    if type(accepted) is not int or type(log_by) is not int or not 0 < accepted <= log_by < 2**63:
        raise PromiseError(
            "PROMISE_MALFORMED", "times must be Unix milliseconds, log_by not before accepted_at"
        )
    if type(request) is not str or not 0 < len(request) <= _MAX_REQUEST_ID:
        raise PromiseError("PROMISE_MALFORMED", f"request id must be 1 to {_MAX_REQUEST_ID} characters")
    if type(content[_ORIGIN]) is not str or type(content[_ORGANISATION]) is not str:
        raise PromiseError("PROMISE_MALFORMED", "origin and organisation must be text")
    try:
        statement_ids = tuple(StatementId(item if type(item) is bytes else b"") for item in ids)
        organisation = Did(content[_ORGANISATION])
    except ValueShapeError as error:
        raise PromiseError("PROMISE_MALFORMED", str(error)) from None
    return Promise(content[_ORIGIN], statement_ids, accepted, log_by, organisation, request)
