"""Registering through gRPC and mTLS: how many statements a second, beside bare signature verification."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import coincurve

from bench import rig
from bench.load import Caller, callers, drained, drive, send_all
from bench.measure import Measurement, beside, beside_in_rounds
from bench.signing import A_CALL, Requests, signed_calls
from silkledger.keys import Suite, VerifyingKey
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.statement import parse_statement

CALLS: Final = 72
"""Calls of one round: some seconds, so that the wait for the last batch at its end weighs little."""
WARM_UP: Final = 8
"""Calls before the first round, not counted."""
ROUNDS: Final = 3
OTHER_SUITES: Final = (Suite.ES256, Suite.EDDSA, Suite.SM2)
OTHER_CALLS: Final = 4
"""Calls of one round of the other suites, of which there are two."""
OTHER_ROUNDS: Final = 2


def bare_secp256k1(request: bytes) -> Callable[[], int]:
    """Verifies the request's prepared signatures and nothing else, by libsecp256k1; returns how many."""
    parsed = [parse_statement(raw) for raw in pb.RegisterStatementsRequest.FromString(request).statements]
    key = coincurve.PublicKey(parsed[0].controller_key or b"")
    items = [
        (
            coincurve.ecdsa.cdata_to_der(coincurve.ecdsa.deserialize_compact(one.signature)),
            hashlib.sha256(one.sig_structure).digest(),
        )
        for one in parsed
    ]

    def verify() -> int:
        if not all(key.verify(signature, digest, hasher=None) for signature, digest in items):
            raise AssertionError("a prepared signature does not verify")
        return len(items)

    return verify


def bare_of_suite(request: bytes, key: VerifyingKey) -> Callable[[], int]:
    """The same for any suite, by the library that the suite's keys use here."""
    parsed = [parse_statement(raw) for raw in pb.RegisterStatementsRequest.FromString(request).statements]

    def verify() -> int:
        for one in parsed:
            key.verify(one.sig_structure, one.signature)
        return len(parsed)

    return verify


def bare_rate(verify: Callable[[], int], seconds: float = 1.0) -> tuple[float, float]:
    """Verifications a second of one thread with no load of ours: by wall time, by CPU time."""
    done, start, cpu = 0, time.perf_counter(), time.thread_time()
    while (spent := time.perf_counter() - start) < seconds:
        done += verify()
    return done / spent, done / (time.thread_time() - cpu)


@dataclass(frozen=True)
class Round:
    """Statements and bare verifications a second: by wall time, and by CPU time of the service."""

    statements: float
    verifications: float
    statements_cpu: float
    verifications_cpu: float


class Registering:
    """Rounds on one service, one after the other; each is over when its last statement is logged."""

    def __init__(self, running: rig.Service, connections: list[Caller]) -> None:
        self._running = running
        self._callers = connections
        self._size = 0

    async def send(self, requests: Requests) -> tuple[float, float]:
        """Until all are logged: wall time and CPU time of the service, seconds."""
        self._size += len(requests) * A_CALL
        start, cpu = time.perf_counter(), self._running.cpu_s()
        await send_all(self._callers, requests)
        await drained(self._callers[0], self._size)
        return time.perf_counter() - start, self._running.cpu_s() - cpu

    async def rounds(self, requests: Requests, count: int, bare: Callable[[], int]) -> list[Round]:
        """As many rounds, each between two measurements of the bare rate."""
        made, a_round = list[Round](), len(requests) // count
        for first in range(0, len(requests), a_round):
            before = bare_rate(bare)
            spent, cpu = await self.send(requests[first : first + a_round])
            after = bare_rate(bare)
            wall, own = (before[0] + after[0]) / 2, (before[1] + after[1]) / 2
            made.append(Round(a_round * A_CALL / spent, wall, a_round * A_CALL / cpu, own))
        return made


async def _measure(running: rig.Service) -> dict[Suite, list[Round]]:
    issuer = running.world.issuer
    requests = signed_calls(WARM_UP + ROUNDS * CALLS)
    others = {suite: signed_calls(OTHER_ROUNDS * OTHER_CALLS, suite) for suite in OTHER_SUITES}
    async with callers(running) as connections:
        registering = Registering(running, connections)
        await registering.send(requests[:WARM_UP])
        bare = bare_secp256k1(requests[0])
        rounds = {Suite.ES256K: await registering.rounds(requests[WARM_UP:], ROUNDS, bare)}
        for suite, calls in others.items():
            bare = bare_of_suite(calls[0], issuer.key(suite).verifying_key)
            rounds[suite] = await registering.rounds(calls, OTHER_ROUNDS, bare)
    return rounds


def register_statements(dialect: str) -> list[Measurement]:
    """From the first call to the last leaf, with sequencer, anchoring and follower running.

    Beside the ratio with the goal: the same by CPU time of the service's processes, the other suites, and
    memory.
    """
    with rig.service(dialect) as running:
        rounds = drive(_measure(running))
        memory = running.peak_memory_mib()
    name, own = f"register_statements.{dialect}", rounds.pop(Suite.ES256K)
    registered = (WARM_UP + ROUNDS * CALLS + len(OTHER_SUITES) * OTHER_ROUNDS * OTHER_CALLS) * A_CALL
    return [
        beside_in_rounds(
            name,
            "statements/s",
            "bare secp256k1 verify, one thread",
            [(one.statements, one.verifications) for one in own],
            at_least=0.5,
        ),
        beside_in_rounds(
            f"{name}.cpu",
            "statements per CPU second",
            "bare secp256k1 verify",
            [(one.statements_cpu, one.verifications_cpu) for one in own],
        ),
        *(
            beside_in_rounds(
                f"{name}.{suite.name.lower()}",
                "statements/s",
                f"bare {suite.name} verify, one thread",
                [(one.statements, one.verifications) for one in made],
            )
            for suite, made in rounds.items()
        ),
        beside(
            f"{name}.memory",
            memory,
            "MiB at most, all processes",
            "thousand statements registered",
            registered / 1000,
        ),
    ]
