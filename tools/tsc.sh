#!/bin/sh
# Runs the TypeScript compiler of node_modules over the second verifier: types only, nothing is written.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
exec "$("$root/tools/toolchain.sh" node)" "$root/node_modules/typescript/bin/tsc" --project "$root/clients/verifier-ts" "$@"
