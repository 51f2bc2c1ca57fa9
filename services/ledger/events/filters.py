"""Which events a consumer wants. Pure; equal filters are equal values, so streams can share the work."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol


class Described(Protocol):
    """What a filter looks at in an event."""

    @property
    def contract(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def arguments(self) -> Mapping[str, str]:
        """Scalar arguments as text: bytes as 0x-hex in lower case, integers in decimal."""
        ...

    @property
    def accounts(self) -> Collection[bytes]:
        """Every address among the arguments."""
        ...


@dataclass(frozen=True, slots=True)
class Filter:
    """An event passes if it passes each part that is not empty."""

    names: frozenset[str] = frozenset()
    contracts: frozenset[str] = frozenset()
    accounts: frozenset[bytes] = frozenset()
    arguments: frozenset[tuple[str, frozenset[str]]] = frozenset()

    def passes(self, event: Described) -> bool:
        return (
            (not self.names or event.name in self.names)
            and (not self.contracts or event.contract in self.contracts)
            and (not self.accounts or not self.accounts.isdisjoint(event.accounts))
            and all(event.arguments.get(name) in values for name, values in self.arguments)
        )


EVERYTHING: Final = Filter()


@dataclass(frozen=True, slots=True)
class EventShape:
    """One event that a contract of the network may emit."""

    contract: str
    name: str
    arguments: frozenset[str]


@dataclass(frozen=True, slots=True)
class UnknownName:
    """A part of a filter that no event can pass. `field` is its path in SubscribeStart."""

    field: str
    description: str


def unknown_names(wanted: Filter, shapes: Collection[EventShape]) -> list[UnknownName]:
    """Names in the filter that would make it pass nothing for ever: a consumer would wait in vain."""
    found = [
        UnknownName("contracts", f"the network has no contract {name!r}")
        for name in sorted(wanted.contracts - {shape.contract for shape in shapes})
    ]
    if found:
        return found
    left = [shape for shape in shapes if not wanted.contracts or shape.contract in wanted.contracts]
    found = [
        UnknownName("event_names", f"none of the contracts has an event {name!r}")
        for name in sorted(wanted.names - {shape.name for shape in left})
    ]
    if found:
        return found
    left = [shape for shape in left if not wanted.names or shape.name in wanted.names]
    names = {name for name, _ in wanted.arguments}
    if any(names <= shape.arguments for shape in left):
        return []
    return [UnknownName("arguments", f"no event that passes has the arguments {', '.join(sorted(names))}")]
