# `make help` lists the targets. The virtual environment is made when it is first needed
# and again when pyproject.toml or constraints.txt change.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ALA2 := sample_data/ala2/run1.h5 sample_data/ala2/run2.h5
PRINZ := sample_data/prinz/prinz.npy
WAKE := sample_data/wake/wake.npz

.DEFAULT_GOAL := help
.PHONY: help demo test lint types docs bench validate clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-e ".[dev,bench]" -c constraints.txt
	@touch $@

demo: $(READY)  ## install and run the main job on the sample data, results in demo/
	@mkdir -p demo
	$(BIN)/koopman fit $(ALA2) -o demo/ala2.koopman --force
	$(BIN)/koopman plot demo/ala2.koopman
	$(BIN)/koopman transform demo/ala2.koopman $(ALA2) -o demo/ala2_slow.h5 --force
	$(BIN)/koopman fit $(PRINZ) --ensemble --dt 0.05 --model edmd --set basis=gaussians \
		-o demo/prinz.koopman --force
	$(BIN)/koopman plot demo/prinz.koopman
	$(BIN)/koopman fit $(WAKE) -o demo/wake.koopman --force
	$(BIN)/koopman forecast demo/wake.koopman --steps 50 --force
	@echo
	@echo "Results: demo/ala2.koopman  demo/ala2_slow.h5  demo/prinz.koopman  demo/wake.koopman"
	@echo "Figures: demo/ala2.koopman/figures  demo/prinz.koopman/figures"

test: $(READY)  ## install and run the tests (a few minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow"

lint: types  ## style, format, CLI reference, and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python docs/make_cli_reference.py --check

types: $(READY)  ## mypy, strict
	$(BIN)/mypy

docs: $(READY)  ## documentation site into docs/_build/html, tutorials run anew; docs/cli.md
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]" -c constraints.txt
	$(BIN)/python docs/make_cli_reference.py
	$(BIN)/python docs/make_site.py

bench: $(READY)  ## speed and memory beside deeptime and the matrix products alone
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script; done

validate: $(READY)  ## every claim in a slow test, into docs/validation.md
	OMP_NUM_THREADS=1 $(BIN)/python docs/make_validation.py

clean:  ## remove results, caches and the virtual environment
	rm -rf demo $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
