"""Identity state and DID document as of a moment."""

from __future__ import annotations

import pytest

from silkledger.keys import Suite, VerifyingKey, generate
from silkledger.registry.histories import HistoryRecord, RecordInvalid
from silkledger.registry.identity import ZERO_ADDRESS, checksum_address, did_document, identity_state
from silkledger.values import Address, Did
from tests.unit.registry import records as rec

SELF, OTHER, THIRD = (Address(bytes([i]) * 20) for i in (0xAB, 0xCD, 0xEF))
DID = Did.of(7317, SELF)
KEY = "did/pub/Multikey/veriKey"
FOREVER = 2**63


def key(suite: Suite) -> VerifyingKey:
    return generate(suite).verifying_key


def test_an_identity_never_recorded_is_its_own_owner_and_has_a_document() -> None:
    state = identity_state(DID, [], at_time=0)
    assert (state.owner, state.deactivated, state.last_change) == (SELF, False, None)
    document = did_document(state)
    assert document["verificationMethod"] == [
        {
            "id": f"{DID}#controller",
            "type": "EcdsaSecp256k1RecoveryMethod2020",
            "controller": str(DID),
            "blockchainAccountId": f"eip155:7317:{checksum_address(SELF)}",
        }
    ]
    assert document["assertionMethod"] == document["authentication"] == [f"{DID}#controller"]
    assert "service" not in document


@pytest.mark.parametrize("suite", list(Suite))
def test_keys_of_every_suite_become_multikeys(suite: Suite) -> None:
    public = key(suite)
    state = identity_state(DID, [rec.attribute(5, KEY, public.to_multicodec(), FOREVER)], at_time=0)
    assert dict(state.methods) == {"delegate-1": public}
    method = did_document(state)["verificationMethod"][1]  # type: ignore[index]
    assert method == {
        "id": f"{DID}#delegate-1",
        "type": "Multikey",
        "controller": str(DID),
        "publicKeyMultibase": public.to_multikey(),
    }


def test_a_key_is_valid_until_the_second_before_its_end() -> None:
    public = key(Suite.EDDSA)
    records = [rec.attribute(5, KEY, public.to_multicodec(), 100)]
    assert dict(identity_state(DID, records, at_time=99).methods) == {"delegate-1": public}
    assert dict(identity_state(DID, records, at_time=100).methods) == {}


def test_fragments_are_never_used_twice() -> None:
    """Revoking and adding again takes the next number, as in did:ethr; so does an owner's new key."""
    first, second = key(Suite.EDDSA), key(Suite.ES256)
    records = [
        rec.attribute(5, KEY, first.to_multicodec(), FOREVER),
        rec.attribute(6, KEY, first.to_multicodec(), 50),
        rec.delegate(7, "veriKey", THIRD, FOREVER),
        rec.attribute(8, "did/pub/Other/veriKey/hex", b"\1", FOREVER),
        rec.owner(9, OTHER),
        rec.attribute(10, KEY, second.to_multicodec(), FOREVER),
    ]
    assert dict(identity_state(DID, records, 60, at_block=8).methods) == {}
    assert set(identity_state(DID, records, 60, at_block=8).delegates) == {"delegate-3"}
    state = identity_state(DID, records, 60)
    assert dict(state.methods) == {"delegate-5": second}


def test_a_change_of_owner_clears_what_was_before() -> None:
    records = [
        rec.attribute(5, KEY, key(Suite.EDDSA).to_multicodec(), FOREVER),
        rec.delegate(5, "sigAuth", THIRD, FOREVER),
        rec.attribute(5, "did/svc/Settlement", b"https://bank.example", FOREVER),
    ]
    before = identity_state(DID, records, 0)
    assert (len(before.methods), len(before.delegates), len(before.services)) == (1, 1, 1)
    after = identity_state(DID, [*records, rec.owner(6, OTHER)], 0)
    assert (after.owner, len(after.methods), len(after.delegates), len(after.services)) == (OTHER, 0, 0, 0)


def test_deactivation_is_for_ever_and_leaves_no_method() -> None:
    records = [rec.attribute(5, KEY, key(Suite.EDDSA).to_multicodec(), FOREVER), rec.owner(6, ZERO_ADDRESS)]
    state = identity_state(DID, records, 0)
    assert (state.deactivated, dict(state.methods), state.last_change) == (True, {}, 6)
    document = did_document(state)
    assert document["verificationMethod"] == document["assertionMethod"] == document["authentication"] == []
    assert not identity_state(DID, records, 0, at_block=5).deactivated
    with pytest.raises(RecordInvalid):
        identity_state(DID, [*records, rec.owner(7, SELF)], 0)


def test_services_are_told() -> None:
    records = [
        rec.attribute(5, "did/svc/Settlement", b"https://bank.example:7443", FOREVER),
        rec.attribute(6, "did/svc/Settlement", b"https://bank.example:7443", 10),
        rec.attribute(7, "did/svc/Settlement", b"https://bank.example:7444", FOREVER),
    ]
    assert did_document(identity_state(DID, records, 60))["service"] == [
        {"id": f"{DID}#service-3", "type": "Settlement", "serviceEndpoint": "https://bank.example:7444"}
    ]


@pytest.mark.parametrize(
    "value", [b"", b"\xed\x01", b"\xed\x01" + bytes(31), b"\xe7\x01" + bytes(33), b"\0" * 40]
)
def test_key_bytes_of_no_known_suite_verify_nothing_and_break_nothing(value: bytes) -> None:
    state = identity_state(DID, [rec.attribute(5, KEY, value, FOREVER)], 0)
    assert (dict(state.methods), state.unreadable) == ({}, ("delegate-1",))


@pytest.mark.parametrize(
    "record",
    [
        HistoryRecord(5, b""),
        HistoryRecord(5, bytes(31) + b"\4" + bytes(32)),
        HistoryRecord(5, rec.owner(5, OTHER).record + b"\0"),
        HistoryRecord(5, rec.attribute(5, KEY, b"abc", 1).record[:-1] + b"\1"),
    ],
)
def test_what_the_registry_cannot_have_written_is_refused(record: HistoryRecord) -> None:
    with pytest.raises(RecordInvalid):
        identity_state(DID, [record], 0)


def test_addresses_are_spelled_as_eip_55() -> None:
    for spelled in (
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    ):
        assert checksum_address(Address.from_hex(spelled)) == spelled
