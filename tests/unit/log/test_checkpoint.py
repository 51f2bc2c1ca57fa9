"""Checkpoints as C2SP notes: other people's verify here, ours are strict, cosignatures bind the time."""

from __future__ import annotations

import base64

import pytest

from silkledger.keys import Suite, generate
from silkledger.log.checkpoint import (
    Checkpoint,
    LogVerifierKey,
    NoteError,
    NoteKeyType,
    cosign,
    parse_note,
    sign_checkpoint,
    verify_cosignature,
    verify_note,
)
from silkledger.log.tree import EMPTY_ROOT
from silkledger.values import MerkleRoot

ORIGIN = "silkledger.example/embedded"
KEY = generate(Suite.EDDSA)
VKEY = LogVerifierKey.of(ORIGIN, KEY.verifying_key)
HEAD = Checkpoint(ORIGIN, 8, MerkleRoot(bytes(range(32))))


def reason_of(call: object, *args: object) -> str:
    with pytest.raises(NoteError) as caught:
        call(*args)  # type: ignore[operator]
    return caught.value.reason


def test_the_example_note_of_the_go_implementation_verifies() -> None:
    """The example of golang.org/x/mod/sumdb/note."""
    vkey = LogVerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    note = parse_note(
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n\n"
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKv"
        "qfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    (signature,) = note.signatures
    assert (signature.name, signature.key_id) == (vkey.name, vkey.key_id)
    vkey.verifying_key.verify(note.body.encode(), signature.value)


def test_the_vkey_of_the_go_checksum_database_has_its_own_id() -> None:
    text = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
    assert str(LogVerifierKey.parse(text)) == text
    assert reason_of(LogVerifierKey.parse, text.replace("033de0ae", "033de0af")) == "VKEY_MALFORMED"


def test_the_specifications_example_checkpoint_parses() -> None:
    text = (
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4UR"
        "YN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
        "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZC"
        "B9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
    )
    note = parse_note(text)
    assert note.text() == text
    assert Checkpoint.parse_body(note.body).size == 20852163
    assert [len(s.value) for s in note.signatures] == [64, 72]
    assert int.from_bytes(note.signatures[1].value[:8], "big") == 1679315147


def test_a_signed_checkpoint_is_four_lines_and_verifies() -> None:
    text = sign_checkpoint(HEAD, KEY)
    assert text.startswith(f"{ORIGIN}\n8\n{base64.b64encode(HEAD.root).decode()}\n\n— {ORIGIN} ")
    assert verify_note(text, VKEY) == HEAD
    empty = Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    assert verify_note(sign_checkpoint(empty, KEY), VKEY) == empty


def test_a_changed_head_and_another_key_are_refused() -> None:
    text = sign_checkpoint(HEAD, KEY)
    assert reason_of(verify_note, text.replace("\n8\n", "\n9\n"), VKEY) == "NOTE_SIGNATURE_INVALID"
    other = LogVerifierKey.of(ORIGIN, generate(Suite.EDDSA).verifying_key)
    assert reason_of(verify_note, text, other) == "NOTE_NOT_SIGNED"
    renamed = LogVerifierKey.of("other.example/log", KEY.verifying_key)
    assert reason_of(verify_note, text, renamed) == "NOTE_NOT_SIGNED"


def test_a_key_may_not_sign_for_another_origin() -> None:
    foreign = Checkpoint("other.example/log", 8, HEAD.root)
    body = foreign.body()
    value = base64.b64encode(VKEY.key_id + KEY.sign(body.encode())).decode()
    assert reason_of(verify_note, f"{body}\n— {ORIGIN} {value}\n", VKEY) == "ORIGIN_MISMATCH"


def test_lines_by_unknown_keys_are_ignored_but_a_bad_line_by_ours_is_not() -> None:
    text = sign_checkpoint(HEAD, KEY)
    noise = f"— unknown.example/x {base64.b64encode(bytes(40)).decode()}\n"
    head, line = text.split("\n\n")
    assert verify_note(f"{head}\n\n{noise}{line}{noise}", VKEY) == HEAD
    bad = f"— {ORIGIN} {base64.b64encode(VKEY.key_id + bytes(64)).decode()}\n"
    assert reason_of(verify_note, text + bad, VKEY) == "NOTE_SIGNATURE_INVALID"
    assert reason_of(verify_note, f"{head}\n\n{noise}", VKEY) == "NOTE_NOT_SIGNED"


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t[:-1],
        lambda t: t.replace("\n\n", "\n"),
        lambda t: t.replace("— ", "- "),
        lambda t: t.replace("\n", "\r\n"),
        lambda t: t + "\n",
        lambda t: t.replace("= \n", "\n") + "— name\n",
        lambda t: t + "— a+b AAAAAAAA\n",
        lambda t: t + "— name AAAA\n",
        lambda t: t + "— name AAAAAA=\n",
        lambda t: t + "— n AAAAAAA=\n" * 64,
    ],
)
def test_notes_are_read_strictly(change: object) -> None:
    text = change(sign_checkpoint(HEAD, KEY))  # type: ignore[operator]
    assert reason_of(verify_note, text, VKEY) in {"NOTE_MALFORMED"}


def test_a_note_has_a_largest_size() -> None:
    assert reason_of(parse_note, "x" * 70_000) == "NOTE_TOO_LARGE"


@pytest.mark.parametrize(
    "body",
    [
        "",
        f"{ORIGIN}\n8\n",
        f"{ORIGIN}\n08\n{'A' * 43}=\n",
        f"{ORIGIN}\n-8\n{'A' * 43}=\n",
        f"{ORIGIN}\n9223372036854775808\n{'A' * 43}=\n",
        f"{ORIGIN}\n8\nAAAA\n",
        f"{ORIGIN}\n8\n{'A' * 42}B=\n",
        f"a b\n8\n{'A' * 43}=\n",
        f"\n8\n{'A' * 43}=\n",
        f"{ORIGIN}\n8\n{'A' * 43}=\nextension\n",
    ],
)
def test_checkpoint_texts_are_read_strictly(body: str) -> None:
    assert reason_of(Checkpoint.parse_body, body) == "CHECKPOINT_MALFORMED"


def test_a_cosignature_binds_time_and_head_and_leaves_the_logs_line_valid() -> None:
    witness = generate(Suite.EDDSA)
    name = LogVerifierKey.of("witness.example/w1", witness.verifying_key, NoteKeyType.COSIGNATURE_V1)
    text = cosign(sign_checkpoint(HEAD, KEY), "witness.example/w1", witness, 1_790_000_000)
    assert verify_note(text, VKEY) == HEAD
    assert verify_cosignature(text, name) == 1_790_000_000
    assert LogVerifierKey.parse(str(name)) == name
    later = parse_note(text).signatures[1]
    forged = text.replace(
        later.line(), type(later)(later.name, later.key_id, b"\0" * 7 + b"\1" + later.value[8:]).line()
    )
    assert reason_of(verify_cosignature, forged, name) == "NOTE_SIGNATURE_INVALID"
    assert reason_of(verify_cosignature, sign_checkpoint(HEAD, KEY), name) == "NOTE_NOT_SIGNED"
    plain = LogVerifierKey.of("witness.example/w1", witness.verifying_key)
    assert reason_of(verify_note, text, plain) == "NOTE_NOT_SIGNED"


def test_keys_of_other_suites_and_shapes_are_refused() -> None:
    assert reason_of(sign_checkpoint, HEAD, generate(Suite.ES256K)) == "KEY_SUITE"
    for text in ("", "a", "a+b+c", "a+00000000+AAAA", "a b+00000000+" + "A" * 44):
        assert reason_of(LogVerifierKey.parse, text) == "VKEY_MALFORMED"
    assert reason_of(LogVerifierKey, "name", bytes(31)) == "VKEY_MALFORMED"


def test_a_log_that_changes_its_key_signs_with_both_and_either_is_enough() -> None:
    new = generate(Suite.EDDSA)
    other = LogVerifierKey.of(ORIGIN, new.verifying_key)
    note = sign_checkpoint(HEAD, new, KEY)
    assert [line.key_id for line in parse_note(note).signatures] == [other.key_id, VKEY.key_id]
    assert verify_note(note, VKEY) == verify_note(note, other) == verify_note(note, [VKEY, other]) == HEAD
    assert verify_note(sign_checkpoint(HEAD, new), [VKEY, other]) == HEAD
    assert reason_of(verify_note, sign_checkpoint(HEAD, new), VKEY) == "NOTE_NOT_SIGNED"
    assert reason_of(verify_note, note, []) == "NOTE_NOT_SIGNED"


def test_a_bad_line_of_one_of_the_keys_condemns_the_note_beside_a_good_one() -> None:
    new = generate(Suite.EDDSA)
    keys = [VKEY, LogVerifierKey.of(ORIGIN, new.verifying_key)]
    good, foreign = sign_checkpoint(HEAD, KEY), sign_checkpoint(Checkpoint(ORIGIN, 9, HEAD.root), new)
    note = good + foreign.rpartition("\n\n")[2]
    assert verify_note(note, VKEY) == HEAD
    assert reason_of(verify_note, note, keys) == "NOTE_SIGNATURE_INVALID"


def test_two_keys_that_share_an_id_are_told_apart_by_the_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    new = generate(Suite.EDDSA)
    monkeypatch.setattr(LogVerifierKey, "key_id", property(lambda _: b"same"))
    keys = [LogVerifierKey.of(ORIGIN, key.verifying_key) for key in (KEY, new)]
    for order in (keys, keys[::-1]):
        assert verify_note(sign_checkpoint(HEAD, KEY), order) == HEAD
        assert verify_note(sign_checkpoint(HEAD, new), order) == HEAD
    other = sign_checkpoint(HEAD, generate(Suite.EDDSA))
    assert reason_of(verify_note, other, keys) == "NOTE_SIGNATURE_INVALID"


def test_what_the_ledger_records_of_a_key_is_read_back() -> None:
    assert LogVerifierKey.of_recorded(ORIGIN, VKEY.recorded) == VKEY
    for other in (b"", VKEY.recorded[:-1], VKEY.recorded + b"\0", b"\4" + VKEY.public):
        assert LogVerifierKey.of_recorded(ORIGIN, other) is None
