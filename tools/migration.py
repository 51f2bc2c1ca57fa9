"""Write the next Alembic revision of a service from what its tables say: tools/migration.py ledger "message".

The service's `migrations` package has `metadata()`. The revision is what brings a database at the newest
revision there; read it before committing it. A test holds migrations and metadata equal.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import tempfile
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations.ops import DowngradeOps, UpgradeOps
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData

from silkledger.runtime.db import Database
from silkledger.runtime.migrations import migrate_open

ROOT = Path(__file__).resolve().parents[1]

HEADER = '''"""{message}"""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {down!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    {downgrade}
'''


def _render(connection: Connection, metadata: MetaData) -> tuple[str, str]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    script = produce_migrations(context, metadata)
    if script.upgrade_ops is None or script.downgrade_ops is None:
        raise SystemExit("nothing to migrate")
    return _code(script.upgrade_ops), _code(script.downgrade_ops)


def _code(operations: UpgradeOps | DowngradeOps) -> str:
    lines = render_python_code(operations).splitlines()
    return "\n".join(line for line in lines if not line.strip().startswith("# ###"))


async def _main(service: str, message: str) -> None:
    directory = ROOT / "services" / service / "migrations"
    metadata: MetaData = importlib.import_module(f"services.{service}.migrations").metadata()
    (directory / "versions").mkdir(exist_ok=True)
    heads = ScriptDirectory(str(directory)).get_heads()
    with tempfile.TemporaryDirectory() as folder:
        database = await Database.open(f"sqlite:///{folder}/scratch.db")
        await migrate_open(database, directory)
        async with database.write() as connection:
            upgrade, downgrade = await connection.run_sync(_render, metadata)
        await database.close()
    numbers = [int(path.name[:4]) for path in (directory / "versions").glob("[0-9]*.py")]
    revision = f"{max(numbers, default=0) + 1:04d}"
    path = directory / "versions" / f"{revision}_{message.lower().replace(' ', '_')}.py"
    down = heads[0] if heads else None
    path.write_text(
        HEADER.format(message=message, revision=revision, down=down, upgrade=upgrade, downgrade=downgrade)
    )
    print(path.relative_to(ROOT))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2]))
