"""Form of the bundle and of what is in it, network, document, blocks, state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from silkledger import cbor
from silkledger.evidence.bundle import Bundle, Contract, ContractState, History
from silkledger.registry.histories import HistoryRecord
from silkledger.statement import parse_statement
from silkledger.values import Address, BlockHash, CountryCode, Did, Digest
from tests.unit.evidence.world import CHAIN_ID, CN, World, account
from tests.unit.registry import records
from tests.vectors.evidence.verdict_cases import Case, case

LA = CountryCode("LA")


def cases() -> Iterator[Case]:
    yield from _bundles()
    yield from _networks()
    yield from _blocks()
    yield from _states()


def _bundles() -> Iterator[Case]:
    world = World()
    data = world.evidence().encode()
    fields = cbor.decode(data)
    yield case("good", world)
    yield Case("document-other", data, world.roots(), digest=Digest(bytes(32)))
    malformed: dict[str, bytes] = {
        "bundle-empty": b"",
        "bundle-empty-map": b"\xa0",
        "bundle-no-cbor": b"not a bundle",
        "bundle-trailing-byte": data + b"\0",
        "bundle-truncated": data[:-1],
        "bundle-version-true": cbor.encode(fields | {1: True}),
        "bundle-version-2-without-need": cbor.encode(fields | {1: 2}),
        "bundle-version-3": cbor.encode(fields | {1: 3}),
        "bundle-unknown-key": cbor.encode(fields | {10: 0}),
        "bundle-lacks-states": cbor.encode({key: fields[key] for key in fields if key != 7}),
        "bundle-long-integer": b"\xa7\x01\x18\x01" + data[3:],
        "bundle-indefinite": b"\xbf" + data[1:] + b"\xff",
        "bundle-states-descend": cbor.encode(fields | {7: fields[7][::-1]}),
        "bundle-state-twice": cbor.encode(fields | {7: [*fields[7], fields[7][-1]]}),
        "bundle-one-header": cbor.encode(fields | {5: fields[5][:1]}),
        "bundle-a-map": b"\x80",
    }
    for name, bad in malformed.items():
        yield case(name, world, bad)


def _networks() -> Iterator[Case]:
    world = World()
    bundle = world.evidence()
    network = bundle.network
    yield case("network-chain", world, replace(bundle, network=replace(network, chain_id=1)))
    genesis = replace(network, genesis_hash=BlockHash(bytes(32)))
    yield case("network-genesis", world, replace(bundle, network=genesis))
    directory = replace(network, directory=Address(bytes(20)))
    yield case("network-directory", world, replace(bundle, network=directory))
    yield case("statement-malformed", world, replace(bundle, statement=b"\xd2\x84"))
    trailing = replace(bundle, statement=bundle.statement + b"\0")
    yield case("statement-trailing-byte", world, trailing)
    world = World()
    world.statement = parse_statement(world.sign(world.issuer, Did.of(1, world.issuer.address)))
    yield case("statement-of-another-chain", world)


def _blocks() -> Iterator[Case]:
    world = World()
    bundle = world.evidence()
    for number in (19, 20, 21, 25):
        yield case(f"as-of-{number}", world, as_of=number)
    yield case("registration-is-newest", World(as_of=20))
    for number in (0, 19, 60):
        moved = replace(bundle, anchor=replace(bundle.anchor, block_number=number))
        yield case(f"anchor-block-{number}", world, moved)
    yield Case("nothing-pinned", bundle.encode(), world.roots([]))
    yield Case("pinned-in-the-middle", bundle.encode(), world.roots([22]))
    yield Case("pin-mismatch", bundle.encode(), World(size=6).roots())
    sparse = World(sparse=True)
    yield Case("gap-pinned-above", sparse.evidence().encode(), sparse.roots([24]))
    yield Case("gap-pinned-on-both-sides", sparse.evidence().encode(), sparse.roots([20, 24]))
    other = World(size=6).headers()
    raw = [header.raw for header in world.headers()]
    yield case("header-order", world, replace(bundle, headers=(*raw[:-2], raw[-1], raw[-2])))
    yield case("header-parent", world, replace(bundle, headers=(other[0].raw, other[1].raw, *raw[2:])))
    yield case("header-no-list", world, replace(bundle, headers=(*raw[:-1], b"\x80")))
    yield case("header-trailing-byte", world, replace(bundle, headers=(*raw[:-1], raw[-1] + b"\0")))
    for depth in (16, 17, 18):
        nested = b"\x80"
        for _ in range(depth):
            nested = bytes([0xC0 + len(nested)]) + nested
        yield case(f"header-nested-{depth}", world, replace(bundle, headers=(*raw[:-1], nested)))
    yield case("header-two-fields", world, replace(bundle, headers=(*raw[:-1], b"\xc2\x80\x80")))


def _states() -> Iterator[Case]:
    world = World()
    world.status_record(records.document_status(22, 2, 22), records.document_status(23, 3, 23))
    bundle = world.evidence()
    changes: dict[str, Callable[[tuple[HistoryRecord, ...]], tuple[HistoryRecord, ...]]] = {
        "record-left-out": lambda items: items[:-1],
        "record-twice": lambda items: (*items, items[-1]),
        "record-redated": lambda items: (items[0], replace(items[1], block_number=24)),
        "records-swapped": lambda items: items[::-1],
    }
    for name, change in changes.items():

        def edit(state: ContractState, how: object = change) -> ContractState:
            assert callable(how)
            return _histories(state, lambda h: replace(h, records=how(h.records)))

        yield case(name, world, _with(bundle, Contract.DOCUMENT_STATUS, edit))
    yield case("state-left-out", world, replace(bundle, states=bundle.states[:-1]))
    short = _with(bundle, Contract.LOG_ANCHOR, lambda s: replace(s, account_proof=s.account_proof[:-1]))
    yield case("account-proof-short", world, short)
    long = _with(bundle, Contract.LOG_ANCHOR, lambda s: replace(s, account_proof=(*s.account_proof, b"\xc0")))
    yield case("account-proof-long", world, long)
    slots = _with(
        bundle,
        Contract.TRUST_REGISTRY,
        lambda s: _histories(s, lambda h: replace(h, slot_proof=h.slot_proof[::-1])),
    )
    yield case("slot-proof-reversed", world, slots)
    none = _with(
        bundle, Contract.TRUST_REGISTRY, lambda s: _histories(s, lambda h: replace(h, slot_proof=()))
    )
    yield case("slot-proof-missing", world, none)
    roots = world.roots()
    elsewhere = {**roots.contracts, "DocumentStatus": Address(b"\x99" * 20)}
    yield Case("contract-elsewhere", bundle.encode(), replace(roots, contracts=elsewhere))
    absent = replace(roots, contracts={**roots.contracts, "LogAnchor": account(90).address})
    yield Case("log-anchor-elsewhere", bundle.encode(), absent)
    silent = world.roots(relying=None)
    yield Case("relying-country-missing", bundle.encode(), silent)
    yield Case("relying-country-given", bundle.encode(), silent, country=CN)
    yield Case("relying-country-not-in-bundle", bundle.encode(), silent, country=LA)
    assert roots.chain_id == CHAIN_ID


def _with(bundle: Bundle, contract: Contract, change: Callable[[ContractState], ContractState]) -> Bundle:
    states = tuple(change(state) if state.contract is contract else state for state in bundle.states)
    return replace(bundle, states=states)


def _histories(state: ContractState, change: Callable[[History], History]) -> ContractState:
    return replace(state, histories=tuple(change(history) for history in state.histories))
