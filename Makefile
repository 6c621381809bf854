# Two commands: `make demo` shows the main job at work, `make test` proves it. Both set themselves up in .venv.
# While working on something: `make quick`, the tests without servers, browsers, renderer and training.
PYTHON ?= python3
BIN := .venv/bin
# Two test files at a time: most tests wait for a server, a renderer or a process of their own.
PARALLEL := --numprocesses 2 --dist loadfile

.PHONY: demo test quick hostile check format setup lock weights clean

# The demo needs only a part of the packages; once all are installed, they are kept up to date instead.
demo: $(if $(wildcard .venv/.installed),setup,.venv/.demo)
	$(BIN)/python tools/demo.py

test: check
	$(BIN)/python -m pytest $(PARALLEL)
	@echo "All tests passed. Next: 'make demo' shows the server at work."

quick: setup
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"
	@echo "The quick tests passed. Next: 'make test' runs all of them."

# Some ten minutes: 10,000 messages and what else tests/hostile has. Another seed: make hostile SEED=2.
SEED ?= 1
hostile: setup
	$(BIN)/python -m pytest tests/hostile tests/server/hostile -o hostile_messages=10000 -o hostile_seed=$(SEED)
	@echo "Nothing that was sent stopped or misled a drone. Next: 'make hostile SEED=2' sends other messages;"
	@echo "'$(BIN)/python tests/hostile/fairness.py' measures what a neighbour notices; docs/security.md says what is promised."

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

setup: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml
	@echo "Setting up .venv with everything (once; about a minute and 3.3 GB of disk) ..."
	$(call install,requirements.lock)

.venv/.demo: requirements-demo.lock pyproject.toml
	@echo "Setting up .venv with what the server and the demo need (once; half a minute and 0.8 GB of disk) ..."
	$(call install,requirements-demo.lock)

# Make .venv anew with the packages of a lock file and this repository.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Say 'make PYTHON=python3.12 $(MAKECMDGOALS)'."; exit 1; }
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement $(1)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
endef

# Maintainers only: resolve the newest versions that pyproject.toml admits, for every platform.
COMPILE := uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --no-emit-index-url
lock:
	$(COMPILE) --upgrade --extra dev --output-file requirements.lock pyproject.toml
	$(COMPILE) --upgrade --extra demo --constraint requirements.lock --output-file requirements-demo.lock pyproject.toml
	$(COMPILE) --upgrade --constraint requirements.lock --output-file requirements-runtime.lock pyproject.toml

# Maintainers only, after a change of weights: convert what is shipped converted.
DATA ?= ../shared/data
weights: setup
	$(BIN)/python tools/convert.py weights/model_weights weights/fcn4
	$(BIN)/python tools/quantize.py weights/model_weights --data $(DATA)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache *.egg-info
