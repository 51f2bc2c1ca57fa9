#!/bin/sh
# Generates the Python stubs from proto/ (path under proto/ = proto package = Python package).
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
python tools/vendor_validate_proto.py
python -m grpc_tools.protoc -Iproto --python_out=. --mypy_out=quiet:. \
  proto/buf/validate/validate.proto
python -m grpc_tools.protoc -Iproto --python_out=. --grpc_python_out=. --mypy_out=quiet:. --mypy_grpc_out=quiet:. \
  $(find proto/silkledger -name '*.proto' | sort)
for package in buf buf/validate silkledger silkledger/chain silkledger/chain/v1 silkledger/ledger silkledger/ledger/v1 \
  silkledger/identity silkledger/identity/v1 silkledger/settlement silkledger/settlement/v1; do
  [ -e "$package/__init__.py" ] || : > "$package/__init__.py"
done
