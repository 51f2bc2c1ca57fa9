"""Documents through manifests of 10,000, findable by digest, beside a bare insert of as many rows.

The other way is what a table without proofs, signatures or search would cost: the rows of a manifest's
documents, one each, prepared beforehand, put into an unindexed table by the database's own fastest statement
of many rows (`executemany` on SQLite, `unnest` on PostgreSQL), 10,000 a commit, as durable. A row holds what
is kept of a document: which manifest, its place in it, the leaf's salt, digest, type and salted subject.
"""

from __future__ import annotations

import secrets
import time
import uuid
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Final

from bench import rig
from bench.bare_insert import BareTable, Row, bare_table
from bench.issuer import BILL, Issuer, issuer
from bench.load import Caller, callers, drained, drive, send_all
from bench.measure import Measurement, beside_in_rounds
from bench.signing import Requests, on_all_cores, spool
from silkledger.keys import Suite
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.manifest import MAX_DOCUMENTS, ManifestLeaf, sign_manifest
from silkledger.values import Digest

WARM_UP: Final = 2
MANIFESTS: Final = 16
"""Manifests of one round."""
ROUNDS: Final = 3
IN_FLIGHT: Final = 3
"""Manifests under way at once."""
LOOKED_UP: Final = 50
"""Documents that are looked up by digest after each round."""


def manifest_request(by: Issuer) -> bytes:
    """A serialised RegisterManifest request of 10,000 documents; digests and salted subjects are by lot."""
    salts, hashes = secrets.token_bytes(16 * MAX_DOCUMENTS), secrets.token_bytes(64 * MAX_DOCUMENTS)
    leaves = [
        ManifestLeaf(
            salt=salts[16 * place : 16 * place + 16],
            digest=Digest(hashes[64 * place : 64 * place + 32]),
            document_type=BILL,
            salted_subject=hashes[64 * place + 32 : 64 * place + 64],
        )
        for place in range(MAX_DOCUMENTS)
    ]
    manifest = sign_manifest(
        by.key(Suite.ES256K),
        issuer=by.did,
        kid=by.kid(Suite.ES256K),
        subject=f"urn:sample:manifest:{secrets.token_hex(8)}",
        document_type=BILL,
        leaves=leaves,
        issued_at=int(time.time()),
        salt=secrets.token_bytes(16),
    )
    request = pb.RegisterManifestRequest(
        request_id=str(uuid.uuid4()), manifest=manifest, leaves=b"".join(leaf.encode() for leaf in leaves)
    )
    return request.SerializeToString()


@cache
def _made() -> Requests:
    return Requests()


def manifests(count: int) -> Requests:
    """That many requests of this process's issuer; the same ones each time, as `signed_calls`."""
    made = _made()
    if len(made) < count:
        folder = Path(spool().name) / f"manifests-{len(made)}"
        made.extend(on_all_cores(partial(manifest_request, issuer()), count - len(made), folder))
    return made[:count]


def leaves_of(request: bytes) -> list[ManifestLeaf]:
    """Every leaf that the request carries. Leaves of one type have one length."""
    data = pb.RegisterManifestRequest.FromString(request).leaves
    size = len(data) // MAX_DOCUMENTS
    return [ManifestLeaf.decode(data[start : start + size]) for start in range(0, len(data), size)]


def rows_of(request: bytes, manifest: int) -> list[Row]:
    """What a naive table would hold of the manifest's documents."""
    return [
        (manifest, place, leaf.salt, bytes(leaf.digest), str(leaf.document_type), leaf.salted_subject)
        for place, leaf in enumerate(leaves_of(request))
    ]


async def look_up(caller: Caller, request: bytes, places: list[int]) -> None:
    """Each of these documents is found by its digest, as the very leaf that was sent.

    Raises:
        AssertionError: one is not.
    """
    leaves = leaves_of(request)
    for place in places:
        wanted = pb.ListStatementsRequest(document_digest=bytes(leaves[place].digest))
        raw = await caller.call("ListStatements", wanted.SerializeToString())
        found = [
            (statement.document_index, statement.document_leaf)
            for statement in pb.ListStatementsResponse.FromString(raw).statements
        ]
        if found != [(place, leaves[place].encode())]:
            raise AssertionError(f"document {place} of a manifest is not found by its digest: {found}")


@dataclass(slots=True)
class Loading:
    """Rounds of manifests on one service, and of bare inserts beside them."""

    connections: list[Caller]
    table: BareTable
    sent: int = 0

    async def send(self, requests: Requests) -> float:
        """Documents a second, until the last manifest is logged."""
        self.sent += len(requests)
        start = time.perf_counter()
        await send_all(self.connections, requests, method="RegisterManifest", in_flight=IN_FLIGHT)
        await drained(self.connections[0], self.sent)
        return len(requests) * MAX_DOCUMENTS / (time.perf_counter() - start)

    async def insert(self, requests: Requests) -> float:
        """Rows a second."""
        prepared = [rows_of(request, number) for number, request in enumerate(requests)]
        return await self.table.insert(prepared)


async def _measure(running: rig.Service) -> list[tuple[float, float]]:
    requests, random = manifests(WARM_UP + ROUNDS * MANIFESTS), Random(0)
    pairs = []
    async with callers(running) as connections, bare_table(running.database_url) as table:
        loading = Loading(connections, table)
        await loading.send(requests[:WARM_UP])
        await loading.insert(requests[:WARM_UP])
        for first in range(WARM_UP, len(requests), MANIFESTS):
            this = requests[first : first + MANIFESTS]
            pairs.append((await loading.send(this), await loading.insert(this)))
            for number in random.sample(range(MANIFESTS), 5):
                places = random.sample(range(MAX_DOCUMENTS), LOOKED_UP // 5)
                await look_up(connections[0], this[number], places)
    return pairs


def register_manifest(dialect: str) -> list[Measurement]:
    """From the first call to the last manifest logged; documents drawn by lot are then found by digest."""
    with rig.service(dialect) as running:
        pairs = drive(_measure(running))
    bare = {"sqlite": "bare executemany, rows/s", "postgres": "bare unnest insert, rows/s"}[dialect]
    return [beside_in_rounds(f"register_manifest.{dialect}", "documents/s", bare, pairs, at_least=0.35)]
