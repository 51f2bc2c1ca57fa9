"""Blocks with QBFT commit seals: replay, skip, votes, and every way in which seals fall short."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from silkledger.evidence.header import EngineKind, Header
from silkledger.evidence.lineage import ValidatorRules
from tests.unit.evidence.qbft_chain import Draft, Validator, addresses, validators
from tests.unit.evidence.world import START, World
from tests.vectors.evidence.verdict_cases import Case

FOUR = validators(4)
STRANGER = Validator(99)
FIFTH = Validator(50)
FIVE = sorted([*FOUR, FIFTH], key=lambda validator: bytes(validator.address))
ADD, DROP = [bytes(FIFTH.address), b"\xff"], [bytes(FIFTH.address), b""]

Change = Callable[[Draft], Header]


@dataclass
class SealedWorld(World):
    """A chain of sealed blocks 10 to 13, registration in 12; `special` blocks are made by another recipe."""

    engine: EngineKind = EngineKind.QBFT
    registration: int = 12
    as_of: int = 13
    first_header: int | None = 10
    special: dict[int, Change] | None = None

    def header(self, number: int, parent: bytes, state_root: bytes, receipts: bytes) -> Header:
        draft = Draft(
            number=number,
            members=self.members,
            parent=parent,
            timestamp=START,
            state_root=state_root,
            receipts_root=receipts,
        )
        change = (self.special or {}).get(number)
        return draft.sealed() if change is None else change(draft)


def cases() -> Iterator[Case]:
    yield from _modes()
    yield from _seals()
    yield from _raw_headers()
    yield from _votes()


def _case(name: str, world: World, pinned: list[int] | None = None) -> Case:
    return Case(f"sealed-{name}", world.evidence().encode(), world.roots([10] if pinned is None else pinned))


def _modes() -> Iterator[Case]:
    world = SealedWorld()
    yield _case("replay", world)
    yield _case("skip", world, [11])
    yield _case("pinned-last", world, [13])
    yield _case("nothing-pinned", world, [])
    sparse = SealedWorld(sparse=True, as_of=15)
    yield _case("sparse-skip", sparse)
    yield _case("sparse-pinned-above-the-gap", sparse, [15])
    genesis = SealedWorld(first_header=0, sparse=True)
    roots = replace(genesis.roots([]), genesis_hash=genesis.headers()[0].hash)
    bundle = genesis.evidence()
    bundle = replace(bundle, network=replace(bundle.network, genesis_hash=roots.genesis_hash))
    yield Case("sealed-from-genesis", bundle.encode(), roots)
    seven = sorted([*FOUR, *validators(3, first=200)], key=lambda validator: bytes(validator.address))
    for name, members in (("grown", seven), ("replaced", validators(4, first=300))):
        changed = SealedWorld(special={13: lambda d, m=members: _by(d, m)})  # type: ignore[misc]
        yield _case(f"skip-set-{name}", changed, [11])


def _by(draft: Draft, members: list[Validator]) -> Header:
    return replace(draft, members=members).sealed()


def _twin(seal: bytes) -> bytes:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    s = order - int.from_bytes(seal[32:64], "big")
    return seal[:32] + s.to_bytes(32, "big") + bytes([seal[64] ^ 1])


def _seals() -> Iterator[Case]:
    def seals(draft: Draft, *sealers: Validator) -> list[bytes]:
        return [validator.seal(draft.digest()) for validator in sealers]

    changes: dict[str, Change] = {
        "three-of-four": lambda d: d.sealed(FOUR[:3]),
        "two-of-four": lambda d: d.sealed(FOUR[:2]),
        "none": lambda d: d.with_seals([]),
        "twice": lambda d: d.sealed([FOUR[0], FOUR[1], FOUR[1]]),
        "twin": lambda d: d.with_seals([*(s := seals(d, *FOUR[:2])), _twin(s[1])]),
        "twins-only": lambda d: d.with_seals([_twin(seal) for seal in seals(d, *FOUR[:3])]),
        "stranger": lambda d: d.sealed([*FOUR[:3], STRANGER]),
        "other-round": lambda d: replace(d, round=2).with_seals(
            [*seals(replace(d, round=2), *FOUR[:2]), FOUR[2].seal(d.digest(round_=1))]
        ),
        "round-300": lambda d: replace(d, round=300).sealed(),
        "recovery-id-2": lambda d: d.with_seals([seals(d, FOUR[0])[0][:64] + b"\x02"]),
        "zeros": lambda d: d.with_seals([bytes(65)]),
        "out-of-range": lambda d: d.with_seals([b"\xff" * 64 + b"\0"]),
        "other-set": lambda d: _by(d, validators(5)),
        "proposer": lambda d: replace(d, proposer=STRANGER.address).sealed(),
        "difficulty": lambda d: replace(d, difficulty=2).sealed(),
        "mix-hash": lambda d: replace(d, mix_hash=bytes(32)).sealed(),
        "no-base-fee": lambda d: replace(d, base_fee=None).sealed(),
    }
    for name, change in changes.items():
        yield _case(f"seals-{name}", SealedWorld(special={13: change}))
    first = SealedWorld(special={10: lambda d: d.with_seals([])})
    yield _case("seals-none-on-the-pinned-block", first)


def _raw_headers() -> Iterator[Case]:
    """extraData that a header cannot be decoded with: put in after the world was made."""

    def bad(**changes: object) -> bytes:
        draft = replace(Draft(number=13, members=FOUR), **changes)  # type: ignore[arg-type]
        return draft.raw(draft.extra(draft.round, []))

    draft = Draft(number=13, members=FOUR)
    variants = {
        "six-items": bad(extra_items=[b""]),
        "vanity": bad(vanity=bytes(31)),
        "unsorted": bad(listed=[bytes(v.address) for v in FOUR[::-1]]),
        "validator-short": bad(listed=[bytes(19)]),
        "vote-half": bad(vote=[bytes(20)]),
        "vote-other": bad(vote=[bytes(20), b"\x01"]),
        "round-five-bytes": draft.raw(draft.extra(2**32, [])),
        "seal-of-64": draft.raw(draft.extra(0, [bytes(64)])),
        "extra-empty": draft.raw(b""),
        "extra-trailing": draft.raw(draft.extra(0, []) + b"\0"),
    }
    world = SealedWorld()
    bundle, roots = world.evidence(), world.roots([10])
    for name, raw in variants.items():
        changed = replace(bundle, headers=(*bundle.headers[:-1], raw))
        yield Case(f"sealed-extra-{name}", changed.encode(), roots)


def _votes() -> Iterator[Case]:
    def vote(proposer: Validator, ballot: list[bytes], members: list[Validator] = FOUR) -> Change:
        return lambda d: replace(d, proposer=proposer.address, vote=ballot, members=members).sealed()

    def of(members: list[Validator]) -> Change:
        return lambda d: _by(d, members)

    added = {number: vote(FOUR[number - 11], ADD) for number in (11, 12, 13)}
    plain = {number: of(FIVE) for number in range(14, 18)}
    dropped = {14 + i: vote(FIVE[i], DROP, FIVE) for i in range(3)} | {17: of(FOUR)}
    runs: dict[str, dict[int, Change]] = {
        "added": added | plain,
        "added-not-named": added,
        "half-is-no-majority": {11: added[11], 12: added[12], 14: of(FIVE)},
        "repeated-counts-once": {11: added[11], 12: vote(FOUR[0], ADD), 13: added[13], **plain},
        "taken-back": {11: added[11], 12: added[12], 13: vote(FOUR[0], DROP), 14: vote(FOUR[2], ADD)},
        "added-and-dropped": added | dropped,
    }
    for name, special in runs.items():
        yield _case(f"vote-{name}", SealedWorld(as_of=17, special=special))
    across = SealedWorld(as_of=22, registration=12)
    for name, blocks in (("before-epoch", (17, 18, 19)), ("across-epoch", (18, 19, 21))):
        votes = {number: vote(FOUR[i], ADD) for i, number in enumerate(blocks)}
        after = {n: of(FIVE) for n in range(blocks[-1] + 1, 23)}
        yield _case(f"vote-{name}", replace(across, special=votes | after))
    transition = SealedWorld(as_of=14, special={13: of(FIVE), 14: of(FIVE)})
    rules = ValidatorRules(epoch_length=10, transitions={13: addresses(FIVE)})
    roots = transition.roots([10])
    yield Case("sealed-transition", transition.evidence().encode(), replace(roots, rules=rules))
    yield Case("sealed-transition-unknown", transition.evidence().encode(), roots)
