"""What a replay found. The same input gives the same report digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from silkledger.audit.digest import RangeDigest
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import Assurance
from silkledger.values import BlockRef


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """One field in which a database says something else than chain and log do."""

    database: str
    table: str
    key: str
    field: str
    replayed: str
    found: str

    def sentence(self) -> str:
        return (
            f"{self.database}: {self.table}[{self.key}].{self.field} is {self.found}, "
            f"but chain and log say {self.replayed}"
        )


@dataclass(frozen=True, slots=True, order=True)
class Total:
    """Control total of one projection table."""

    database: str
    table: str
    rows: int
    """Rows that chain and log say there are, up to the compared block."""
    found: int
    """Rows that the database has."""
    differences: int
    upto_block: int


@dataclass(frozen=True, slots=True, order=True)
class Anchoring:
    """One anchor of the log: so many entries were registered in this block."""

    block: int
    time: int
    """Unix seconds."""
    size: int
    """Of the tree then."""
    entries: int


@dataclass(frozen=True, slots=True, order=True)
class Volume:
    """Control total of one kind of event, as the chain has it."""

    kind: str
    """`<contract>.<event>`"""
    events: int


@dataclass(frozen=True, slots=True)
class Span:
    """What happened in some consecutive blocks."""

    first: int
    last: int
    time: int
    """Of block `first`, Unix seconds."""
    volumes: tuple[Volume, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The whole result."""

    chain_id: int
    genesis_hash: str
    last: BlockRef
    """Last final block: everything up to it was verified."""
    digests: tuple[RangeDigest, ...]
    """State digests, from block 1 on: to be compared with another auditor's."""
    volumes: tuple[Volume, ...]
    spans: tuple[Span, ...]
    entries: int
    anchors: int
    totals: tuple[Total, ...]
    differences: tuple[Difference, ...]
    unavailable: tuple[str, ...]
    assurance: Assurance
    """What vouches for the blocks; UNSPECIFIED: they have seals, and nobody said whose count."""
    assumptions: tuple[str, ...]
    timeline: tuple[Anchoring, ...]
    """The log's anchors, oldest first."""
    trust_roots: TrustRoots
    """Pin the last final block and every block that registered entries: evidence of any age verifies as of
    one of them, or as of a block whose headers lead to one.
    """

    @property
    def events(self) -> int:
        """Events of our contracts."""
        return sum(volume.events for volume in self.volumes)

    @property
    def verdict(self) -> str:
        """CLEAN, DIFFERENT, or INCOMPLETE: no difference, but not everything could be had."""
        return "CLEAN" if self.clean else ("DIFFERENT" if self.differences else "INCOMPLETE")

    @property
    def clean(self) -> bool:
        return not self.differences and not self.unavailable

    def document(self) -> dict[str, Any]:
        """As JSON, with its digest."""
        return {**self._body(), "reportDigest": self.digest}

    def to_json(self) -> str:
        return json.dumps(self.document(), indent=2, ensure_ascii=False) + "\n"

    @property
    def digest(self) -> str:
        """SHA-256 over the report without the digest, as JSON with sorted names and no spaces."""
        text = json.dumps(self._body(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return "0x" + hashlib.sha256(text.encode()).hexdigest()

    def _body(self) -> dict[str, Any]:
        return {
            "format": "silkledger-audit/3",
            "chainId": self.chain_id,
            "genesisHash": self.genesis_hash,
            "lastFinalBlock": {
                "number": self.last.number,
                "hash": str(self.last.hash),
                "time": self.last.time,
            },
            "rangeDigests": [asdict(item) for item in self.digests],
            "events": self.events,
            "volumes": [asdict(volume) for volume in self.volumes],
            "spans": [asdict(span) for span in self.spans],
            "entries": self.entries,
            "anchors": self.anchors,
            "totals": [asdict(total) for total in sorted(self.totals)],
            "differences": [asdict(difference) for difference in sorted(self.differences)],
            "unavailable": sorted(self.unavailable),
            "assurance": self.assurance.name,
            "assumptions": list(self.assumptions),
            "timeline": [asdict(anchoring) for anchoring in self.timeline],
            "verdict": self.verdict,
        }
