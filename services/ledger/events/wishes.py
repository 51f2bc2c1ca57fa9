"""From the filter that a consumer writes to the one that is applied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.ledger.errors import FieldRefused
from services.ledger.events.filters import Filter
from silkledger.values import Did, ValueShapeError


def filter_of(
    chain_id: int,
    *,
    names: Iterable[str] = (),
    contracts: Iterable[str] = (),
    organisations: Sequence[str] = (),
    arguments: Iterable[tuple[str, Iterable[str]]] = (),
) -> Filter:
    """As the fields of SubscribeStart tell it. 0x-hex may come in either case.

    Raises:
        FieldRefused: an organisation is no DID of this chain.
    """
    return Filter(
        frozenset(names),
        frozenset(contracts),
        frozenset(_account(chain_id, index, did) for index, did in enumerate(organisations)),
        frozenset((name, frozenset(map(_normal, values))) for name, values in arguments),
    )


def _account(chain_id: int, index: int, text: str) -> bytes:
    try:
        did = Did(text)
    except ValueShapeError as error:
        raise FieldRefused("FILTER_UNKNOWN", f"organisations[{index}]", str(error)) from None
    if did.chain_id != chain_id:
        raise FieldRefused("FILTER_UNKNOWN", f"organisations[{index}]", f"not a DID of chain {chain_id}")
    return bytes(did.address)


def _normal(value: str) -> str:
    return value.lower() if value[:2].lower() == "0x" else value
