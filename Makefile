# Silkledger. `make demo` and `make test` install what they need into .venv and node_modules.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

SOURCES := silkledger services tools bench tests samples
PYTEST ?= $(PY) -m pytest
ONLY ?=

.PHONY: help demo test lint fmt proto contracts bench lock install install-dev forge-test derived clean

help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: install ## Run the whole story on the embedded stack, in a temporary directory
	$(BIN)/silkledger demo

# Each kind in a process of its own: what one leaves behind (event loops, channels, recursion limits) is not the next one's.
test: install-dev forge-test ## Run every test (contracts, unit, property, integration, end to end)
	$(PYTEST) tests/unit tests/property tests/vectors
	$(PYTEST) tests/integration
	$(PYTEST) tests/e2e

lint: install-dev ## ruff, mypy --strict, tsc --strict, import-linter, buf lint, forge fmt, derived files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	tools/tsc.sh
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code --path proto/silkledger
	tools/forge.sh fmt --check
	$(PY) tools/derived.py --check

fmt: install-dev ## Format Python, proto and Solidity
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/buf format -w --path proto/silkledger
	tools/forge.sh fmt

proto: install-dev ## Regenerate the gRPC stubs
	tools/proto.sh

contracts: install-dev ## Rebuild the contracts' committed artifacts
	tools/contracts.sh

derived: install-dev ## Regenerate every committed file that has a generator
	$(PY) tools/derived.py

forge-test: install-dev
	tools/forge.sh test

bench: install-dev ## Measure; ONLY=name for one part. Prints a table, writes bench/latest.json
	$(PY) -m bench $(if $(ONLY),--only $(ONLY))

lock: ## Rewrite the hashed locks (needs uv)
	tools/lock.sh

install: $(VENV)/.runtime node_modules/.installed ## Install what the embedded stack needs
install-dev: $(VENV)/.dev $(VENV)/outside/tlog node_modules/.installed ## Install what tests and linters need

$(PY):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Silkledger needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock requirements-schemas.lock pyproject.toml | $(PY)
	$(PY) -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(PY) -m pip install --quiet --no-deps --require-hashes -r requirements-schemas.lock
	$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	$(PY) -m pip install --quiet --no-deps --require-hashes -r requirements-dev.lock
	touch $@

# Go's verifier of logs, built from the sources inside the Go toolchain; the toolchain itself is not kept.
$(VENV)/outside/tlog: requirements-outside.lock tests/support/outside_verifiers/build.py tests/support/outside_verifiers/main.go $(VENV)/.dev
	$(PY) tests/support/outside_verifiers/build.py $@
	touch $@

node_modules/.installed: package.json package-lock.json $(VENV)/.runtime
	$(PY) tools/npm_ci.py
	touch $@

clean: ## Remove what was installed and built
	rm -rf $(VENV) node_modules contracts/out contracts/cache
