#!/bin/sh
# Runs forge of the pinned toolchain inside contracts/.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root/contracts"
exec "$("$root/tools/toolchain.sh" forge)" "$@"
