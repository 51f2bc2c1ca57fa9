"""The contracts by name: their ABI, their addresses on one network, their calls, events and errors.

ABIs come from the committed artifacts (`contracts/artifacts/<Name>.json`, derived from the Solidity sources).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError

from silkledger.evidence.keccak import keccak256
from silkledger.evidence.receipts import EventLog
from silkledger.evm.abi_words import word_value, words_values
from silkledger.evm.port import CallReverted, Node, NodeLied
from silkledger.values import Address, BlockHash, BlockRef, TxHash

TARGETS: Final = ("LogAnchor", "IdentityRegistry", "TrustRegistry", "DocumentStatus", "SettlementLedger")
"""Contracts that SignedCalls may call."""

CONTRACTS: Final = ("SignedCalls", *TARGETS)
"""Everything that the network directory lists."""

DIRECTORY: Final = "NetworkDirectory"

ARTIFACTS: Final = Path(__file__).resolve().parents[2] / "contracts" / "artifacts"


class ContractMismatch(RuntimeError):
    """What is on chain is not what our artifacts say: another network, or another version of the
    contracts.
    """


@dataclass(frozen=True, slots=True)
class AbiEntry:
    """One function, event or error."""

    name: str
    signature: str
    """Canonical, e.g. `anchor(bytes32,uint64,bytes32,bytes32[])`."""
    names: tuple[str, ...]
    types: tuple[str, ...]
    indexed: tuple[bool, ...]
    outputs: tuple[str, ...]

    @property
    def selector(self) -> bytes:
        """First 4 bytes of the signature's keccak: what calldata and error data begin with."""
        return keccak256(self.signature.encode())[:4]

    @property
    def topic(self) -> bytes:
        return keccak256(self.signature.encode())


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract."""

    name: str
    bytecode: bytes
    """Creation code, without constructor arguments."""
    constructor: tuple[str, ...]
    """Types of the constructor's arguments."""
    functions: Mapping[str, AbiEntry]
    """By signature, and by bare name where that is not ambiguous."""
    events: Mapping[bytes, AbiEntry]
    """By topic."""
    errors: Mapping[bytes, AbiEntry]
    """By selector."""


@dataclass(frozen=True, slots=True)
class ContractEvent:
    """One decoded event of one of our contracts, with its place in the chain.

    `args` holds Python values by the ABI's names: addresses as `Address`, bytes, int, str, bool, tuples.
    """

    contract: str
    name: str
    args: Mapping[str, Any]
    address: Address
    block_number: int
    tx_index: int
    log_index: int
    """Position among all logs of the block."""
    tx_hash: TxHash


BlockEvents: TypeAlias = tuple[BlockRef, Sequence[ContractEvent]]
"""A block, and the events of our contracts in it, in order."""


@dataclass(frozen=True, slots=True)
class Network:
    """One deployment: a chain and the contracts its directory names."""

    chain_id: int
    genesis_hash: BlockHash
    directory: Address
    addresses: Mapping[str, Address]

    def address(self, name: str) -> Address:
        """Raises: ContractMismatch when this network has no such contract."""
        if name == DIRECTORY:
            return self.directory
        if name not in self.addresses:
            raise ContractMismatch(f"the directory {self.directory} lists no {name}")
        return self.addresses[name]

    def name_at(self, address: Address) -> str | None:
        """The contract at `address`; None: not one of ours."""
        for name, ours in self.addresses.items():
            if ours == address:
                return name
        return None


@cache
def artifact(name: str) -> Artifact:
    """The compiled contract `name`. Raises: FileNotFoundError."""
    content = json.loads((ARTIFACTS / f"{name}.json").read_text("utf-8"))
    abi: list[dict[str, Any]] = content["abi"]
    entries = {kind: [_entry(item) for item in abi if item["type"] == kind] for kind in _KINDS}
    constructor: list[Any] = next((item["inputs"] for item in abi if item["type"] == "constructor"), [])
    return Artifact(
        name=name,
        bytecode=bytes.fromhex(str(content["bytecode"]).removeprefix("0x")),
        constructor=tuple(_type(item) for item in constructor),
        functions=_by_name(entries["function"]),
        events={entry.topic: entry for entry in entries["event"]},
        errors={entry.selector: entry for entry in entries["error"]},
    )


_KINDS: Final = ("function", "event", "error")


def _entry(item: Mapping[str, Any]) -> AbiEntry:
    inputs = item["inputs"]
    types = tuple(_type(field) for field in inputs)
    return AbiEntry(
        name=item["name"],
        signature=f"{item['name']}({','.join(types)})",
        names=tuple(field["name"] or f"arg{i}" for i, field in enumerate(inputs)),
        types=types,
        indexed=tuple(bool(field.get("indexed", False)) for field in inputs),
        outputs=tuple(_type(field) for field in item.get("outputs", ())),
    )


def _type(field: Mapping[str, Any]) -> str:
    """Canonical type; a struct becomes the tuple of its fields (ABI specification, "handling tuple
    types").
    """
    kind = str(field["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_type(part) for part in field['components'])}){kind.removeprefix('tuple')}"


def _by_name(entries: Sequence[AbiEntry]) -> dict[str, AbiEntry]:
    found = {entry.signature: entry for entry in entries}
    names = [entry.name for entry in entries]
    found.update({entry.name: entry for entry in entries if names.count(entry.name) == 1})
    return found


def _function(contract: str, function: str) -> AbiEntry:
    entry = artifact(contract).functions.get(function)
    if entry is None:
        raise KeyError(
            f"{contract} has no function {function!r} (an overloaded one is named by its signature)"
        )
    return entry


def encode_call(contract: str, function: str, args: Sequence[object]) -> bytes:
    """Calldata. `function` is a name, or the whole signature where the name is overloaded.

    Raises:
        KeyError: no such function.
        ValueError: the arguments do not fit its types.
    """
    entry = _function(contract, function)
    try:
        return entry.selector + encode(entry.types, args)
    except (EncodingError, TypeError) as error:
        raise ValueError(f"{contract}.{entry.signature}: {error}") from None


def decode_result(contract: str, function: str, data: bytes) -> tuple[Any, ...]:
    """What a view call returned. Raises: NodeLied, ContractMismatch when it does not decode."""
    entry = _function(contract, function)
    try:
        values = decode(entry.outputs, data)
    except DecodingError as error:
        raise ContractMismatch(f"{contract}.{function} returned something else: {error}") from None
    return tuple(_value(kind, value) for kind, value in zip(entry.outputs, values, strict=True))


async def view(
    node: Node,
    network: Network,
    contract: str,
    function: str,
    args: Sequence[object],
    block: int | None = None,
) -> tuple[Any, ...]:
    """Call a view function as of `block`. What it returns is the node's claim, proven by nothing."""
    data = await node.call(network.address(contract), encode_call(contract, function, args), block)
    return decode_result(contract, function, data)


def decode_event(contract: str, log: EventLog) -> tuple[str, dict[str, Any]]:
    """Name and arguments of an event that `contract` emitted.

    Raises:
        ContractMismatch: our artifact knows no such event. To skip it would be to lose a fact.
    """
    entry = artifact(contract).events.get(log.topics[0]) if log.topics else None
    if entry is None:
        raise ContractMismatch(f"{contract} emitted an event that its artifact does not have")
    indexed = [kind for kind, flag in zip(entry.types, entry.indexed, strict=True) if flag]
    plain = [kind for kind, flag in zip(entry.types, entry.indexed, strict=True) if not flag]
    if len(indexed) != len(log.topics) - 1:
        raise ContractMismatch(f"{contract}.{entry.name} has another number of topics")
    try:
        topics = iter([_topic(kind, word) for kind, word in zip(indexed, log.topics[1:], strict=True)])
        values = words_values(plain, log.data)
        if values is None:
            values = [_value(k, v) for k, v in zip(plain, decode(plain, log.data), strict=True)]
        body = iter(values)
    except DecodingError as error:
        raise ContractMismatch(f"{contract}.{entry.name} does not decode: {error}") from None
    flags = zip(entry.names, entry.indexed, strict=True)
    return entry.name, {name: next(topics) if flag else next(body) for name, flag in flags}


def events_of(
    network: Network, block_number: int, tx_hashes: Sequence[TxHash], logs_by_tx: Sequence[Sequence[EventLog]]
) -> list[ContractEvent]:
    """All events of our contracts in one block, in order. Logs of other addresses are not ours to read."""
    found: list[ContractEvent] = []
    names = {address: name for name, address in network.addresses.items()}
    log_index = 0
    for tx_index, (tx_hash, logs) in enumerate(zip(tx_hashes, logs_by_tx, strict=True)):
        for log in logs:
            contract = names.get(log.address)
            if contract is not None:
                name, args = decode_event(contract, log)
                found.append(
                    ContractEvent(
                        contract, name, args, log.address, block_number, tx_index, log_index, tx_hash
                    )
                )
            log_index += 1
    return found


def error_text(data: bytes) -> str:
    """A contract's refusal in words: the custom error with its arguments, or the data in hex. For people
    only.
    """
    if not data:
        return "refused without a reason"
    if data[:4] == keccak256(b"Error(string)")[:4]:
        return str(_decoded(("string",), data[4:], "0x" + data.hex()))
    for contract in (*CONTRACTS, DIRECTORY):
        entry = artifact(contract).errors.get(data[:4])
        if entry is not None:
            values = _decoded(entry.types, data[4:], "")
            return f"{contract}: {entry.name}{values}"
    return "0x" + data.hex()


def _decoded(types: Sequence[str], data: bytes, otherwise: str) -> str:
    try:
        values = decode(types, data)
    except DecodingError:
        return otherwise
    if tuple(types) == ("string",):
        return str(values[0])
    words = ["0x" + value.hex() if isinstance(value, bytes) else str(value) for value in values]
    return f"({', '.join(words)})"


def _topic(kind: str, word: bytes) -> Any:
    """An indexed argument. Of a dynamic type only its hash is recorded."""
    if kind in ("bytes32", "string", "bytes") or kind.endswith("]") or kind.startswith("("):
        return word
    value = word_value(kind, word)
    return _value(kind, decode([kind], word)[0]) if value is None else value


def _value(kind: str, value: Any) -> Any:
    if kind == "address":
        return Address.from_hex(value)
    if kind == "address[]":
        return tuple(Address.from_hex(item) for item in value)
    return value


async def load_network(node: Node, directory: Address) -> Network:
    """The network whose directory stands at `directory`, as the node tells it.

    Not a verification: compare chain id and genesis hash with pinned ones. The directory is immutable, so the
    addresses are as good as the directory's own.

    Raises:
        ContractMismatch: there is no directory there, or it lacks a contract of ours.
        NodeUnavailable, NodeLied.
    """
    chain_id, genesis = await node.chain_id(), await node.genesis_hash()
    unresolved = Network(chain_id, genesis, directory, {})
    addresses: dict[str, Address] = {}
    for name in CONTRACTS:
        try:
            (address,) = await view(node, unresolved, DIRECTORY, "addressOf", (name,))
        except (CallReverted, ContractMismatch):
            raise ContractMismatch(
                f"{directory} on chain {chain_id} is no directory that lists {name}"
            ) from None
        if address == Address(bytes(20)):
            raise ContractMismatch(f"the directory {directory} lists no {name}")
        addresses[name] = address
    if len(set(addresses.values())) != len(addresses):
        raise NodeLied("two contracts of the directory have one address")
    return Network(chain_id, genesis, directory, addresses)
