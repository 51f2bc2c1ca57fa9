"""A small signer behind HTTP, as a process of its own: Web3Signer's `eth1` interface, and misbehaviour.

`python -m tests.support.http_signer` reads `{"keys": ["<hex>", ...]}` from stdin and writes its URL to
stdout. `POST /control` takes `{"next": ["hang", "error", "busy", "garbage", ...]}`, which spoils the next
requests, one each, and `{"impostor": true}`, after which all is signed with another key than asked for.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import coincurve
from aiohttp import web

from silkledger.evidence.keccak import keccak256
from silkledger.keys.account import Account

ROOT = Path(__file__).resolve().parents[2]


class SignerProcess:
    """The process, seen from a test."""

    def __init__(self, url: str) -> None:
        self.url = url

    def control(self, **orders: object) -> dict[str, Any]:
        """Give orders; the answer counts the requests so far."""
        request = urllib.request.Request(
            f"{self.url}/control", json.dumps(orders).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            told: dict[str, Any] = json.load(response)
            return told


@contextmanager
def signer_process(*accounts: Account) -> Iterator[SignerProcess]:
    """A running signer that holds the keys of `accounts`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.http_signer"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps({"keys": [a.export_secret().hex() for a in accounts]}) + "\n")
        process.stdin.flush()
        yield SignerProcess(process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait()


def public_of(account: Account) -> str:
    """`0x` and the 64 bytes of the public key, as Web3Signer names keys."""
    point = coincurve.PublicKey(account.public_key).format(compressed=False)
    return "0x" + point[1:].hex()


class _Server:
    def __init__(self, accounts: list[Account]) -> None:
        self.accounts = {public_of(account): account for account in accounts}
        self.spoilt: list[str] = []
        self.impostor: Account | None = None
        self.requests = 0

    async def control(self, request: web.Request) -> web.Response:
        orders = await request.json()
        self.spoilt += orders.get("next", [])
        if "impostor" in orders:
            self.impostor = Account.generate() if orders["impostor"] else None
        return web.json_response({"requests": self.requests, "left": len(self.spoilt)})

    async def keys(self, _: web.Request) -> web.Response:
        return await self._spoil() or web.json_response(sorted(self.accounts))

    async def sign(self, request: web.Request) -> web.Response:
        account = self.accounts.get(request.match_info["identifier"])
        if account is None:
            return web.Response(status=404)
        data = bytes.fromhex((await request.json())["data"][2:])
        signature = (self.impostor or account).sign_digest(keccak256(data))
        return await self._spoil() or web.Response(text="0x" + signature.hex())

    async def _spoil(self) -> web.Response | None:
        self.requests += 1
        what = self.spoilt.pop(0) if self.spoilt else None
        if what == "hang":
            await asyncio.sleep(60)
        if what in ("error", "busy"):
            return web.Response(status=500 if what == "error" else 429)
        return web.Response(text="not a signature") if what == "garbage" else None


async def _main() -> None:
    keys = json.loads(sys.stdin.readline())["keys"]
    server = _Server([Account.from_secret(bytes.fromhex(key)) for key in keys])
    application = web.Application()
    application.router.add_post("/control", server.control)
    application.router.add_get("/api/v1/eth1/publicKeys", server.keys)
    application.router.add_post("/api/v1/eth1/sign/{identifier}", server.sign)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)  # noqa: T201
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
