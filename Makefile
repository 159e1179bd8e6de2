# Each target makes its own virtual environment on a fresh machine, without root, and is quick the second time.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

SECONDS ?= 60
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

.PHONY: help demo test test-pure test-deep soak lint format bench bench-quick bench-report bench-readme clean

help:  ## show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml hatch_build.py $(wildcard edgeprofile/compiled/*.[ch])
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing EdgeProfile and its tools into $(VENV) (once; a minute or two)"
	@$(PIP) install --upgrade pip
	@$(PIP) install --editable '.[all]' --group dev
	@touch $@

demo: $(STAMP)  ## from a sample warehouse through sync and sidecar to live figures; Ctrl-C ends it
	@$(BIN)/edgeprofile demo $(ARGS)

test: $(STAMP)  ## every test that runs in minutes
	$(PYTEST) $(ARGS)

test-pure: $(STAMP)  ## the unit and property tests without the compiled part
	EDGEPROFILE_NO_EXTENSIONS=1 $(PYTEST) tests/unit tests/property $(ARGS)

test-deep: $(STAMP)  ## the random walk and the fuzzers at full size
	EDGEPROFILE_TEST_DEPTH=deep $(PYTEST) $(ARGS)

soak: $(STAMP)  ## readers, writers and random faults for SECONDS=60 (ARGS=--cluster); checks every lookup
	$(BIN)/python -m tests.soak --seconds $(SECONDS) $(ARGS)

lint: $(STAMP)  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## let ruff write the layout
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench-quick: $(STAMP)  ## the main figures in two minutes, fewer rounds; ARGS=--check, ARGS='--write-baseline --runs 5'
	$(BIN)/python -m benchmarks --quick $(ARGS)

bench-report: $(STAMP)  ## charts of the last run: benchmarks/report.html and benchmarks/charts
	@$(BIN)/python -m benchmarks.page $(ARGS)

bench-readme: bench-report  ## the last run's figures and charts into the README
	@$(BIN)/python -m benchmarks.readme $(ARGS)

bench: $(STAMP)  ## every figure against every peer; writes benchmarks/results
	$(BIN)/python -m benchmarks $(ARGS)

clean:  ## remove what the targets made
	rm -rf $(VENV) .venv-bench .mypy_cache .pytest_cache .ruff_cache .hypothesis
