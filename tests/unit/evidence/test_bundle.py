from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from silkledger import cbor
from silkledger.evidence.bundle import MAX_BUNDLE_BYTES, decode_bundle
from silkledger.evidence.reasons import Reason
from tests.unit.evidence.full_bundle import full_bundle
from tests.unit.evidence.refusals import refused
from tests.unit.evidence.world import World

DATA = World().evidence().encode()


def edited(path: list[Any], value: Any) -> bytes:
    """The bundle with one place changed; a value of `...` removes it."""
    whole = cbor.decode(DATA)
    at = whole
    for step in path[:-1]:
        at = at[step]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return cbor.encode(whole)


def test_there_is_one_encoding() -> None:
    assert decode_bundle(DATA).encode() == DATA
    assert World().evidence().encode() == DATA


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ([10], b"an unknown key"),
        ([3, 5], b"an unknown key inside"),
        ([8], b"a document that is no map"),
        ([9], "a promise that is text"),
        ([3, 4], b"cosigners that are no list"),
        ([2], "text instead of bytes"),
        ([3], [b"", b""]),
        ([3, 3], [bytes(31)]),
        ([4, 1], -1),
        ([4, 1], True),
        ([4, 1], 2**64 - 1 + 1),
        ([5], [b"only one header"]),
        ([6, 2], bytes(31)),
        ([6, 3], bytes(32)),
        ([7, 0, 1], 9),
        ([7, 0, 3], []),
        ([7, 0, 3, 0, 1], bytes(20)),
        ([7, 0, 3, 0, 2, 0], [1]),
        ([7, 0, 2], []),
        ([6], ...),
        ([3, 1], ...),
    ],
)
def test_every_other_shape_is_refused(path: list[Any], value: Any) -> None:
    with pytest.raises(ValueError) as caught:
        decode_bundle(edited(path, value))
    assert getattr(caught.value, "reason", None) in (Reason.BUNDLE_MALFORMED, "CBOR_KIND_REFUSED")


def test_order_and_repetition_are_refused() -> None:
    states = cbor.decode(DATA)[7]
    trust = next(index for index, state in enumerate(states) if len(state[3]) > 1)
    for value in (states[::-1], [*states, states[-1]]):
        with refused(Reason.BUNDLE_MALFORMED):
            decode_bundle(edited([7], value))
    with refused(Reason.BUNDLE_MALFORMED):
        decode_bundle(edited([7, trust, 3], states[trust][3][::-1]))


def test_the_version_is_the_lowest_that_has_a_place_for_everything() -> None:
    full, _ = full_bundle()
    empty = replace(full, document=None, promise=None, log=replace(full.log, cosigners=()))
    for bundle, version in (
        (full, 2),
        (replace(empty, document=full.document), 2),
        (replace(empty, promise=full.promise), 2),
        (replace(empty, log=full.log), 2),
        (empty, 1),
    ):
        fields = cbor.decode(bundle.encode())
        assert fields[1] == bundle.version == version
        assert decode_bundle(bundle.encode()) == bundle
        with refused(Reason.BUNDLE_MALFORMED):
            decode_bundle(cbor.encode(fields | {1: 3 - version}))


def test_another_version_and_too_large_are_named() -> None:
    with refused(Reason.BUNDLE_VERSION):
        decode_bundle(edited([1], 3))
    with refused(Reason.BUNDLE_TOO_LARGE):
        decode_bundle(bytes(MAX_BUNDLE_BYTES + 1))
