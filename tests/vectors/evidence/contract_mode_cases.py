"""Completeness proofs under seals of QBFT contract mode, for tests/vectors/evidence/completeness.json."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from silkledger.evidence.lineage import ValidatorRules
from silkledger.values import Address
from tests.support.qbft_chain import validators
from tests.unit.evidence.contract_world import FOUR, RULES, ContractWorld
from tests.unit.evidence.test_contract_lineage import FAULTS, GROWN, REPLACED, one_skip
from tests.vectors.evidence.completeness_cases import Case


def cases() -> Iterator[Case]:
    good = {
        "steady": ContractWorld(),
        "grown": ContractWorld(sets=GROWN),
        "replaced": ContractWorld(sets=REPLACED),
        "round-2": ContractWorld(special={13: lambda draft: replace(draft, round=2).sealed()}),
        "skip": one_skip(),
        "skip-grown": one_skip(sets=GROWN),
        "skip-replaced": one_skip(sets=REPLACED),
        "seven": ContractWorld(members=validators(7), sets={0: validators(7)}),
    }
    for name, world in good.items():
        yield _case(name, world)
    for name, (make, _) in FAULTS.items():
        yield _case(name.replace(" ", "-").replace(",", ""), make())
    world = ContractWorld(proven=frozenset(range(10, 18)))
    yield _case("pinned-later", world, pinned=12)
    yield _case("pinned-unproven", ContractWorld(proven=frozenset(range(11, 17))))
    for name, rules in (
        ("other-address", replace(RULES, address=Address(b"\x01" * 20))),
        ("other-slot", replace(RULES, slot=4)),
        ("other-code", replace(RULES, code_hash=bytes(32))),
        ("header-mode", ValidatorRules(10)),
    ):
        case = _case(name, ContractWorld())
        yield replace(case, roots=replace(case.roots, rules=rules))
    bare = replace(world.proof(), headers=tuple(header.raw for header in world.headers[:-1]))
    yield replace(_case("no-proofs", ContractWorld(sets={0: FOUR})), proof=bare.encode())


def _case(name: str, world: ContractWorld, pinned: int | None = None) -> Case:
    roots = world.roots() if pinned is None else world.roots(pinned)
    return Case(f"contract-{name}", world.proof().encode(), roots, world.question)
