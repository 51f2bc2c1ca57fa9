"""Multikey and multicodec: the encodings that DID documents and the registry hold."""

from __future__ import annotations

import pytest

from silkledger.keys import KeyShapeError, Suite, VerifyingKey, generate
from silkledger.keys.multikey import b58decode, b58encode

PREFIXES = {
    Suite.ES256K: ("e701", "zQ3s"),
    Suite.ES256: ("8024", "zDn"),
    Suite.EDDSA: ("ed01", "z6Mk"),
    Suite.SM2: ("8624", "zEPJ"),
}
"""Multicodec varint and the first characters that the did:key and Controlled Identifiers texts show."""


@pytest.mark.parametrize("suite", list(Suite))
def test_both_forms_return_the_key_and_start_as_the_registries_say(suite: Suite) -> None:
    key = generate(suite).verifying_key
    codec, text = PREFIXES[suite]
    assert key.to_multicodec().hex().startswith(codec)
    assert key.to_multikey().startswith(text)
    assert VerifyingKey.from_multikey(key.to_multikey()) == key
    assert VerifyingKey.from_multicodec(key.to_multicodec()) == key


def test_the_published_did_key_of_rfc_8032s_first_key() -> None:
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    text = VerifyingKey(Suite.EDDSA, public).to_multikey()
    assert text == "z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw"


@pytest.mark.parametrize(
    ("data", "text"), [(b"", ""), (b"\0\0\1", "112"), (b"Hello World!", "2NEpo7TZRRrLZSi2U")]
)
def test_base58_vectors(data: bytes, text: str) -> None:
    """The last is of draft-msporny-base58 section 5."""
    assert b58encode(data) == text
    assert b58decode(text) == data


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "MULTIKEY_MALFORMED"),
        ("m7QE", "MULTIKEY_MALFORMED"),
        ("z0OIl", "MULTIKEY_MALFORMED"),
        ("z" + "2" * 5000, "MULTIKEY_MALFORMED"),
        ("z2NEpo7TZRRrLZSi2U", "MULTICODEC_UNKNOWN"),
    ],
)
def test_other_texts_are_refused(text: str, reason: str) -> None:
    with pytest.raises(KeyShapeError) as caught:
        VerifyingKey.from_multikey(text)
    assert caught.value.reason == reason


def test_a_longer_spelling_of_the_same_varint_is_refused() -> None:
    key = generate(Suite.EDDSA).verifying_key
    with pytest.raises(KeyShapeError, match="MULTICODEC_UNKNOWN"):
        VerifyingKey.from_multicodec(b"\xed\x81\x00" + key.public)


def test_trailing_bytes_are_refused() -> None:
    key = generate(Suite.SM2).verifying_key
    with pytest.raises(KeyShapeError, match="KEY_LENGTH"):
        VerifyingKey.from_multicodec(key.to_multicodec() + b"\0")
