# Two commands: `make demo` shows the main job at work, `make test` proves it. Both set themselves up in .venv.
# During development: `make quick` runs the tests without servers, browsers, renderer and training.
# make.py does the work, and can be used without make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo help test quick hostile check format setup fleet fleet-test search-test image lock weights clean

demo:
	@$(PYTHON) make.py demo

help:
	@$(PYTHON) make.py help

test:
	@$(PYTHON) make.py test

quick:
	@$(PYTHON) make.py quick

check:
	@$(PYTHON) make.py check

setup:
	@$(PYTHON) make.py setup

# Networks on Ray Serve for two servers and twelve drones, on this machine; docs/fleet.md.
fleet:
	@$(PYTHON) make.py fleet

fleet-test:
	@$(PYTHON) make.py fleet-test

search-test:
	@$(PYTHON) make.py search-test

# As root, with buildah and debootstrap: the image, and a flight with the server in it; docs/server.md.
image:
	@$(PYTHON) make.py image

# About ten minutes: 10,000 messages and the other tests in tests/hostile. Another seed: make hostile SEED=2.
SEED ?= 1
hostile: setup
	$(BIN)/python -m pytest tests/hostile tests/server/hostile -o hostile_messages=10000 -o hostile_seed=$(SEED)
	@echo "Nothing that was sent stopped or misled a drone. Next: 'make hostile SEED=2' sends other messages;"
	@echo "'$(BIN)/python tests/hostile/fairness.py' measures what a neighbour notices; docs/security.md says what is promised."

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Maintainers only: resolve the newest versions that pyproject.toml admits, for every platform.
COMPILE := uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --no-emit-index-url
lock:
	$(COMPILE) --upgrade --extra dev --output-file requirements.lock pyproject.toml
	$(COMPILE) --upgrade --extra demo --constraint requirements.lock --output-file requirements-demo.lock pyproject.toml
	$(COMPILE) --upgrade --constraint requirements.lock --output-file requirements-runtime.lock pyproject.toml
	$(COMPILE) --upgrade --extra gpu --constraint requirements.lock --output-file requirements-gpu.lock pyproject.toml
	$(COMPILE) --upgrade --extra search --constraint requirements.lock --output-file requirements-search.lock pyproject.toml
	$(COMPILE) --upgrade --extra fleet --constraint requirements.lock --output-file requirements-fleet.lock pyproject.toml

# Maintainers only, after a change of weights: convert and quantise the networks that are shipped converted.
DATA ?= ../shared/data
weights: setup
	$(BIN)/python tools/convert.py weights/model_weights weights/fcn4
	$(BIN)/python tools/quantize.py weights/model_weights --data $(DATA)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache *.egg-info
