"""One kind of event by its declaration, and reading a log's arguments by it.

A declaration is Solidity's, e.g. `Anchored(bytes32 indexed originId, uint64 size)`. The first topic commits
to name and types only; which arguments are indexed and what they are called is the declarer's word. So the
declaration comes from the verifier, never from a proof. Source: Solidity ABI specification, "Events".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError, ParseError

from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.keccak import keccak256
from silkledger.evidence.reasons import Reason
from silkledger.evidence.receipts import EventLog

_NAME: Final = r"[A-Za-z_$][A-Za-z0-9_$]*"
_DECLARATION: Final = re.compile(rf"(?:event\s+)?({_NAME})\s*\((.*)\)\s*;?", re.DOTALL)
_PARAMETER: Final = re.compile(rf"([a-z0-9\[\]]+)(\s+indexed)?(?:\s+({_NAME}))?")
_MAX_INDEXED: Final = 3
_HASHED: Final = re.compile(r"string|bytes|.*\]")
"""Types of which a topic holds only the keccak."""


class DeclarationError(ValueError):
    """The text declares no event that can be read here: structs, for instance, cannot."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of an event."""

    name: str
    type: str
    """Canonical, e.g. `uint256`, never `uint`."""
    indexed: bool


@dataclass(frozen=True, slots=True)
class EventDeclaration:
    """One kind of event."""

    name: str
    parameters: tuple[Parameter, ...]

    @property
    def signature(self) -> str:
        return f"{self.name}({','.join(parameter.type for parameter in self.parameters)})"

    @property
    def topic(self) -> bytes:
        """First topic of every such event (anonymous events have none and cannot be asked for)."""
        return keccak256(self.signature.encode())

    @classmethod
    def parse(cls, text: str) -> EventDeclaration:
        """Read a declaration. Raises: DeclarationError."""
        found = _DECLARATION.fullmatch(text.strip())
        if found is None:
            raise DeclarationError(f"{text[:60]!r} is no event declaration")
        listed = [part.strip() for part in found[2].split(",")] if found[2].strip() else []
        declaration = cls(found[1], tuple(_parameter(part, index) for index, part in enumerate(listed)))
        names = [parameter.name for parameter in declaration.parameters]
        if len(set(names)) != len(names):
            raise DeclarationError("a name stands twice")
        if sum(parameter.indexed for parameter in declaration.parameters) > _MAX_INDEXED:
            raise DeclarationError("an event has at most three indexed arguments")
        return declaration

    def decode(self, log: EventLog) -> Mapping[str, object]:
        """The arguments of `log` by name: int, bool, str, bytes, lowercase addresses, tuples of them. Of an
        indexed argument of dynamic type it is the keccak, which is all that was recorded.

        Raises:
            EvidenceInvalid: EVENT_DECLARATION if the log is not exactly an encoding of these arguments.
        """
        indexed = [parameter.type for parameter in self.parameters if parameter.indexed]
        plain = [parameter.type for parameter in self.parameters if not parameter.indexed]
        if len(log.topics) != len(indexed) + 1 or log.topics[0] != self.topic:
            raise EvidenceInvalid(Reason.EVENT_DECLARATION, f"a log has other topics than {self.signature}")
        topics = iter([_topic(kind, word) for kind, word in zip(indexed, log.topics[1:], strict=True)])
        values = iter(_exactly(plain, log.data))
        return {p.name: next(topics) if p.indexed else next(values) for p in self.parameters}


def _parameter(text: str, index: int) -> Parameter:
    found = _PARAMETER.fullmatch(text)
    if found is None:
        raise DeclarationError(f"{text[:60]!r} is no argument with an elementary type")
    kind = re.sub(r"^(u?int)(?=\[|$)", r"\g<1>256", found[1])
    try:
        encode([f"{kind}[]"], [[]])
    except (ParseError, EncodingError, ValueError) as error:
        raise DeclarationError(f"{found[1]!r} is no type") from error
    return Parameter(found[3] or f"arg{index}", kind, found[2] is not None)


def _topic(kind: str, word: bytes) -> object:
    return word if _HASHED.fullmatch(kind) else _exactly([kind], word)[0]


def _exactly(types: list[str], data: bytes) -> tuple[object, ...]:
    """The values of which `data` is the one encoding."""
    try:
        values: tuple[object, ...] = decode(types, data)
        again = encode(types, values)
    except (DecodingError, EncodingError, UnicodeDecodeError) as error:
        detail = f"a log does not hold ({', '.join(types)})"
        raise EvidenceInvalid(Reason.EVENT_DECLARATION, detail) from error
    if again != data:
        raise EvidenceInvalid(Reason.EVENT_DECLARATION, "the arguments of a log have another encoding")
    return values
