"""Transactions rebuilt from a node's answer, against another library's encodings and trie."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account as OtherAccount
from rlp.sedes import big_endian_int
from trie import HexaryTrie

from silkledger.evidence import rlp
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evm.signer import LocalSigner
from silkledger.evm.transaction_bytes import transaction_from_rpc, transactions_root
from silkledger.evm.transactions import Transaction, sign_transaction
from silkledger.keys.account import Account

KEY = b"\x07" * 32
TO = "0x" + "77" * 20
ACCESS = [{"address": "0x" + "88" * 20, "storageKeys": ["0x" + "01" * 32, "0x" + "02" * 32]}]
AUTHORISED = OtherAccount.from_key(KEY).sign_authorization({"chainId": 7317, "address": TO, "nonce": 1})
COMMON = {"chainId": 7317, "nonce": 300, "gas": 60_000, "to": TO, "value": 5, "data": "0x0102"}
FEES = {"maxFeePerGas": 1_000, "maxPriorityFeePerGas": 0}

SIGNED: dict[int, dict[str, Any]] = {
    0: COMMON | {"gasPrice": 7},
    1: COMMON | {"gasPrice": 7, "accessList": ACCESS, "type": 1},
    2: COMMON | FEES | {"accessList": ACCESS, "type": 2},
    3: COMMON
    | FEES
    | {"accessList": ACCESS, "type": 3, "maxFeePerBlobGas": 9, "blobVersionedHashes": ["0x01" + "55" * 31]},
    4: COMMON | FEES | {"accessList": ACCESS, "type": 4, "authorizationList": [AUTHORISED]},
}


def told(kind: int) -> tuple[dict[str, Any], bytes]:
    """A transaction as a node tells it, and its bytes by the other library."""
    signed = OtherAccount.sign_transaction(SIGNED[kind], KEY)
    fields: dict[str, Any] = {"type": hex(kind), "input": "0x0102", "to": TO}
    for name in ("chainId", "nonce", "gas", "value", *FEES, "gasPrice", "maxFeePerBlobGas"):
        if name in SIGNED[kind]:
            fields[name] = hex(SIGNED[kind][name])
    fields |= {"r": hex(signed.r), "s": hex(signed.s), "v": hex(signed.v)}
    if kind:
        fields |= {"accessList": ACCESS, "yParity": hex(signed.v)}
    if kind == 3:
        fields["blobVersionedHashes"] = SIGNED[3]["blobVersionedHashes"]
    if kind == 4:
        names = {"chain_id": "chainId", "nonce": "nonce", "y_parity": "yParity", "r": "r", "s": "s"}
        entry = {theirs: hex(getattr(AUTHORISED, ours)) for ours, theirs in names.items()}
        fields["authorizationList"] = [entry | {"address": TO}]
    return fields, bytes(signed.raw_transaction)


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4])
def test_the_bytes_are_those_of_the_other_library(kind: int) -> None:
    fields, raw = told(kind)
    assert transaction_from_rpc(fields) == raw
    padded = fields | {name: "0x" + fields[name][2:].zfill(64) for name in ("r", "s")}
    assert transaction_from_rpc(padded) == raw


async def test_a_contract_creation_of_ours() -> None:
    account = Account.generate()
    transaction = Transaction(7317, 0, 0, 60_000, None, b"\x60\x00")
    signed = await sign_transaction(LocalSigner(account), transaction)
    items = [rlp.as_bytes(item, "field") for item in rlp.decode_list(signed.raw, "transaction")]
    v, r, s = ("0x" + item.hex().lstrip("0") for item in items[6:9])
    fields = {"nonce": "0x0", "gasPrice": "0x0", "gas": hex(60_000), "to": None, "value": "0x0"}
    assert transaction_from_rpc(fields | {"input": "0x6000", "v": v, "r": r, "s": s}) == signed.raw


@pytest.mark.parametrize("count", [0, 1, 2, 127, 128, 129, 300])
def test_the_root_is_that_of_the_other_trie(count: int) -> None:
    raws = [b"transaction %d of some length, longer than a hash" % i for i in range(count)]
    other = HexaryTrie({})
    for i, raw in enumerate(raws):
        other[rlp.encode(big_endian_int.serialize(i))] = raw
    assert transactions_root(raws) == other.root_hash


def test_order_and_content_change_the_root() -> None:
    raws = [told(kind)[1] for kind in (0, 1, 2)]
    assert len({transactions_root(raws), transactions_root(raws[::-1]), transactions_root(raws[:2])}) == 3


@pytest.mark.parametrize(
    "change",
    [{"type": "0x5"}, {"nonce": None}, {"r": "0x"}, {"to": "0x77"}, {"accessList": {}}, {"accessList": [1]}],
)
def test_what_is_malformed_is_refused(change: dict[str, Any]) -> None:
    fields, _ = told(2)
    with pytest.raises(EvidenceInvalid):
        transaction_from_rpc(fields | change)
