"""Trust roots: what a verifier believes without proof. A small JSON file that its holder must get right.

Whoever can change this file can make any bundle pass: obtain it apart from the bundles, and compare it with
others. Format: docs/formats/trust-roots.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from silkledger.evidence.bundle import Contract
from silkledger.evidence.contract_lineage import ContractRules
from silkledger.evidence.header import EngineKind
from silkledger.evidence.lineage import ValidatorRules
from silkledger.log.checkpoint import LogVerifierKey, NoteError, NoteKeyType
from silkledger.values import Address, BlockHash, CountryCode, Digest, ValueShapeError

FORMAT: Final = "silkledger-trust-roots/1"
_KEYS: Final = {"format", "chainId", "genesisHash", "engine", "directory", "contracts", "pinnedBlocks"}
_OPTIONAL: Final = {"relyingCountry", "log", "witnesses"}
MAX_WITNESSES: Final = 63
"""A checkpoint has at most 64 signature lines, one of them the log's."""
_NEEDED: Final = {contract.directory_name for contract in Contract}


class TrustRootsError(ValueError):
    """The trust roots are not of the documented form. Nothing can be verified with them."""


@dataclass(frozen=True, slots=True)
class PinnedLog:
    """A log that the verifier knows by itself. Optional: the key is also proven from the chain."""

    origin: str
    verifier_key: str
    """C2SP vkey text."""


@dataclass(frozen=True, slots=True)
class PinnedWitnesses:
    """Witnesses of the log, and how many of them must have cosigned the checkpoint. Optional."""

    witnesses: tuple[LogVerifierKey, ...]
    """Different names and different keys, all of type COSIGNATURE_V1."""
    threshold: int
    """1 to the number of witnesses."""

    def __post_init__(self) -> None:
        """Raises: TrustRootsError."""
        count = len(self.witnesses)
        if not 0 < self.threshold <= count <= MAX_WITNESSES:
            raise TrustRootsError(f"witnesses: 1 to {MAX_WITNESSES}, and a threshold of 1 to their number")
        if any(witness.key_type is not NoteKeyType.COSIGNATURE_V1 for witness in self.witnesses):
            raise TrustRootsError("a witness's verifier key is of type 4 (cosignature/v1)")
        names, keys = zip(*((witness.name, witness.public) for witness in self.witnesses), strict=True)
        if len(set(names)) != count or len(set(keys)) != count:
            raise TrustRootsError("two witnesses have one name or one key: they would count twice")


@dataclass(frozen=True, slots=True)
class TrustRoots:
    """What the verifier trusts."""

    chain_id: int
    genesis_hash: BlockHash
    engine: EngineKind
    rules: ValidatorRules | ContractRules | None
    """How the network's validators are followed; None exactly on an engine without seals."""
    directory: Address
    contracts: Mapping[str, Address]
    """Contract addresses by their names in the NetworkDirectory; at least the four that bundles prove."""
    pinned_blocks: Mapping[int, BlockHash]
    """Blocks known to be on the ledger."""
    relying_country: CountryCode | None = None
    """The country on whose behalf verification is done, unless the call names one."""
    log: PinnedLog | None = None
    witnesses: PinnedWitnesses | None = None

    def pin_of(self, number: int) -> BlockHash | None:
        """The hash that block `number` must have, if it is pinned. Genesis always is."""
        return self.genesis_hash if number == 0 else self.pinned_blocks.get(number)

    def address_of(self, contract: Contract) -> Address:
        return self.contracts[contract.directory_name]

    def to_json(self) -> str:
        """The file's text, ending in a newline."""
        value: dict[str, object] = {
            "format": FORMAT,
            "chainId": self.chain_id,
            "genesisHash": str(self.genesis_hash),
            "engine": _engine_value(self.engine, self.rules),
            "directory": str(self.directory),
            "contracts": {name: str(address) for name, address in sorted(self.contracts.items())},
            "pinnedBlocks": {str(number): str(hash_) for number, hash_ in sorted(self.pinned_blocks.items())},
        }
        if self.relying_country is not None:
            value["relyingCountry"] = str(self.relying_country)
        if self.log is not None:
            value["log"] = {"origin": self.log.origin, "verifierKey": self.log.verifier_key}
        if self.witnesses is not None:
            value["witnesses"] = {
                "verifierKeys": [str(witness) for witness in self.witnesses.witnesses],
                "threshold": self.witnesses.threshold,
            }
        return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> TrustRoots:
        """Read the file's text.

        Raises:
            TrustRootsError: for anything but the documented form, unknown and repeated names included.
        """
        try:
            value = json.loads(text, object_pairs_hook=_no_repeats)
        except ValueError as error:
            raise TrustRootsError(f"not JSON: {error}") from error
        fields = _object(value, "trust roots", _KEYS, _OPTIONAL)
        if fields["format"] != FORMAT:
            raise TrustRootsError(f"format must be {FORMAT}")
        try:
            return _read(fields)
        except ValueShapeError as error:
            raise TrustRootsError(str(error)) from error


def _read(fields: Mapping[str, object]) -> TrustRoots:
    engine, rules = _engine(fields["engine"])
    contracts = _texts(fields["contracts"], "contracts")
    if not contracts.keys() >= _NEEDED:
        raise TrustRootsError(f"contracts lacks {', '.join(sorted(_NEEDED - contracts.keys()))}")
    pins = _texts(fields["pinnedBlocks"], "pinnedBlocks")
    relying = fields.get("relyingCountry")
    return TrustRoots(
        chain_id=_uint(fields["chainId"], "chainId"),
        genesis_hash=BlockHash.from_hex(_text(fields["genesisHash"], "genesisHash")),
        engine=engine,
        rules=rules,
        directory=Address.from_hex(_text(fields["directory"], "directory")),
        contracts={name: Address.from_hex(address) for name, address in contracts.items()},
        pinned_blocks={_number(number): BlockHash.from_hex(hash_) for number, hash_ in pins.items()},
        relying_country=None if relying is None else CountryCode(_text(relying, "relyingCountry")),
        log=_log(fields["log"]) if "log" in fields else None,
        witnesses=_witnesses(fields["witnesses"]) if "witnesses" in fields else None,
    )


def _log(value: object) -> PinnedLog:
    fields = _object(value, "log", {"origin", "verifierKey"})
    return PinnedLog(_text(fields["origin"], "origin"), _text(fields["verifierKey"], "verifierKey"))


def _witnesses(value: object) -> PinnedWitnesses:
    fields = _object(value, "witnesses", {"verifierKeys", "threshold"})
    listed = fields["verifierKeys"]
    if not isinstance(listed, list):
        raise TrustRootsError("verifierKeys must be a list")
    try:
        keys = tuple(LogVerifierKey.parse(_text(item, "a verifier key")) for item in listed)
    except NoteError as error:
        raise TrustRootsError(f"witnesses: {error.detail}") from error
    return PinnedWitnesses(keys, _uint(fields["threshold"], "threshold"))


def _engine_value(engine: EngineKind, rules: ValidatorRules | ContractRules | None) -> dict[str, object]:
    if rules is None:
        return {"kind": engine.value}
    if isinstance(rules, ContractRules):
        contract = {
            "address": str(rules.address),
            "codeHash": f"0x{rules.code_hash.hex()}",
            "slot": f"0x{rules.slot:064x}",
        }
        return {"kind": engine.value, "validatorContract": contract}
    transitions = {
        str(block): [str(validator) for validator in validators]
        for block, validators in sorted(rules.transitions.items())
    }
    return {"kind": engine.value, "epochLength": rules.epoch_length, "transitions": transitions}


def _engine(value: object) -> tuple[EngineKind, ValidatorRules | ContractRules | None]:
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind == EngineKind.NO_SEALS:
        _object(value, "engine", {"kind"})
        return EngineKind.NO_SEALS, None
    if kind != EngineKind.QBFT:
        raise TrustRootsError("engine.kind must be no-seals or qbft")
    if isinstance(value, dict) and "validatorContract" in value:
        fields = _object(value, "engine", {"kind", "validatorContract"})
        return EngineKind.QBFT, _contract_rules(fields["validatorContract"])
    fields = _object(value, "engine", {"kind", "epochLength", "transitions"})
    epoch = _uint(fields["epochLength"], "epochLength")
    if epoch == 0:
        raise TrustRootsError("epochLength must be positive")
    listed = _object(fields["transitions"], "transitions", None)
    transitions = {_number(block): _validators(members) for block, members in listed.items()}
    return EngineKind.QBFT, ValidatorRules(epoch, transitions)


def _contract_rules(value: object) -> ContractRules:
    fields = _object(value, "validatorContract", {"address", "codeHash", "slot"})
    return ContractRules(
        address=Address.from_hex(_text(fields["address"], "address")),
        code_hash=bytes(Digest.from_hex(_text(fields["codeHash"], "codeHash"))),
        slot=int.from_bytes(Digest.from_hex(_text(fields["slot"], "slot")), "big"),
    )


def _validators(value: object) -> tuple[Address, ...]:
    if not isinstance(value, list) or not value:
        raise TrustRootsError("a transition names at least one validator")
    return tuple(Address.from_hex(_text(item, "validator")) for item in value)


def _no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise TrustRootsError("a name stands twice in one object")
    return result


def _object(
    value: object, what: str, keys: set[str] | None, optional: set[str] | frozenset[str] = frozenset()
) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TrustRootsError(f"{what} must be an object")
    if keys is not None and not keys <= value.keys() <= keys | optional:
        raise TrustRootsError(f"{what} must have exactly the names {', '.join(sorted(keys))}")
    return value


def _texts(value: object, what: str) -> dict[str, str]:
    return {name: _text(item, what) for name, item in _object(value, what, None).items()}


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise TrustRootsError(f"{what} must be a string")
    return value


def _uint(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TrustRootsError(f"{what} must be a non-negative integer")
    return value


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or str(int(text)) != text:
        raise TrustRootsError(f"{text[:24]!r} is not a block number")
    return int(text)
