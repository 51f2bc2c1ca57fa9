"""Trust roots from a Besu genesis file: what is read, what is computed, what is refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_hash.auto import keccak
from trie import HexaryTrie
from typer.testing import CliRunner

from silkledger.cli.__main__ import app
from silkledger.cli.exit_codes import ExitCode
from silkledger.evidence.genesis import read_genesis, state_root
from silkledger.evidence.genesis_fields import GenesisError
from silkledger.evidence.lineage import ValidatorRules
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.values import Address
from tests.support.qbft_chain import MIX_HASH, validators
from tests.unit.evidence.qbft_chain import Draft, addresses

FOUR = validators(4)
PUBLISHED: dict[str, Any] = {
    "config": {
        "chainId": 12120014,
        "constantinopleFixBlock": 0,
        "berlinBlock": 0,
        "contractSizeLimit": 2147483647,
        "qbft": {"blockperiodseconds": 4, "epochlength": 30000, "requesttimeoutseconds": 8},
        "discovery": {"bootnodes": []},
    },
    "nonce": "0x0",
    "gasLimit": "0xF42400",
    "difficulty": "0x1",
    "mixHash": "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365",
    "coinbase": "0x0000000000000000000000000000000000000000",
    "alloc": {},
    "extraData": "0xf83aa00000000000000000000000000000000000000000000000000000000000000000"
    "d5948cbed6ba98fd722a54126edec5f20f1df0c713fcc080c0",
    "timestamp": "0x65dca409",
}
"""What RBBNet/rbb publishes in artefatos/observer/genesis.json of a Brazilian network, without its accounts
and boot nodes; the hash is not that network's therefore."""
ACCOUNTS: dict[str, Any] = {
    "0x" + "01" * 20: {"balance": "1000000000000000000"},
    "02" * 20: {"balance": "0x0de0b6b3a7640000", "nonce": "0x1", "comment": "no prefix"},
    "0x" + "77" * 20: {
        "balance": "0",
        "code": "0x6001600055",
        "storage": {"0x00": "0x04", "0x5": "0x" + "ab" * 32, "0x06": "0x0"},
    },
}


def edited(**changes: Any) -> dict[str, Any]:
    """The published file with other members; `config__qbft__epochlength` is a path, None deletes."""
    result = copy.deepcopy(PUBLISHED)
    for path, value in changes.items():
        *outer, last = path.split("__")
        inner = result
        for name in outer:
            inner = inner.setdefault(name, {})
        if value is None:
            del inner[last]
        else:
            inner[last] = value
    return result


def test_a_published_genesis_file() -> None:
    genesis = read_genesis(json.dumps(PUBLISHED))
    assert genesis.chain_id == 12120014
    assert genesis.rules == ValidatorRules(30_000)
    assert genesis.contract is None
    extra = genesis.header.extra
    assert extra is not None
    assert [str(v) for v in extra.validators] == ["0x8cbed6ba98fd722a54126edec5f20f1df0c713fc"]
    assert (genesis.header.number, genesis.header.timestamp) == (0, 0x65DCA409)
    assert genesis.header.base_fee_per_gas is None


def test_the_hash_is_that_of_the_header_that_besu_builds() -> None:
    """Put together by another RLP library, from the file's values."""
    given = edited(alloc=ACCOUNTS, config__londonBlock=0)
    empty = keccak(rlp.encode(b""))
    items: list[bytes | int] = [
        bytes(32),
        keccak(rlp.encode([])),
        bytes(20),
        state_root(ACCOUNTS),
        empty,
        empty,
        bytes(256),
    ]
    items += [1, 0, 0xF42400, 0, 0x65DCA409, bytes.fromhex(PUBLISHED["extraData"][2:]), MIX_HASH, bytes(8)]
    items += [1_000_000_000]
    assert bytes(read_genesis(json.dumps(given)).header.hash) == keccak(rlp.encode(items))
    given["baseFeePerGas"] = "0x7"
    assert bytes(read_genesis(json.dumps(given)).header.hash) == keccak(rlp.encode([*items[:-1], 7]))
    given["config"] |= {"shanghaiTime": 0, "cancunTime": 0, "pragueTime": 0}
    later = [*items[:-1], 7, empty, 0, 0, bytes(32)]
    requests = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    assert bytes(read_genesis(json.dumps(given)).header.hash) == keccak(rlp.encode([*later, requests]))
    given["config"] |= {"pragueTime": 0x65DCA40A}
    assert bytes(read_genesis(json.dumps(given)).header.hash) == keccak(rlp.encode(later))


def test_the_state_root_agrees_with_another_trie() -> None:
    def account(nonce: int, balance: int, storage: bytes, code: bytes) -> bytes:
        return bytes(rlp.encode([nonce, balance, storage, keccak(code)]))

    storage = HexaryTrie({})
    storage[keccak(bytes(32))] = rlp.encode(4)
    storage[keccak((5).to_bytes(32, "big"))] = rlp.encode(int("ab" * 32, 16))
    empty = keccak(rlp.encode(b""))
    state = HexaryTrie({})
    state[keccak(b"\x01" * 20)] = account(0, 10**18, empty, b"")
    state[keccak(b"\x02" * 20)] = account(1, 10**18, empty, b"")
    state[keccak(b"\x77" * 20)] = account(0, 0, storage.root_hash, bytes.fromhex("6001600055"))
    assert state_root(ACCOUNTS) == state.root_hash
    assert state_root({}) == empty


def test_transitions_of_validators() -> None:
    listed = [str(address) for address in addresses(FOUR)]
    forks = [
        {"block": 10, "blockperiodseconds": 5},
        {"block": 20, "validators": listed, "validatorselectionmode": "blockheader"},
        {"block": "0x28", "validators": listed[:1]},
    ]
    genesis = read_genesis(json.dumps(edited(config__transitions={"qbft": forks})))
    assert genesis.rules == ValidatorRules(30_000, {20: addresses(FOUR), 40: addresses(FOUR[:1])})


def contract_mode(**changes: Any) -> dict[str, Any]:
    draft = Draft(number=0, members=[], listed=[])
    return edited(
        config__qbft__validatorcontractaddress="0x" + "77" * 20,
        extraData="0x" + draft.extra(0, []).hex(),
        alloc=ACCOUNTS,
        **changes,
    )


def test_contract_mode() -> None:
    genesis = read_genesis(json.dumps(contract_mode()))
    assert genesis.rules is None
    assert genesis.contract == Address(b"\x77" * 20)
    rules = genesis.contract_rules(0)
    assert (rules.code_hash, rules.slot) == (keccak(bytes.fromhex("6001600055")), 0)
    with pytest.raises(GenesisError):
        read_genesis(json.dumps(PUBLISHED)).contract_rules(0)


ONE = {"block": 9, "validators": ["0x" + "01" * 20]}
REFUSED: dict[str, dict[str, Any]] = {
    "no qbft": edited(config__qbft=None),
    "no config": edited(config=None),
    "no chain id": edited(config__chainId=None),
    "chain id negative": edited(config__chainId=-1),
    "another consensus before": edited(config__ibft2={}),
    "unknown name in qbft": edited(config__qbft__startblock=100),
    "epoch zero": edited(config__qbft__epochlength=0),
    "epoch a fraction": edited(config__qbft__epochlength=1.5),
    "epoch true": edited(config__qbft__epochlength=True),
    "difficulty": edited(difficulty="0x2"),
    "mix hash": edited(mixHash="0x" + "00" * 32),
    "no extraData": edited(extraData=None),
    "extraData of another engine": edited(extraData="0x" + "00" * 32),
    "extraData names nobody": edited(
        extraData="0x" + Draft(number=0, members=[], listed=[]).extra(0, []).hex()
    ),
    "gas limit": edited(gasLimit="much"),
    "no alloc": edited(alloc=None),
    "alloc address": edited(alloc={"0x01": {"balance": "0"}}),
    "alloc twice": edited(alloc={"0x" + "01" * 20: {}, "01" * 20: {}}),
    "alloc unknown": edited(alloc={"01" * 20: {"root": "0x00"}}),
    "alloc balance": edited(alloc={"01" * 20: {"balance": "1e18"}}),
    "alloc code": edited(alloc={"01" * 20: {"code": "0x0"}}),
    "alloc storage": edited(alloc={"01" * 20: {"storage": {"0x0": "zero"}}}),
    "shanghai without london": edited(config__shanghaiTime=0),
    "a fork to come": edited(config__osakaTime=0),
    "transition of another engine": edited(config__transitions={"ibft2": []}),
    "transition to a contract": edited(
        config__transitions={"qbft": [{"block": 9, "validatorselectionmode": "contract"}]}
    ),
    "transition with a contract": edited(
        config__transitions={"qbft": [{"block": 9, "validatorcontractaddress": "0x" + "77" * 20}]}
    ),
    "transition to nobody": edited(config__transitions={"qbft": [{"block": 9, "validators": []}]}),
    "transition at genesis": edited(config__transitions={"qbft": [ONE | {"block": 0}]}),
    "transition twice": edited(config__transitions={"qbft": [ONE, ONE]}),
    "transition with one twice": edited(
        config__transitions={"qbft": [{"block": 9, "validators": ["0x" + "01" * 20] * 2}]}
    ),
    "transitions no list": edited(config__transitions={"qbft": {}}),
    "contract without code": contract_mode() | {"alloc": {}},
    "contract and validators": contract_mode() | {"extraData": PUBLISHED["extraData"]},
    "contract and transitions": contract_mode(config__transitions={"qbft": [ONE]}),
}


SWITCH = {
    "block": 40,
    "validatorSelectionMode": "contract",
    "validatorContractAddress": "0x" + "77" * 20,
}
SWITCHED = {"qbft": [ONE, SWITCH, {"block": 50, "blockperiodseconds": 1}]}


def test_a_change_to_contract_mode() -> None:
    genesis = read_genesis(json.dumps(edited(alloc=ACCOUNTS, config__transitions=SWITCHED)))
    assert genesis.contract_from == 40
    assert genesis.rules is None
    rules = genesis.contract_rules(0)
    assert rules.address == Address(b"\x77" * 20)
    assert rules.code_hash == keccak(bytes.fromhex("6001600055"))
    assert genesis.header.hash == read_genesis(json.dumps(edited(alloc=ACCOUNTS))).header.hash


@pytest.mark.parametrize(
    "forks",
    [
        [SWITCH | {"block": 0}],
        [SWITCH | {"validators": ["0x" + "01" * 20]}],
        [SWITCH | {"validatorContractAddress": "0x" + "78" * 20}],
        [{"block": 40, "validatorSelectionMode": "contract"}],
        [SWITCH, ONE | {"block": 41}],
        [SWITCH, SWITCH | {"block": 41}],
        [SWITCH, {"block": 41, "validatorSelectionMode": "blockheader"}],
        [ONE | {"block": 40}, SWITCH],
    ],
    ids=[
        "at_genesis",
        "with_validators",
        "no_code",
        "no_address",
        "validators_later",
        "twice",
        "back",
        "same",
    ],
)
def test_a_change_to_contract_mode_that_is_refused(forks: list[dict[str, Any]]) -> None:
    with pytest.raises(GenesisError):
        read_genesis(json.dumps(edited(alloc=ACCOUNTS, config__transitions={"qbft": forks})))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_refused(name: str) -> None:
    with pytest.raises(GenesisError):
        read_genesis(json.dumps(REFUSED[name]))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"nonce": "0x0", "NONCE": "0x1"}', '"text"'])
def test_what_is_no_genesis_file(text: str) -> None:
    with pytest.raises(GenesisError):
        read_genesis(text)


CONTRACTS = ("LogAnchor", "IdentityRegistry", "TrustRegistry", "DocumentStatus")


def run(*arguments: object) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, ["evidence", "trust-roots", *map(str, arguments), "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_the_command_writes_trust_roots_and_compares_the_hash(tmp_path: Path) -> None:
    file, out = tmp_path / "genesis.json", tmp_path / "roots.json"
    file.write_text(json.dumps(PUBLISHED))
    named = [part for i, n in enumerate(CONTRACTS, 1) for part in ("--contract", f"{n}=0x{i:040x}")]
    common = [file, "--directory", "0x" + "dd" * 20, *named, "--out", out, "--pin", "7=0x" + "01" * 32]
    code, made = run(*common, "--relying", "TH")
    assert code == 0
    roots = TrustRoots.from_json(out.read_text())
    assert str(roots.genesis_hash) == made["genesisHash"]
    assert roots.rules == ValidatorRules(30_000)
    assert set(roots.contracts) == set(CONTRACTS)
    assert list(roots.pinned_blocks) == [7]
    assert run(*common, "--genesis-hash", made["genesisHash"])[0] == 0
    out.unlink()
    for wrong in (
        [*common, "--genesis-hash", "0x" + "00" * 32],
        [*common, "--pin", "x=0x" + "01" * 32],
        [*common, "--pin", "7=0x" + "02" * 32],
        [*common, "--contract", "LogAnchor"],
        [*common, "--relying", "th"],
        [common[0], *common[1:3], *named[2:], "--out", out],
        [tmp_path / "absent", *common[1:]],
    ):
        assert run(*wrong)[0] == ExitCode.USAGE
        assert not out.exists()


def test_the_command_in_contract_mode_asks_for_the_slot(tmp_path: Path) -> None:
    file, out = tmp_path / "genesis.json", tmp_path / "roots.json"
    file.write_text(json.dumps(contract_mode()))
    named = [part for i, n in enumerate(CONTRACTS, 1) for part in ("--contract", f"{n}=0x{i:040x}")]
    common = [file, "--directory", "0x" + "dd" * 20, *named, "--out", out]
    code, refused = run(*common)
    assert code == ExitCode.USAGE
    assert "--validator-slot" in refused["error"]["message"]
    assert run(*common, "--validator-slot", "0")[0] == 0
    assert TrustRoots.from_json(out.read_text()).rules == read_genesis(file.read_text()).contract_rules(0)


def test_after_a_change_to_contract_mode_the_command_asks_for_a_pinned_block(tmp_path: Path) -> None:
    """The block before the change, or a later one: only from there on the contract's rules hold."""
    file, out = tmp_path / "genesis.json", tmp_path / "roots.json"
    file.write_text(json.dumps(edited(alloc=ACCOUNTS, config__transitions=SWITCHED)))
    named = [part for i, n in enumerate(CONTRACTS, 1) for part in ("--contract", f"{n}=0x{i:040x}")]
    common = [file, "--directory", "0x" + "dd" * 20, *named, "--out", out, "--validator-slot", "0"]
    for pins in ([], ["--pin", "38=0x" + "01" * 32]):
        code, refused = run(*common, *pins)
        assert code == ExitCode.USAGE
        assert "block 40" in refused["error"]["message"]
        assert not out.exists()
    assert run(*common, "--pin", "39=0x" + "01" * 32)[0] == 0
    roots = TrustRoots.from_json(out.read_text())
    assert roots.rules == read_genesis(file.read_text()).contract_rules(0)
    assert list(roots.pinned_blocks) == [39]
