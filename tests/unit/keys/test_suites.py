"""Every suite signs and verifies, against the standards' own vectors and outside implementations."""

from __future__ import annotations

import pickle

import gmalg
import pytest

from silkledger.keys import KeyShapeError, PrivateKey, SignatureInvalid, Suite, VerifyingKey, generate
from silkledger.keys.suites import FACTS

MESSAGE = b"the message"
LOW_S = [Suite.ES256K, Suite.ES256]


def reason(key: VerifyingKey, message: bytes, signature: bytes) -> str:
    with pytest.raises(SignatureInvalid) as caught:
        key.verify(message, signature)
    return caught.value.reason


def twin(suite: Suite, signature: bytes) -> bytes:
    order = FACTS[suite].order
    assert order is not None
    return signature[:32] + (order - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")


@pytest.mark.parametrize("suite", list(Suite))
def test_a_signature_verifies_only_for_its_message_and_key(suite: Suite) -> None:
    key = generate(suite)
    signature = key.sign(MESSAGE)
    assert len(signature) == 64
    key.verifying_key.verify(MESSAGE, signature)
    assert reason(key.verifying_key, MESSAGE + b".", signature) == "SIGNATURE_INVALID"
    assert reason(generate(suite).verifying_key, MESSAGE, signature) == "SIGNATURE_INVALID"


@pytest.mark.parametrize("suite", list(Suite))
@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_signature_has_64_bytes(suite: Suite, size: int) -> None:
    key = generate(suite)
    assert reason(key.verifying_key, MESSAGE, (key.sign(MESSAGE) * 2)[:size]) == "SIGNATURE_LENGTH"


@pytest.mark.parametrize("suite", LOW_S)
def test_a_high_s_is_told_apart_from_a_wrong_signature(suite: Suite) -> None:
    key = generate(suite)
    high = twin(suite, key.sign(MESSAGE))
    assert reason(key.verifying_key, MESSAGE, high) == "SIGNATURE_HIGH_S"
    assert reason(key.verifying_key, MESSAGE + b".", high) == "SIGNATURE_INVALID"
    with pytest.raises(SignatureInvalid, match="Many signers emit high s"):
        key.verifying_key.verify(MESSAGE, high)


@pytest.mark.parametrize("suite", LOW_S)
def test_signing_always_gives_low_s(suite: Suite) -> None:
    key, half = generate(suite), (FACTS[suite].order or 0) // 2
    assert all(int.from_bytes(key.sign(bytes([i]))[32:], "big") <= half for i in range(32))


@pytest.mark.parametrize("suite", [Suite.ES256K, Suite.ES256, Suite.SM2])
@pytest.mark.parametrize("part", ["r", "s"])
@pytest.mark.parametrize("value", ["zero", "order", "top"])
def test_r_and_s_outside_the_group_are_refused(suite: Suite, part: str, value: str) -> None:
    key = generate(suite)
    number = {"zero": 0, "order": FACTS[suite].order or 0, "top": 2**256 - 1}[value].to_bytes(32, "big")
    good = key.sign(MESSAGE)
    bad = number + good[32:] if part == "r" else good[:32] + number
    assert reason(key.verifying_key, MESSAGE, bad) == "SIGNATURE_RANGE"


def test_the_p256_vector_of_rfc_6979_has_a_high_s_and_its_twin_verifies() -> None:
    """RFC 6979 appendix A.2.5, message "sample" with SHA-256."""
    x = "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    key = VerifyingKey(Suite.ES256, bytes.fromhex("03" + x))
    signature = bytes.fromhex(
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
        "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
    )
    assert reason(key, b"sample", signature) == "SIGNATURE_HIGH_S"
    key.verify(b"sample", twin(Suite.ES256, signature))


def test_the_first_vector_of_rfc_8032_is_reproduced() -> None:
    """RFC 8032 section 7.1, test 1: the empty message."""
    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = PrivateKey(Suite.EDDSA, secret)
    assert (
        key.verifying_key.public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )
    assert key.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
        "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )


def test_the_sm2_vector_of_the_standard_verifies() -> None:
    """GB/T 32918.5 annex A.2: "message digest", signer id 1234567812345678."""
    secret = bytes.fromhex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8")
    key = PrivateKey(Suite.SM2, secret).verifying_key
    assert key.public.hex() == "0309f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    signature = bytes.fromhex(
        "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3"
        "b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
    )
    key.verify(b"message digest", signature)
    assert reason(key, b"message digesT", signature) == "SIGNATURE_INVALID"


def test_sm2_agrees_with_an_outside_implementation_in_both_directions() -> None:
    key = generate(Suite.SM2)
    uid = b"1234567812345678"
    ours = key.sign(MESSAGE)
    outside = gmalg.SM2(sk=key.export_secret(), uid=uid, pk=key.verifying_key.public)
    assert outside.verify(MESSAGE, ours[:32], ours[32:])
    r, s = outside.sign(MESSAGE)
    key.verifying_key.verify(MESSAGE, r.rjust(32, b"\0") + s.rjust(32, b"\0"))
    other_uid = gmalg.SM2(sk=key.export_secret(), uid=b"another signer!!", pk=key.verifying_key.public)
    r, s = other_uid.sign(MESSAGE)
    foreign = r.rjust(32, b"\0") + s.rjust(32, b"\0")
    assert reason(key.verifying_key, MESSAGE, foreign) == "SIGNATURE_INVALID"


@pytest.mark.parametrize("suite", list(Suite))
def test_a_public_key_must_be_of_its_size_and_on_its_curve(suite: Suite) -> None:
    with pytest.raises(KeyShapeError) as caught:
        VerifyingKey(suite, bytes(31))
    assert caught.value.reason == "KEY_LENGTH"
    if suite is not Suite.EDDSA:
        with pytest.raises(KeyShapeError) as caught:
            VerifyingKey(suite, b"\x05" + bytes(32))
        assert caught.value.reason == "KEY_NOT_ON_CURVE"
        with pytest.raises(KeyShapeError):
            VerifyingKey(suite, b"\x02" + b"\xff" * 32)


@pytest.mark.parametrize("suite", [Suite.ES256K, Suite.ES256, Suite.SM2])
def test_a_secret_must_be_a_number_of_the_group(suite: Suite) -> None:
    order = FACTS[suite].order or 0
    top = order - 1 if suite is Suite.SM2 else order
    for secret in (bytes(32), top.to_bytes(32, "big"), b"\x01" * 31):
        with pytest.raises(KeyShapeError, match="SECRET_RANGE"):
            PrivateKey(suite, secret)


@pytest.mark.parametrize("suite", list(Suite))
def test_a_private_key_shows_its_secret_in_no_text_and_is_not_pickled(suite: Suite) -> None:
    key = generate(suite)
    secret = key.export_secret()
    for text in (repr(key), str(key), f"{key}"):
        assert secret.hex() not in text
        assert repr(secret) not in text
        assert str(int.from_bytes(secret, "big")) not in text
    with pytest.raises(TypeError):
        pickle.dumps(key)
    assert pickle.loads(pickle.dumps(key.verifying_key)) == key.verifying_key
