"""`python -m services.ledger.restore MIRROR [CHECKPOINT…]`, with the settings of the stopped service.

Writes one JSON object to stdout. Exit status: 0 restored, 1 refused (nothing was written), 2 cannot start.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from services.ledger.__main__ import MIGRATIONS, network_of
from services.ledger.log_keys.signing import load_log_keys
from services.ledger.restore.restore import Restored, RestoreRefused, Restoring
from services.ledger.settings import LedgerSettings
from silkledger.evm.contracts import ContractMismatch
from silkledger.evm.engines import profile_named
from silkledger.evm.log_keys import counting_log_keys
from silkledger.evm.node_setup import open_node
from silkledger.evm.port import NodeError
from silkledger.keys import KeyFileError
from silkledger.log.checkpoint import NoteError, verify_note
from silkledger.mirror.directory import MirrorDirectory
from silkledger.mirror.errors import MirrorError
from silkledger.runtime.db import Database, DatabaseInUse, DatabaseUrlRefused
from silkledger.runtime.migrations import migrate_open
from silkledger.runtime.settings import SettingsError, read_settings
from silkledger.runtime.telemetry import configure_logging
from silkledger.values import ValueShapeError


async def restore(mirror: Path, checkpoints: Sequence[Path]) -> Restored:
    """To a restored database. Raises: RestoreRefused, MirrorError, NoteError, else as a start."""
    settings = read_settings(LedgerSettings, os.environ)
    own = load_log_keys(settings.origin, settings.log_key_file, settings.further_log_key_files).verifier_keys
    node = open_node(settings, profile_named(settings.engine))
    try:
        network = await network_of(node, settings)
        keys = (*own, *await counting_log_keys(node, network, settings.origin))
        witnessed = [verify_note(path.read_text(encoding="utf-8"), keys) for path in checkpoints]
        database = await Database.open(settings.database_url)
        try:
            await migrate_open(database, MIGRATIONS)
            return await Restoring(database, node, network, keys).run(MirrorDirectory(mirror), witnessed)
        finally:
            await database.close()
    finally:
        await node.close()


def main(arguments: Sequence[str]) -> int:
    """Exit status."""
    if not arguments:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        restored = asyncio.run(restore(Path(arguments[0]), [Path(item) for item in arguments[1:]]))
    except (RestoreRefused, MirrorError, NoteError) as error:
        answer, status = {"reason": error.reason, "detail": error.detail}, 1
    except (
        SettingsError,
        DatabaseInUse,
        DatabaseUrlRefused,
        KeyFileError,
        ContractMismatch,
        NodeError,
        ValueShapeError,
        FileNotFoundError,
    ) as error:
        answer, status = {"reason": type(error).__name__, "detail": str(error)}, 2
    else:
        answer, status = asdict(restored), 0
    sys.stdout.write(json.dumps(answer) + "\n")
    return status


if __name__ == "__main__":
    configure_logging("ledger-restore")
    sys.exit(main(sys.argv[1:]))
