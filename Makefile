# `make` alone says what there is. Everything is installed into .venv, from a package registry, by hash.

PORT ?= 3000
VENV := .venv
BIN := $(VENV)/bin
HOME_OF_DAGSTER := $(or $(DAGSTER_HOME),$(CURDIR)/.dagster)
# The first Python on the path that the locks are made for.
PYTHON ?= $(shell for python in python3.11 python3.12 python3; do $$python -c \
	'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null \
	&& echo $$python && break; done)

RUNTIME := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
INSTANCE := .dagster/dagster.yaml
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --no-strip-extras --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --python-version 3.11

demo: export DAGSTER_MODULE_NAME := aspects_orchestration.definitions
demo dev: export DAGSTER_HOME := $(HOME_OF_DAGSTER)

.PHONY: help demo dev stop test bench docs docs-serve screenshots lint types audit format lock install install-dev clean
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: $(RUNTIME) $(INSTANCE) ## load a month of sample logs into an embedded ClickHouse, check it, show it
	@$(BIN)/python -m aspects_orchestration.demo

dev: $(RUNTIME) $(INSTANCE) ## the web UI on http://127.0.0.1:3000 (PORT=… for another), with schedules and backfills running
	@$(BIN)/python -m aspects_orchestration.start
	@# With the module named in the environment, as the README advises for the command line, -w would be refused.
	@# Not `dagster dev`, whose web server obeys any page that is open in the same browser.
	@env -u DAGSTER_MODULE_NAME sh -c '$(BIN)/dagster-daemon run -w workspace.yaml & daemon=$$!; \
		trap "kill $$daemon 2>/dev/null; wait $$daemon" EXIT; trap "exit 130" INT TERM HUP; \
		$(BIN)/python -m aspects_orchestration.webserver -w workspace.yaml -h 127.0.0.1 -p $(PORT)'

stop: $(RUNTIME) ## stop the embedded ClickHouse; it starts again by itself when it is needed
	@$(BIN)/python -m aspects_orchestration.warehouse.server stop

# A file of tests is run by one process, for the servers that its tests share; tests/conftest.py says in which order.
test: $(DEV) ## every test, in two processes (ARGS="-k …" for some, ARGS="-n 0 …" in one, for a debugger)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

bench: $(DEV) ## the whole job against upstream's own command, by kind of event, growth, selecting, archiving (about two hours)
	$(BIN)/python benchmarks/transform.py
	$(BIN)/python benchmarks/backfill.py pairs
	$(BIN)/python benchmarks/backfill.py growth
	$(BIN)/python benchmarks/backfill.py large
	$(BIN)/python benchmarks/backfill.py cores
	$(BIN)/python benchmarks/backfill.py select
	$(BIN)/python benchmarks/backfill.py select --s3
	$(BIN)/python benchmarks/lms.py
	$(BIN)/python benchmarks/archive.py archive
	$(BIN)/python benchmarks/archive.py archive --s3
	$(BIN)/python benchmarks/archive.py verify
	$(BIN)/python benchmarks/archive.py verify --s3

docs: $(DEV) ## the docs site into build/docs, with the reference made of the code; anything amiss fails
	@# Not --quiet: what is not logged does not count as a warning.
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

docs-serve: $(DEV) ## the docs site on http://127.0.0.1:8000
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve --dev-addr 127.0.0.1:8000

screenshots: $(DEV) ## take the docs' pictures of the web UI anew (Chromium)
	ASPECTS_SCREENSHOTS=$(CURDIR)/docs/images $(BIN)/python -m pytest -n 0 tests/test_ui_in_a_browser.py

lint: $(DEV) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV) ## mypy --strict
	$(BIN)/mypy

audit: $(DEV) ## known vulnerabilities of what is pinned (pip-audit)
	$(BIN)/python .ci/audit.py

format: $(DEV) ## put the code into ruff's format, and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(DEV) ## resolve the dependencies anew: newest versions that pyproject.toml allows
	$(PIP) uv
	$(COMPILE) --upgrade -o requirements.lock
	$(COMPILE) --upgrade --extra dev -c requirements.lock -o requirements-dev.lock

install: $(RUNTIME) ## only install

install-dev: $(DEV) ## only install, with what the tests need

clean: ## remove caches and builds; data (.aspects, .dagster) and .venv stay
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find aspects_orchestration tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or 3.12 with venv was found: install python3.11 (Debian: and \
	python3.11-venv), or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): requirements.lock pyproject.toml setup.py $(wildcard aspects_orchestration/native/*.[ch]) | $(BIN)/python
	@echo "Installing into $(VENV) (about 1.5 GB, once)"
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@# As pip does with what it copies: processes start sooner, also where they may not write into the checkout.
	$(BIN)/python -m compileall -q aspects_orchestration
	@touch $@

$(DEV): requirements-dev.lock $(RUNTIME)
	$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

# A link, so that what is edited in one place is what runs.
$(INSTANCE):
	@mkdir -p $(@D)
	@ln -sf ../dagster.yaml $@
