# The front door. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# The newest Python of 3.11 and later that is here. Set PYTHON to choose another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
# A recording of a real kernel, and the trace of it that `make run` replays.
RECORDING := tests/data/kernel/arm64-7.3.4-4k48
JOBS ?= $(shell nproc)
OPERATIONS ?= 10_000_000
SEED ?= 1

RUST := $(shell find rust -name '*.rs' -o -name '*.toml') Cargo.toml Cargo.lock
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup run test test-rust test-python lint format bench instructions witness fuzz-long docs wheel clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-14s %s\n", $$1, $$2 }'

$(VENV)/.tools: pyproject.toml
	@test -n "$(PYTHON)" || { echo "lazymmu needs Python 3.11 or later (set PYTHON=...)"; exit 1; }
	@command -v cargo >/dev/null || { echo "lazymmu needs Rust: https://rustup.rs"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q --group dev
	@$(BIN)/python -m pip install -q --group witness || echo "Unicorn does not install here: its tests skip by name"
	@touch $@

$(VENV)/.ready: $(VENV)/.tools $(RUST)
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --quiet
	@touch $@

setup: $(VENV)/.ready ## a virtual environment with everything in it

run: setup ## the main job: the argument of the mail on every backend, and what a real kernel did
	$(BIN)/lazymmu compare seed || test $$? -eq 1
	$(BIN)/lazymmu compare $(RECORDING) || test $$? -eq 1

test: setup test-rust test-python ## all tests, Rust and Python

test-rust:
	cargo test --quiet --profile checked -p lazymmu -p lazymmu-bits -p lazymmu-witness

test-python: setup
	$(BIN)/python -m pytest -q -n $(JOBS) tests
	# The blocks of a page build on each other: one process runs them.
	$(BIN)/python -m pytest -q docs

lint: setup ## rustfmt, clippy, ruff, mypy, stubtest
	@rustfmt --check $(shell find rust -name '*.rs')
	cargo clippy --quiet --release --workspace --all-targets -- -D warnings
	$(BIN)/ruff check python tests docs benches tools
	$(BIN)/ruff format --check python tests docs benches tools
	$(BIN)/mypy
	$(BIN)/mypy --strict tools/recorder/record.py
	$(BIN)/python -m mypy.stubtest lazymmu._native --ignore-disjoint-bases

format: setup ## rustfmt and ruff, in place
	rustfmt $(shell find rust -name '*.rs')
	$(BIN)/ruff check --fix-only python tests docs benches tools
	$(BIN)/ruff format python tests docs benches tools

witness: setup ## what others make of the same tables: an emulator's MMU, and two crates
	$(BIN)/python -m pytest -q -n $(JOBS) tests/witness
	cargo test --quiet --profile checked -p lazymmu-witness

bench: setup ## speed, as ratios to peers that run beside us
	$(BIN)/python benches/run.py
	$(BIN)/python benches/descriptor.py

instructions: setup ## instruction counts under callgrind, against the recorded ones
	$(BIN)/python benches/instructions.py

fuzz-long: setup ## core against reference, OPERATIONS=10_000_000 of them from SEED=1
	$(BIN)/python -m tests.differential.campaign --operations $(OPERATIONS) --jobs $(JOBS) --seed $(SEED)

docs: setup ## the documentation, into docs/_build
	$(BIN)/python -m pip install -q --group docs
	$(BIN)/python -m sphinx -q -W -b html docs docs/_build/html

wheel: setup ## a wheel into dist/
	$(BIN)/maturin build --release --quiet --out dist

clean: ## remove what was built
	rm -rf $(VENV) target dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
