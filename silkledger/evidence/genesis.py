"""A Besu genesis file: which ledger it founds, and how that ledger's validators are followed.

Read strictly: what could change who the validators are, or the genesis block's hash, is understood or
refused. Names are case-insensitive, as in Besu. Sources: Besu `GenesisConfig`, `GenesisState`,
`JsonQbftConfigOptions`, `QbftFork`. The hash is computed here, never read from anywhere: compare it with what
the network's members say it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from silkledger.evidence import rlp
from silkledger.evidence.contract_lineage import ContractRules
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.genesis_fields import Fields, GenesisError, address, number, octets
from silkledger.evidence.header import EngineKind, Header, decode_header
from silkledger.evidence.keccak import keccak256
from silkledger.evidence.lineage import ValidatorRules
from silkledger.evidence.qbft import MIX_HASH, OMMERS_HASH, extra_data_of
from silkledger.evidence.receipts import BLOOM_SIZE
from silkledger.evidence.state import EMPTY_CODE_HASH
from silkledger.evidence.trie import EMPTY_TRIE_ROOT, Trie
from silkledger.values import Address

_DEFAULT_EPOCH: Final = 30_000
"""Blocks; Besu's default."""
_DEFAULT_BASE_FEE: Final = 1_000_000_000
"""Wei; Besu's for a chain that has London from genesis on and names no fee."""
_EMPTY_REQUESTS: Final = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
"""SHA-256 of nothing (EIP-7685)."""
_QBFT: Final = {"epochlength", "validatorcontractaddress"}
_HEADERS: Final = "blockheader"
"""Besu's name of header mode."""
_HARMLESS: Final = {
    "blockperiodseconds",
    "xblockperiodmilliseconds",
    "emptyblockperiodseconds",
    "xemptyblockperiodseconds",
    "requesttimeoutseconds",
    "blockreward",
    "miningbeneficiary",
    "gossipedhistorylimit",
    "messagequeuelimit",
    "duplicatemessagelimit",
    "futuremessageslimit",
    "futuremessagesmaxdistance",
}
"""Names under `qbft` and its transitions that say nothing about validators."""
_OTHER_CONSENSUS: Final = {"ibft", "ibft2", "clique", "ethash"}
_LATER_FORKS: Final = ("osakatime", "verkletime", "futureeipstime", "experimentaleipstime", "cancuneoftime")
"""Forks that may change the genesis header and are not known here. Refused if in force at genesis."""


@dataclass(frozen=True, slots=True)
class Genesis:
    """What the file says."""

    chain_id: int
    header: Header
    """Block 0; its `hash` is the genesis hash."""
    rules: ValidatorRules | None
    """Header mode: epochs and transitions; None in contract mode."""
    contract: Address | None
    """Contract mode: where the validators stand."""
    contract_code_hash: bytes
    """keccak of the code that the file puts there; empty in header mode."""
    contract_from: int = 0
    """The first block whose validators the contract holds. Above 0 the network changed to contract mode
    there: its validators are followed from a pinned block that is the one before, or a later one.
    """

    def contract_rules(self, slot: int) -> ContractRules:
        """The rules of contract mode, with the array at storage slot `slot`.

        Raises:
            GenesisError: the network is in header mode.
        """
        if self.contract is None:
            raise GenesisError("the validators stand in the headers, not in a contract")
        return ContractRules(self.contract, self.contract_code_hash, slot)


def read_genesis(text: str | bytes) -> Genesis:
    """Read the text of a genesis file of a QBFT network.

    Raises:
        GenesisError: for anything that is not understood, with the name it stands under.
    """
    try:
        value = json.loads(text, object_pairs_hook=_lower)
    except (ValueError, RecursionError) as error:
        raise GenesisError(f"not JSON of the expected form: {error}") from error
    root = Fields(value, "genesis")
    config = root.object("config")
    qbft = config.object("qbft")
    qbft.only(_QBFT | _HARMLESS)
    if config.values.keys() & _OTHER_CONSENSUS:
        raise GenesisError("a network that had another consensus before is not supported")
    header = _header(root, config)
    given = qbft.get("validatorcontractaddress")
    contract = None if given is None else address(given, "validatorcontractaddress")
    rules, contract_from = None, 0
    named = extra_data_of(header).validators
    transitions, change = _transitions(config)
    if contract is None:
        epoch = number(qbft.get("epochlength", _DEFAULT_EPOCH), "epochlength")
        if epoch == 0 or not named:
            raise GenesisError("epochlength must be positive, and extraData must name validators")
        rules = ValidatorRules(epoch, transitions)
        if change is not None:
            rules, (contract_from, contract) = None, change
    elif named or transitions or change:
        raise GenesisError("in contract mode neither extraData nor transitions may name validators")
    return Genesis(
        chain_id=number(config.need("chainid"), "chainId"),
        header=header,
        rules=rules,
        contract=contract,
        contract_code_hash=b"" if contract is None else _code_hash(root, contract),
        contract_from=contract_from,
    )


def _lower(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = {name.lower(): value for name, value in pairs}
    if len(result) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return result


def _transitions(config: Fields) -> tuple[dict[int, tuple[Address, ...]], tuple[int, Address] | None]:
    """Block → validators from there on; and where the network changes to contract mode, which contract.

    Such a change must be the last transition that says anything about validators. Changes back are refused.
    """
    listed = Fields(config.get("transitions", {}), "transitions")
    listed.only({"qbft"})
    found: dict[int, tuple[Address, ...]] = {}
    change: tuple[int, Address] | None = None
    items = listed.get("qbft", [])
    if not isinstance(items, list):
        raise GenesisError("transitions.qbft must be a list")
    for item in items:
        fork = Fields(item, "transitions.qbft")
        fork.only(_HARMLESS | {"block", "validators", "validatorselectionmode", "validatorcontractaddress"})
        block = number(fork.need("block"), "block")
        told = {"validators", "validatorselectionmode", "validatorcontractaddress"} & fork.values.keys()
        if change is not None and told:
            raise GenesisError(
                f"transition at block {block}: nothing about validators may follow contract mode"
            )
        if fork.get("validatorselectionmode") == "contract":
            change = _change(fork, block)
        elif "validatorcontractaddress" in told or fork.get("validatorselectionmode", _HEADERS) != _HEADERS:
            raise GenesisError(f"transition at block {block}: such a change of mode is not supported")
        elif "validators" in told:
            found[block] = _validators(fork, block, found)
    if change is not None and any(block >= change[0] for block in found):
        raise GenesisError(f"the change to contract mode at block {change[0]} must be the last transition")
    return found, change


def _change(fork: Fields, block: int) -> tuple[int, Address]:
    if block == 0 or "validators" in fork.values:
        raise GenesisError(f"transition at block {block}: to contract mode after 0, and without validators")
    return block, address(fork.need("validatorcontractaddress"), "validatorcontractaddress")


def _validators(fork: Fields, block: int, found: Mapping[int, object]) -> tuple[Address, ...]:
    listed = fork.get("validators")
    if not isinstance(listed, list) or not listed or block in found or block == 0:
        raise GenesisError(f"transition at block {block}: a non-empty list of validators, once, after 0")
    validators = tuple(address(validator, "validators") for validator in listed)
    if len(set(validators)) != len(validators):
        raise GenesisError(f"transition at block {block}: a validator stands twice")
    return validators


def _header(root: Fields, config: Fields) -> Header:
    """Block 0 as Besu builds it."""
    later = _later_fields(root, config)
    mix_hash = octets(root.need("mixhash"), "mixHash", 32)
    if mix_hash != MIX_HASH or number(root.need("difficulty"), "difficulty") != 1:
        raise GenesisError("a QBFT genesis has difficulty 1 and the mixHash of QBFT")
    items: list[bytes] = [
        octets(root.get("parenthash", "0x" + "00" * 32), "parentHash", 32),
        OMMERS_HASH,
        bytes(address(root.get("coinbase", "0x" + "00" * 20), "coinbase")),
        state_root(root.object("alloc").values),
        EMPTY_TRIE_ROOT,
        EMPTY_TRIE_ROOT,
        bytes(BLOOM_SIZE),
        rlp.encode_int(1),
        b"",
        rlp.encode_int(number(root.need("gaslimit"), "gasLimit")),
        b"",
        rlp.encode_int(number(root.get("timestamp", "0x0"), "timestamp")),
        octets(root.need("extradata"), "extraData"),
        mix_hash,
        number(root.get("nonce", "0x0"), "nonce", hexadecimal=True).to_bytes(8, "big"),
        *later,
    ]
    try:
        return decode_header(rlp.encode(items), EngineKind.QBFT)
    except EvidenceInvalid as error:
        raise GenesisError(str(error)) from error


def _later_fields(root: Fields, config: Fields) -> list[bytes]:
    """The fields of forks that are in force at genesis, in their order."""
    time = number(root.get("timestamp", "0x0"), "timestamp")

    def begun(name: str) -> bool:
        return name in config.values and number(config.values[name], name) <= time

    for name in _LATER_FORKS:
        if begun(name):
            raise GenesisError(f"{name}: a fork that is not known here is in force at genesis")
    prague = begun("praguetime")
    cancun = begun("cancuntime") or ("cancuntime" not in config.values and prague)
    shanghai = begun("shanghaitime") or ("shanghaitime" not in config.values and cancun)
    fee = root.get("basefeepergas")
    london = (
        number(config.values["londonblock"], "londonBlock") == 0 if "londonblock" in config.values else False
    )
    if fee is None and not london:
        if shanghai or cancun or prague:
            raise GenesisError("a fork after London is in force at genesis, and London is not")
        return []
    fields = [rlp.encode_int(_DEFAULT_BASE_FEE if fee is None else number(fee, "baseFeePerGas"))]
    if shanghai:
        fields.append(EMPTY_TRIE_ROOT)
    if cancun:
        beacon = octets(root.get("parentbeaconblockroot", "0x" + "00" * 32), "parentBeaconBlockRoot", 32)
        counters = [number(root.get(name, "0x0"), name, hexadecimal=True) for name in _BLOB_COUNTERS]
        fields += [*(rlp.encode_int(counter) for counter in counters), beacon]
    if prague:
        fields.append(_EMPTY_REQUESTS)
    return fields


_BLOB_COUNTERS: Final = ("blobgasused", "excessblobgas")


def state_root(alloc: Mapping[str, object]) -> bytes:
    """The root of the state that `alloc` describes: accounts by address, with balance, nonce, code, storage.

    Raises:
        GenesisError.
    """
    accounts: dict[bytes, bytes] = {}
    for name, value in alloc.items():
        account = Fields(value, f"alloc {name}")
        account.only({"balance", "nonce", "code", "storage", "comment", "privatekey", "secretkey", "version"})
        accounts[keccak256(address(name, "alloc"))] = rlp.encode(
            [
                rlp.encode_int(number(account.get("nonce", "0x0"), "nonce", hexadecimal=True)),
                rlp.encode_int(number(account.get("balance", "0x0"), "balance")),
                _storage_root(account),
                keccak256(octets(account.get("code", "0x"), "code")),
            ]
        )
    if len(accounts) != len(alloc):
        raise GenesisError("alloc: an address stands twice")
    return Trie(accounts).root


def _storage_root(account: Fields) -> bytes:
    words: dict[bytes, bytes] = {}
    storage = Fields(account.get("storage", {}), "storage").values
    for slot, value in storage.items():
        key = keccak256(number(slot, "slot", hexadecimal=True).to_bytes(32, "big"))
        word = number(value, "storage", hexadecimal=True)
        if word:
            words[key] = rlp.encode(rlp.encode_int(word))
    return Trie(words).root


def _code_hash(root: Fields, contract: Address) -> bytes:
    for name, value in root.object("alloc").values.items():
        if address(name, "alloc") == contract:
            code_hash = keccak256(octets(Fields(value, "alloc").get("code", "0x"), "code"))
            if code_hash != EMPTY_CODE_HASH:
                return code_hash
    raise GenesisError(f"alloc has no code at validatorcontractaddress {contract}")
