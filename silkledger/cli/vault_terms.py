"""Terms of the messages in a bank's vault, read by the settlement service's own program."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from silkledger.stack.maintenance import SERVICES_ROOT

if TYPE_CHECKING:
    from silkledger.audit.vault import Terms


class ServiceTerms:
    """A `TermsReader`: one run of `python -m services.settlement.vault` per vault."""

    async def terms(self, messages: Sequence[bytes]) -> list[list[Terms]]:
        """Raises: RuntimeError when the program fails, which is a fault of ours."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.settlement.vault",
            cwd=SERVICES_ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        lines = b"".join(base64.b64encode(message) + b"\n" for message in messages)
        out, _ = await process.communicate(lines)
        found: list[Any] = [json.loads(line) for line in out.splitlines()]
        if process.returncode or len(found) != len(messages):
            raise RuntimeError(f"services.settlement.vault ended with {process.returncode}")
        return found
