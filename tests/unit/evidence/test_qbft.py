from __future__ import annotations

import pytest
import rlp as outside_rlp

from silkledger.evidence import rlp
from silkledger.evidence.header import EngineKind, decode_header
from silkledger.evidence.qbft import double_signers, quorum, seal_digest, verify_seals
from silkledger.evidence.qbft_extra import Vote, decode_extra_data
from silkledger.evidence.reasons import Reason
from tests.unit.evidence.qbft_chain import Draft, Validator, addresses, validators
from tests.unit.evidence.refusals import refused

FOUR = validators(4)
STRANGER = Validator(99)


def draft(**changes: object) -> Draft:
    return Draft(number=7, members=FOUR, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("members", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (6, 4), (7, 5), (8, 6), (9, 6), (10, 7)]
)
def test_quorum_is_two_thirds_rounded_up(members: int, needed: int) -> None:
    assert quorum(members) == needed


@pytest.mark.parametrize("round_", [0, 1, 300])
@pytest.mark.parametrize("base_fee", [None, 0, 7])
def test_a_quorum_of_seals_verifies(round_: int, base_fee: int | None) -> None:
    header = draft(round=round_, base_fee=base_fee).sealed(FOUR[:3])
    assert verify_seals(header, addresses(FOUR)) == frozenset(addresses(FOUR[:3]))
    assert seal_digest(header) == draft(round=round_, base_fee=base_fee).digest()


def test_two_of_four_seals() -> None:
    with refused(Reason.SEAL_QUORUM):
        verify_seals(draft().sealed(FOUR[:2]), addresses(FOUR))


def test_the_same_seal_twice() -> None:
    with refused(Reason.SEAL_DUPLICATE):
        verify_seals(draft().sealed([FOUR[0], FOUR[1], FOUR[1]]), addresses(FOUR))


def test_the_high_s_twin_of_a_seal_counts_as_the_same_validator() -> None:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    seals = [validator.seal(draft().digest()) for validator in FOUR[:2]]
    s = order - int.from_bytes(seals[1][32:64], "big")
    twin = seals[1][:32] + s.to_bytes(32, "big") + bytes([seals[1][64] ^ 1])
    with refused(Reason.SEAL_DUPLICATE):
        verify_seals(draft().with_seals([*seals, twin]), addresses(FOUR))


def test_a_seal_by_a_non_validator() -> None:
    with refused(Reason.SEAL_NOT_VALIDATOR):
        verify_seals(draft().sealed([*FOUR[:3], STRANGER]), addresses(FOUR))


def test_a_valid_seal_over_another_round() -> None:
    made = draft(round=2)
    seals = [v.seal(made.digest()) for v in FOUR[:2]] + [FOUR[2].seal(made.digest(round_=1))]
    with refused(Reason.SEAL_OTHER_ROUND):
        verify_seals(made.with_seals(seals), addresses(FOUR))


def test_a_malformed_seal() -> None:
    good = FOUR[0].seal(draft().digest())
    for bad in (good[:64] + b"\x02", b"\xff" * 64 + b"\x00", bytes(65)):
        with refused(Reason.SEAL_MALFORMED):
            verify_seals(draft().with_seals([bad]), addresses(FOUR))


def test_another_validator_set() -> None:
    with refused(Reason.QBFT_VALIDATORS):
        verify_seals(draft().sealed(), addresses(validators(5)))


def test_a_proposer_that_is_no_validator() -> None:
    with refused(Reason.QBFT_PROPOSER):
        verify_seals(draft(proposer=STRANGER.address).sealed(), addresses(FOUR))


@pytest.mark.parametrize("changes", [{"difficulty": 2}, {"mix_hash": bytes(32)}])
def test_fields_that_qbft_fixes(changes: dict[str, object]) -> None:
    with refused(Reason.QBFT_FIXED_FIELD):
        verify_seals(draft(**changes).sealed(), addresses(FOUR))


def test_a_sixth_item() -> None:
    with refused(Reason.QBFT_EXTRA_ITEMS):
        draft(extra_items=[b""]).sealed()


def test_a_vanity_of_31_bytes() -> None:
    with refused(Reason.QBFT_VANITY):
        draft(vanity=bytes(31)).sealed()


@pytest.mark.parametrize("order", [[1, 0, 2, 3], [0, 1, 1, 2]])
def test_unsorted_or_repeated_validators(order: list[int]) -> None:
    with refused(Reason.QBFT_VALIDATORS_ORDER):
        draft(listed=[bytes(FOUR[i].address) for i in order]).sealed()


@pytest.mark.parametrize(
    "vote", [[bytes(20)], [bytes(20), b"\x01"], [bytes(19), b"\xff"], [bytes(20), b"\x00"]]
)
def test_a_vote_of_another_form(vote: list[bytes]) -> None:
    with refused(Reason.QBFT_VOTE):
        draft(vote=vote).sealed()


@pytest.mark.parametrize(("direction", "add"), [(b"\xff", True), (b"", False)])
def test_votes(direction: bytes, add: bool) -> None:
    header = draft(vote=[bytes(STRANGER.address), direction]).sealed()
    assert decode_extra_data(header.extra_data).vote == Vote(STRANGER.address, add)


def test_a_seal_of_64_bytes() -> None:
    with refused(Reason.QBFT_EXTRA_SHAPE):
        draft().with_seals([bytes(64)])


def test_non_minimal_rlp() -> None:
    extra = draft().extra(0, [])
    items = outside_rlp.decode(extra)
    padded_round = outside_rlp.encode([*items[:3], b"\x00\x01", []])
    long_form = b"\xf9\x00" + extra[1:] if extra[0] == 0xF8 else extra
    for bad in (padded_round, long_form, extra + b"\x00"):
        with refused(Reason.RLP_NOT_CANONICAL):
            decode_extra_data(bad)


def test_no_bit_of_a_sealed_header_can_change() -> None:
    header = draft().sealed(FOUR[:3])
    members = addresses(FOUR)
    for position in range(len(header.raw)):
        changed = bytearray(header.raw)
        changed[position] ^= 1
        with pytest.raises(ValueError):
            verify_seals(decode_header(bytes(changed), EngineKind.QBFT), members)


def test_equivocation_names_who_signed_both() -> None:
    one, other = draft().sealed(FOUR[:3]), draft(timestamp=1).sealed(FOUR[1:])
    assert double_signers(one, other, addresses(FOUR)) == frozenset(addresses(FOUR[1:3]))
    assert double_signers(one, draft(round=1).sealed(), addresses(FOUR)) == frozenset()
    with refused(Reason.HEADER_FIELDS):
        double_signers(one, Draft(number=8, members=FOUR).sealed(), addresses(FOUR))
    assert rlp.decode_list(one.raw, "header")
