# Everything that is done with this source tree. `make` lists it.

# Overridable: ARGS goes to what a target runs, as in make test ARGS="-k ledger"; PYTHON makes the environment.
# SYSTEM=yes adds the tests in containers to `make test` and `make check`, as CI does; JOBS=0 runs one test at a time.
ARGS ?=
SYSTEM ?=
JOBS ?= 2
export PYTHON ?= python3

BIN := .venv/bin
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help
.NOTPARALLEL:

.PHONY: help setup tools servers engine demo test system chaos check format format-check lint types layers bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Tests build plugins in JavaScript: with the machine's Node.js, or else with one from PyPI.
NODE = $(shell command -v npm >/dev/null || echo ,node)

# Two stamps, one environment: what runs Penstock takes 15 s and 150 MB, and is all that a first look needs;
# what checks it (a C compiler among others) takes 700 MB. A second run does nothing.
setup: .venv/setup.stamp ## Make .venv with what runs Penstock
tools: .venv/tools.stamp ## ... and with what tests and checks it

.venv/setup.stamp: pyproject.toml
	@scripts/setup worker,embedded
	@touch $@

.venv/tools.stamp: pyproject.toml
	@scripts/setup dev$(NODE)
	@touch .venv/setup.stamp $@

# Those that Penstock is compared with are nobody else's business.
.venv/bench.stamp: pyproject.toml
	@scripts/setup dev$(NODE),bench
	@touch .venv/setup.stamp .venv/tools.stamp $@

servers: ## As root on Debian: install the Redis and RabbitMQ that tests start
	@scripts/install-test-servers

engine: ## ... and the Docker engine that system tests start
	@scripts/install-test-servers system

demo: setup ## See Penstock work, in a minute or two, with a report of it
	@$(BIN)/penstock demo $(ARGS)

test: tools servers ## Run the tests, but for those in containers; ARGS go to pytest
	@$(BIN)/python -m pytest -n $(JOBS) --no-loadscope-reorder $(if $(SYSTEM),,--ignore=tests/system) $(ARGS)

system: tools servers engine ## Test several hosts in containers: killed, cut off, restarted (as root on Debian)
	@$(BIN)/python -m pytest tests/system $(ARGS)

chaos: tools servers ## Let everything fail at random; MINUTES=… SEED=… BROKER=redis|rabbitmq SCENARIO=…
	@$(BIN)/python -m tests.chaos $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) \
		$(if $(BROKER),--broker $(BROKER)) $(if $(SCENARIO),--scenario $(SCENARIO)) $(ARGS)

check: format-check lint types layers test ## Everything that CI checks

format: tools ## Format the code
	@$(BIN)/ruff format --quiet
	@$(BIN)/ruff check --quiet --fix --select I

format-check: tools ## Is the code formatted?
	@$(BIN)/ruff format --check

lint: tools ## Lint
	@$(BIN)/ruff check

types: tools ## Check the types
	@$(BIN)/mypy

layers: tools ## Check who may import whom
	@$(BIN)/lint-imports

bench: .venv/bench.stamp ## Measure everything and write BENCHMARKS.md (25 min); or ARGS="NAME --quick"
	@$(BIN)/python -m benchmarks $(or $(ARGS),--write)

clean: ## Remove everything that was made here, .venv included
	@rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .tools
	@find . -type d -name __pycache__ -prune -exec rm -rf {} +
	@rm -f demo-results.jsonl demo-results.failed.jsonl demo-report.html
