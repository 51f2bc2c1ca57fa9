"""Declarations of events, and logs read by them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_abi.abi import encode

from silkledger.evidence.event_abi import DeclarationError, EventDeclaration
from silkledger.evidence.keccak import keccak256
from silkledger.evidence.reasons import Reason
from silkledger.evidence.receipts import EventLog
from silkledger.evm.contracts import CONTRACTS, artifact
from silkledger.values import Address
from tests.unit.evidence.refusals import refused

AT = Address(b"\x01" * 20)


def test_a_declaration_gives_signature_and_topic() -> None:
    one = EventDeclaration.parse("event Transfer(address indexed from, address indexed to, uint value);")
    assert one.signature == "Transfer(address,address,uint256)"
    known = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    assert one.topic.hex() == known, "the ERC-20 event that every explorer shows"
    assert [(p.name, p.indexed) for p in one.parameters] == [("from", True), ("to", True), ("value", False)]
    assert EventDeclaration.parse("Paused()").parameters == ()
    assert EventDeclaration.parse("E(int[], bytes4)").signature == "E(int256[],bytes4)"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Transfer",
        "Transfer(address from to)",
        "Transfer(address,)",
        "Transfer((uint256,address) pair)",
        "Transfer(uint7 a)",
        "Transfer(bytes33 a)",
        "Transfer(address a, uint8 a)",
        "E(uint8 indexed a, uint8 indexed b, uint8 indexed c, uint8 indexed d)",
        "two words(uint8 a)",
    ],
)
def test_what_declares_no_event(text: str) -> None:
    with pytest.raises(DeclarationError):
        EventDeclaration.parse(text)


def test_arguments_by_name() -> None:
    declaration = EventDeclaration.parse(
        "Said(string indexed title, address indexed by, string text, bytes8[] marks)"
    )
    log = EventLog(
        AT,
        (declaration.topic, keccak256(b"title"), bytes(12) + b"\xaa" * 20),
        encode(["string", "bytes8[]"], ["ä text", [b"12345678"]]),
    )
    assert declaration.decode(log) == {
        "title": keccak256(b"title"),
        "by": "0x" + "aa" * 20,
        "text": "ä text",
        "marks": (b"12345678",),
    }


def test_logs_that_are_not_as_declared() -> None:
    declaration = EventDeclaration.parse("Said(address indexed by, string text)")
    good = EventLog(AT, (declaration.topic, bytes(32)), encode(["string"], ["x"]))
    declaration.decode(good)
    bad = [
        replace(good, topics=good.topics[:1]),
        replace(good, topics=(bytes(32), bytes(32))),
        replace(good, topics=()),
        replace(good, topics=(declaration.topic, b"\x01" * 32)),
        replace(good, data=good.data[:-1]),
        replace(good, data=good.data + bytes(32)),
        replace(good, data=good.data[:-31] + b"\x01" * 31),
        replace(good, data=good.data.replace(b"x", b"\xff")),
        replace(good, data=b"\xff" * 64),
        replace(good, data=b""),
    ]
    for log in bad:
        with refused(Reason.EVENT_DECLARATION):
            declaration.decode(log)


def test_every_event_of_our_contracts_can_be_declared() -> None:
    for contract in CONTRACTS:
        for topic, entry in artifact(contract).events.items():
            fields = zip(entry.types, entry.indexed, entry.names, strict=True)
            listed = ", ".join(f"{kind}{' indexed' if flag else ''} {name}" for kind, flag, name in fields)
            assert EventDeclaration.parse(f"{entry.name}({listed})").topic == topic
