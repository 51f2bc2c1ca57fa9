"""`python -m silkledger.audit`: one replay as a process of its own, for a service that must not do it itself.

Reads one line of JSON, the job, from stdin (a database URL may hold a password: it is in no argument and no
environment), and writes lines of JSON to stdout: progress, then the result or the error. Ends at once when
stdin ends, so that it never outlives its owner; what it had committed in its work directory stays.
Exit status: 0 done, whatever the verdict; 1 the chain cannot be read or does not verify; 2 bad job.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from silkledger.audit.databases import Databases
from silkledger.audit.page import page
from silkledger.audit.replay import Audited, Means, replay_ledger
from silkledger.audit.work import WorkRefused
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evm.contracts import ContractMismatch, Network
from silkledger.evm.engines import profile_named
from silkledger.evm.follower import FollowerHalted
from silkledger.evm.port import NodeError, NodeUnavailable
from silkledger.runtime.db import DatabaseInUse
from silkledger.values import Address, BlockHash, ValueShapeError

JSON_FILE: Final = "report.json"
HTML_FILE: Final = "report.html"
"""Both written into the work directory."""


def _audited(job: Mapping[str, Any]) -> Audited:
    """Raises: KeyError, TypeError, ValueShapeError for a job that does not say what is audited."""
    told = job["network"]
    network = Network(
        told["chain_id"],
        BlockHash.from_hex(told["genesis_hash"]),
        Address.from_hex(told["directory"]),
        {name: Address.from_hex(address) for name, address in told["contracts"].items()},
    )
    text = job.get("trust_roots")
    roots = None if text is None else TrustRoots.from_json(text)
    return Audited(network, profile_named(job["engine"]), job["origin"], job["log_verifier_key"], roots)


async def _replay(audited: Audited, job: Mapping[str, Any]) -> dict[str, Any]:
    databases = Databases(tuple((name, url) for name, url in job["databases"]))
    work = Path(job["work"])
    done = 0

    def advance(steps: int, total: int) -> None:
        nonlocal done
        done += steps
        _tell({"done": done, "total": total})

    means = Means(work, job["processes"], agreement=job.get("node_agreement"))
    report = await replay_ledger(audited, job["node_url"], databases, advance, None, job["upto"], means)
    await asyncio.to_thread((work / JSON_FILE).write_text, report.to_json(), "utf-8")
    await asyncio.to_thread((work / HTML_FILE).write_text, page(report), "utf-8")
    return {
        "verdict": report.verdict,
        "digest": report.digest,
        "block": report.last.number,
        "differences": len(report.differences),
        "unavailable": len(report.unavailable),
    }


def _tell(line: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(3)


def main() -> int:
    """Exit status."""
    try:
        job = json.loads(sys.stdin.readline())
        audited = _audited(job)  # a bad job is told, however soon stdin ends
        os.nice(int(job.get("nice", 0)))
        threading.Thread(target=_end_with_stdin, daemon=True).start()
        result = asyncio.run(_replay(audited, job))
    except (KeyError, TypeError, ValueError, ValueShapeError, WorkRefused, DatabaseInUse) as error:
        _tell({"error": type(error).__name__, "detail": str(error)})
        return 2
    except (FollowerHalted, ContractMismatch, NodeError) as error:
        kind = NodeUnavailable if isinstance(error, NodeUnavailable) else type(error)
        _tell({"error": kind.__name__, "detail": str(error)})
        return 1
    _tell({"result": result})
    return 0


if __name__ == "__main__":
    sys.exit(main())
