#!/bin/sh
# Builds the contracts and writes contracts/artifacts/*.json, deterministically: the same sources give the same
# bytes. `contracts.sh check` writes nothing new: it fails if the committed artifacts differ from the sources.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root/contracts"
mkdir -p artifacts
if [ "${1:-}" = check ]; then
  kept=$(mktemp -d)
  trap 'cp "$kept"/*.json artifacts/; rm -rf "$kept"' EXIT
  cp artifacts/*.json "$kept"/
fi
"$("$root/tools/toolchain.sh" forge)" build --skip test >/dev/null
"$("$root/tools/toolchain.sh" node)" artifacts.js
if [ "${1:-}" = check ]; then
  diff -rq "$kept" artifacts || { echo "contracts/artifacts differ from the sources: run tools/contracts.sh" >&2; exit 1; }
fi
