"""Records a whole evidence bundle of a real node into bundle.cbor, with its document and trust roots.

Run from the repository root: `python -m tests.vectors.evidence.record_bundle`.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.deploy import deploy
from silkledger.evm.engines import ANVIL
from silkledger.evm.node import JsonRpcNode
from tests.vectors.evidence.scenario import DOCUMENT, GOVERNANCE, account, reach, tell

HERE = Path(__file__).resolve().parent


async def record(url: str) -> None:
    node = JsonRpcNode(url, ANVIL)
    try:
        network = await deploy(node, account(100), GOVERNANCE.address, ANVIL)
        told = await tell(node, network)
        as_of = told.anchor_block + 1
        await reach(node, as_of)
        bundle = await told.capture(as_of)
        roots = await told.roots(as_of)
    finally:
        await node.close()
    (HERE / "bundle.cbor").write_bytes(bundle.encode())
    (HERE / "document.txt").write_bytes(DOCUMENT)
    (HERE / "trust-roots.json").write_text(roots.to_json())
    sys.stdout.write(f"bundle.cbor: {len(bundle.encode())} bytes, as of block {as_of}\n")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        chain = EmbeddedChain(Path(folder), block_time_s=0.2)
        chain.start()
        try:
            asyncio.run(record(chain.url))
        finally:
            chain.stop()


if __name__ == "__main__":
    main()
