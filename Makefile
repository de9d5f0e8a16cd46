# The front door. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.synced
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONUNBUFFERED := 1

PROFILE ?= camvid-cpu
UNIT_WORKERS ?= 2

.PHONY: help setup lock demo test unit smoke lint camvid profile predict report doctor clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | awk -F'\t' '{printf "  make %-9s %s\n", $$1, $$2}'

$(STAMP): requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else f"segdistill needs Python 3.11 or 3.12, {sys.executable} is {v[0]}.{v[1]}. Point PYTHON at one: make PYTHON=python3.11 setup")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@touch $@

setup: $(STAMP)  ## make .venv and install the hashed lock into it (again: does nothing)

lock: $(STAMP)  ## resolve pyproject.toml anew into requirements.lock
	uv pip compile --quiet --python-version 3.11 --universal --group dev --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml -o requirements.lock

