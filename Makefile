# The front door: `make help` lists the targets. All other tools are commands: `python -m pipeline --help`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONUNBUFFERED := 1
# Bytecode is written at the first import: where this variable forbids it, every stage would compile torch anew.
export PYTHONDONTWRITEBYTECODE :=

PYTHON ?= python3
TEST_WORKERS ?= 2
SMALL := scratch/predictor
# The few packages of a bundle are installed in seconds, those of the project in minutes: `make predict` takes what is there.
PREDICTOR = $(if $(wildcard .venv/.synced),.venv,$(SMALL))
MODEL ?= releases/camvid_ladder_r18.zip
WANTED := import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 13) else "segdistill needs Python 3.11 or 3.12: make PYTHON=python3.11 setup")
COMPILE = uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate --no-header

EXTRAS ?= inspect s3 openvino tensorrt-rtx docs

.PHONY: help setup lock demo test test-all lint test-faults camvid inspect inspect-apply predict report doctor docs coverage clean FORCE

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | awk -F'\t' '{printf "  make %-14s %s\n", $$1, $$2}'

# EXTRAS on the command line installs anew; otherwise what is there stays until the lock changes.
.venv/.synced: requirements.lock $(if $(findstring command line,$(origin EXTRAS)),FORCE)
	@$(PYTHON) -c '$(WANTED)'
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@# The uv that the lock pins, by its hashes: the lines of the lock from its name to its last hash.
	@test -x .venv/bin/uv || { sed -n '/^uv==/,/[^\]$$/p' requirements.lock > .venv/uv.txt && .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt; }
	.venv/bin/uv pip install --quiet --exact --python .venv/bin/python --require-hashes -c requirements.lock -r pyproject.toml $(EXTRAS:%=--extra %) --group dev
	@# So that `python -m pipeline` works in the folder of a profile too.
	@echo "$(CURDIR)" > "$$(.venv/bin/python -c 'import site; print(site.getsitepackages()[0])')/segdistill.pth"
	@touch $@

FORCE:

setup: .venv/.synced  ## install the hashed lock into .venv (again: does nothing); fewer packages: EXTRAS="openvino s3"

lock: setup  ## resolve pyproject.toml anew into requirements.lock, with the list of licenses beside it
	$(COMPILE) $(EXTRAS:%=--extra %) --group dev pyproject.toml -o requirements.lock
	$(COMPILE) segdistill_runtime/bundle_files/requirements.txt -o segdistill_runtime/bundle_files/requirements.lock
	python -m pipeline licenses

demo: setup  ## the whole pipeline on the embedded dataset; the report is reports/index.html
	@python -m pipeline repro
	@echo "open $(CURDIR)/reports/index.html"

lint: setup
	ruff check .
	ruff format --check .
	pyright --pythonpath .venv/bin/python
	python -m docs.prose

# One thread for each worker: two workers with two threads on two cores wait for each other (441 s instead of 106 s).
# Whole files for each, so that what a file trains once is not trained twice; in the order of tests/conftest.py.
# A worker that crashes ends the run: xdist would start another, and give it the same test for ever.
PYTEST = OMP_NUM_THREADS=1 python -m pytest -n $(TEST_WORKERS) --max-worker-restart 0 --dist loadfile --no-loadscope-reorder $(PYTEST_FLAGS)

test: lint  ## what to run at every change, 6 minutes: lint, types, tests, one small pipeline
	$(PYTEST) -m "not slow and not faults"

test-all: setup  ## what `make test` leaves out, 20 minutes: pipelines, benchmarks, faults in short, more random inputs
	$(PYTEST) -m "slow or (hypothesis and not faults)" --hypothesis-profile thorough

test-faults: setup  ## kills at 20 moments, full disks, hostile files for ten minutes: what test-all runs in short
	python -m pytest -m faults -s tests/faults $(PYTEST_FLAGS)

camvid: PROFILE ?= camvid-cpu
camvid: setup  ## real CamVid: make camvid CAMVID=<folder> [WEIGHTS=<folder of ImageNet weights>] [PROFILE=camvid-cpu]
	@python -m pipeline link-data --profile $(PROFILE) "$(CAMVID)" $(if $(WEIGHTS),--weights "$(WEIGHTS)")
	@python -m pipeline repro --profile $(PROFILE)
	@echo "open $(CURDIR)/profiles/$(PROFILE)/reports/index.html"

inspect: setup  ## look at samples and predictions in FiftyOne: make inspect [PROFILE=camvid-cpu] [ARGS="--port 5152"]
	@exec python -m pipeline inspect open $(if $(PROFILE),--profile $(PROFILE)) $(ARGS)

inspect-apply: setup  ## write the tags drop and fix_label of FiftyOne into review.csv [PROFILE=camvid-cpu]
	@exec python -m pipeline inspect apply $(if $(PROFILE),--profile $(PROFILE))

$(SMALL)/.synced: segdistill_runtime/bundle_files/requirements.lock
	@$(PYTHON) -m venv $(SMALL)
	@$(SMALL)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

predict: $(PREDICTOR)/.synced  ## segment one picture: make predict IMAGE=<file> [MODEL=<bundle>]
	@$(PREDICTOR)/bin/python -m segdistill_runtime predict "$(IMAGE)" --bundle "$(MODEL)"

report: setup  ## where the report is, and whether it is up to date
	@dvc --wait-for-lock status report && echo "$(CURDIR)/reports/index.html"

doctor: setup  ## check what this machine can do
	@python -m pipeline doctor

docs: setup  ## the documentation as a site in site/, built without a network
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet
	@echo "open $(CURDIR)/site/index.html"

coverage: setup  ## the share of lines that make test runs, stages and commands included
	$(PYTEST) -m "not slow and not faults" --cov --cov-report=term:skip-covered

clean:  ## remove what stages and tests wrote (not .venv, not data/raw, not DVC's cache, not the App's database: tags may wait there)
	rm -rf data/prepared data/curated artifacts $(filter-out scratch/inspect,$(wildcard scratch/*)) reports/index.html reports/pictures reports/curation reports/curation.md .pytest_cache .ruff_cache .hypothesis
