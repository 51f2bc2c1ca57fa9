"""Registering through gRPC and mTLS: how many statements a second, beside bare signature verification."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Final

import coincurve

from bench import rig
from bench.measure import Measurement
from silkledger.keys import PrivateKey
from silkledger.keys.account import Account
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.statement import parse_statement, sign_statement
from silkledger.values import Did, Digest

A_CALL: Final = 500
"""Statements of one call."""
CALLS: Final = 24
"""Calls of one round."""
WARM_UP: Final = 8
"""Calls before the first round, not counted."""
ROUNDS: Final = 3
IN_FLIGHT: Final = 6
"""Calls under way at once."""
BLOCK_TIME_S: Final = 1.0


def sign_calls(key_file: Path, issuer: Did, calls: int) -> list[bytes]:
    """That many serialised RegisterStatements requests about documents of their own."""
    key = Account.load(key_file).key
    return [_request(key, issuer) for _ in range(calls)]


def _request(key: PrivateKey, issuer: Did) -> bytes:
    statements = [
        sign_statement(
            key,
            issuer=issuer,
            kid=f"{issuer}#controller",
            subject=f"urn:sample:bl:{secrets.token_hex(4)}",
            document_type=rig.BILL,
            digest=Digest(hashlib.sha256(secrets.token_bytes(16)).digest()),
            content_type="application/json",
            issued_at=int(time.time()),
            salt=secrets.token_bytes(16),
        )
        for _ in range(A_CALL)
    ]
    return pb.RegisterStatementsRequest(
        request_id=str(uuid.uuid4()), statements=statements
    ).SerializeToString()


def prepare(key_file: Path, issuer: Did, calls: int) -> list[bytes]:
    """`sign_calls` on all cores."""
    workers = os.cpu_count() or 1
    share = -(-calls // workers)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        parts = [pool.submit(sign_calls, key_file, issuer, share) for _ in range(workers)]
        return [request for part in parts for request in part.result()][:calls]


@dataclass(frozen=True)
class Verifications:
    """Prepared inputs of bare secp256k1 verifications."""

    key: coincurve.PublicKey
    items: list[tuple[bytes, bytes]]

    @classmethod
    def of(cls, request: bytes) -> Verifications:
        parsed = [parse_statement(raw) for raw in pb.RegisterStatementsRequest.FromString(request).statements]
        items = [
            (
                coincurve.ecdsa.cdata_to_der(coincurve.ecdsa.deserialize_compact(one.signature)),
                hashlib.sha256(one.sig_structure).digest(),
            )
            for one in parsed
        ]
        return cls(coincurve.PublicKey(parsed[0].controller_key or b""), items)

    def rate(self, seconds: float = 1.0) -> tuple[float, float]:
        """Verifications a second of one thread with no load of ours: by wall time, by CPU time."""
        done, start, cpu = 0, time.perf_counter(), time.thread_time()
        while (spent := time.perf_counter() - start) < seconds:
            if not all(self.key.verify(signature, digest, hasher=None) for signature, digest in self.items):
                raise AssertionError("a prepared signature does not verify")
            done += len(self.items)
        return done / spent, done / (time.thread_time() - cpu)


async def send_all(callers: Sequence[rig.Caller], requests: Sequence[bytes]) -> float:
    """Seconds until every call has its OK, with IN_FLIGHT calls under way."""
    waiting = list(reversed(requests))

    async def lane(number: int) -> None:
        while waiting:
            await callers[number % len(callers)].call("RegisterStatements", waiting.pop())

    start = time.perf_counter()
    await asyncio.gather(*(lane(number) for number in range(IN_FLIGHT)))
    return time.perf_counter() - start


async def drained(caller: rig.Caller, size: int) -> None:
    """Wait until the log has this many leaves."""
    deadline = time.monotonic() + 60
    while True:
        raw = await caller.call("GetCheckpoint", b"")
        note = pb.GetCheckpointResponse.FromString(raw).checkpoint
        if int(note.split("\n")[1]) >= size:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"the log does not reach {size} leaves: {note}")
        await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Round:
    """Statements and bare verifications a second: by wall time, and by CPU time of the service."""

    statements: float
    verifications: float
    statements_cpu: float
    verifications_cpu: float


async def _rounds(running: rig.Service, requests: list[bytes]) -> list[Round]:
    rounds = []
    bare = Verifications.of(requests[0])
    async with rig.callers(running, 2) as callers:
        await send_all(callers, requests[:WARM_UP])
        await drained(callers[0], WARM_UP * A_CALL)
        for number in range(ROUNDS):
            before = bare.rate()
            first = WARM_UP + number * CALLS
            start, cpu = time.perf_counter(), running.cpu_s()
            await send_all(callers, requests[first : first + CALLS])
            await drained(callers[0], (first + CALLS) * A_CALL)
            spent, cpu, done = time.perf_counter() - start, running.cpu_s() - cpu, CALLS * A_CALL
            after = bare.rate()
            rounds.append(
                Round(done / spent, (before[0] + after[0]) / 2, done / cpu, (before[1] + after[1]) / 2)
            )
    return rounds


def register_statements(dialect: str) -> list[Measurement]:
    """From the first call to the last leaf, with sequencer, anchoring and follower running.

    Beside the ratio with the goal: the same by CPU time of the service's processes, and their memory.
    """
    with rig.service(dialect, BLOCK_TIME_S) as running:
        requests = prepare(running.agency_file, running.world.did, WARM_UP + ROUNDS * CALLS)
        rounds = asyncio.run(_rounds(running, requests))
        memory = running.peak_memory_mib()
    name = f"register_statements.{dialect}"
    ratio = median(one.statements / one.verifications for one in rounds)
    return [
        Measurement(
            name=name,
            value=median(one.statements for one in rounds),
            unit="statements/s",
            baseline="bare secp256k1 verify, one thread",
            baseline_value=median(one.verifications for one in rounds),
            ratio=ratio,
            goal="≥ 0.5",
            holds=ratio >= 0.5,
        ),
        Measurement(
            name=f"{name}.cpu",
            value=median(one.statements_cpu for one in rounds),
            unit="statements per CPU second",
            baseline="bare secp256k1 verify",
            baseline_value=median(one.verifications_cpu for one in rounds),
            ratio=median(one.statements_cpu / one.verifications_cpu for one in rounds),
            goal="",
            holds=None,
        ),
        Measurement(
            name=f"{name}.memory",
            value=memory * 1024,
            unit="KiB at most, all processes",
            baseline="statements registered",
            baseline_value=len(requests) * A_CALL,
            ratio=memory * 1024 / (len(requests) * A_CALL),
            goal="",
            holds=None,
        ),
    ]
