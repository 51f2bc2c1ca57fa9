"""Signed statements, made before the clock runs, on all cores, and kept in files until they are sent."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import BinaryIO, Final, overload

from bench.issuer import BILL, Issuer, issuer
from silkledger.keys import Suite
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.statement import sign_statement
from silkledger.values import Digest

A_CALL: Final = 500
"""Statements of one call."""
_SIZE: Final = 4
"""Bytes of the length before each request in a file."""


class Requests(Sequence[bytes]):
    """Serialised requests in files, read when they are asked for: a million statements need no memory."""

    def __init__(self, places: Iterable[tuple[Path, int, int]] = ()) -> None:
        self._places = list(places)
        self._files: dict[Path, BinaryIO] = {}

    def extend(self, more: Requests) -> None:
        self._places += more._places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Requests: ...
    def __getitem__(self, index: int | slice) -> bytes | Requests:
        if isinstance(index, slice):
            return Requests(self._places[index])
        path, start, size = self._places[index]
        if path not in self._files:
            self._files[path] = path.open("rb")
        return os.pread(self._files[path].fileno(), size, start)


def _places(file: Path) -> Iterator[tuple[Path, int, int]]:
    end, start = file.stat().st_size, 0
    with file.open("rb") as data:
        while start < end:
            data.seek(start)
            size = int.from_bytes(data.read(_SIZE), "big")
            yield file, start + _SIZE, size
            start += _SIZE + size


def on_all_cores(make: Callable[[], bytes], count: int, directory: Path) -> Requests:
    """That many requests, each made by a call of `make`, which must be picklable."""
    workers = os.cpu_count() or 1
    directory.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        parts = [
            pool.submit(_write, make, len(range(first, count, workers)), directory / f"{first}.requests")
            for first in range(workers)
        ]
        return Requests(chain.from_iterable(_places(part.result()) for part in parts))


def _write(make: Callable[[], bytes], count: int, file: Path) -> Path:
    with file.open("wb") as out:
        for _ in range(count):
            request = make()
            out.write(len(request).to_bytes(_SIZE, "big") + request)
    return file


def statements_request(by: Issuer, suite: Suite) -> bytes:
    """A serialised RegisterStatements request of A_CALL statements about documents of their own."""
    key, kid, issued_at = by.key(suite), by.kid(suite), int(time.time())
    statements = [
        sign_statement(
            key,
            issuer=by.did,
            kid=kid,
            subject=f"urn:sample:bl:{secrets.token_hex(4)}",
            document_type=BILL,
            digest=Digest(hashlib.sha256(secrets.token_bytes(16)).digest()),
            content_type="application/json",
            issued_at=issued_at,
            salt=secrets.token_bytes(16),
        )
        for _ in range(A_CALL)
    ]
    request = pb.RegisterStatementsRequest(request_id=str(uuid.uuid4()), statements=statements)
    return request.SerializeToString()


@cache
def spool() -> tempfile.TemporaryDirectory[str]:
    """Where requests are kept; removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="silkledger-bench-requests-")


@cache
def _made(suite: Suite) -> Requests:
    return Requests()


def signed_calls(count: int, suite: Suite = Suite.ES256K) -> Requests:
    """That many requests of this process's issuer. The same ones each time: for one database each."""
    made = _made(suite)
    if len(made) < count:
        folder = Path(spool().name) / f"{suite.name}-{len(made)}"
        made.extend(on_all_cores(partial(statements_request, issuer(), suite), count - len(made), folder))
    return made[:count]
