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
TEST_WORKERS ?= 2
# The folder of the profile that was asked for, if only by CAMVID, whose default it then is; the root where none was.
HERE = $(if $(CAMVID)$(filter-out undefined file,$(origin PROFILE)),profiles/$(PROFILE),.)

.PHONY: help setup lock demo test lint unit smoke test-faults camvid camvid-links compare inspect inspect-apply bench-train bench-data bench-determinism bench-growth bench-curation bench-mistakes bench-shifts bench-bundle compare-releases signing-key publish fetch-release recover check-store licenses audit predict report doctor clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | awk -F'\t' '{printf "  make %-17s %s\n", $$1, $$2}'

$(STAMP): requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else f"segdistill needs Python 3.11 or 3.12, {sys.executable} is {v[0]}.{v[1]}. Point PYTHON at one: make PYTHON=python3.11 setup")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# The uv that the lock pins, by its hashes: the lines of the lock from its name to its last hash.
	@test -x $(BIN)/uv || { sed -n '/^uv==/,/[^\]$$/p' requirements.lock > $(VENV)/uv.txt && $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt; }
	@# Bytecode once, here: where Python may not write it later, every stage would compile torch anew.
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	@touch $@

setup: $(STAMP)  ## make .venv and install the hashed lock into it (again: does nothing)

lock: $(STAMP)  ## resolve pyproject.toml anew into requirements.lock, with the list of licenses beside it
	uv pip compile --quiet --python-version 3.11 --universal --group dev --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml -o requirements.lock
	uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-annotate --no-header pipeline/deploy/bundle/requirements.txt -o pipeline/deploy/bundle/requirements.lock
	python -m pipeline.supply licenses

demo: recover  ## the whole pipeline on the embedded dataset; the report is reports/index.html
	dvc repro
	@echo "open $(CURDIR)/reports/index.html"

test: lint unit smoke  ## everything that CI checks: lint, types, unit tests, the pipeline on a toy

lint: setup
	ruff check .
	ruff format --check .
	pyright --pythonpath $(BIN)/python

# Two workers with two threads each on two cores wait for each other: tests/training and tests/distillation take 441 s,
# with a thread each 106 s (AMD EPYC, f737980).
unit: setup
	OMP_NUM_THREADS=1 python -m pytest -m "not smoke and not faults" -n $(TEST_WORKERS) $(PYTEST_FLAGS)

smoke: setup
	OMP_NUM_THREADS=1 python -m pytest -m smoke -n $(TEST_WORKERS) --dist loadfile $(PYTEST_FLAGS)

test-faults: setup  ## kills at 20 moments, full disks, hostile files for ten minutes: what CI runs in short
	python -m pytest -m faults -s tests/faults $(PYTEST_FLAGS)

# Links to real images and weights in the profile's folder, where CAMVID names some.
camvid-links:
	@test -z "$(CAMVID)" -o -d "$(CAMVID)" || { echo "CAMVID=$(CAMVID) is no folder; it is one with train/ trainannot/ val/ ..."; exit 2; }
	@test -z "$(WEIGHTS)" -o -f "$(WEIGHTS)" || { echo "WEIGHTS=$(WEIGHTS) is no file; it is an ImageNet ResNet-50 in safetensors"; exit 2; }
	@test -z "$(WEIGHTS)" -o -n "$(CAMVID)" || { echo "WEIGHTS goes with CAMVID=<folder>: both are linked into the profile's folder"; exit 2; }
	@if test -n "$(CAMVID)"; then mkdir -p profiles/$(PROFILE)/data && ln -sfn "$(abspath $(CAMVID))" profiles/$(PROFILE)/data/raw; fi
	@if test -n "$(WEIGHTS)"; then ln -sfn "$(abspath $(WEIGHTS))" profiles/$(PROFILE)/data/weights.safetensors; fi

camvid: setup camvid-links  ## real CamVid: make camvid CAMVID=<folder> [WEIGHTS=<resnet50.safetensors>] [PROFILE=camvid-cpu]
	@test -n "$(CAMVID)" || { echo "make camvid CAMVID=<folder with train/ trainannot/ val/ ...> [WEIGHTS=<file>] [PROFILE=$(PROFILE)]"; exit 2; }
	@cd profiles/$(PROFILE) && PYTHONPATH=$(CURDIR) python -m pipeline.versions recover
	cd profiles/$(PROFILE) && dvc repro
	@echo "open $(CURDIR)/profiles/$(PROFILE)/reports/index.html"

METHODS ?=
SEEDS ?= 3
SPLIT ?=
RECIPE ?=
compare: camvid-links recover  ## which method gains: make compare [METHODS="none gdd cwd"] [SEEDS=3] [SPLIT=val] [RECIPE=<run>] [PROFILE=camvid-cpu] [CAMVID=<folder> WEIGHTS=<file>]
	cd $(HERE) && dvc repro teacher pretrain && \
	  PYTHONPATH=$(CURDIR) python -m pipeline.comparison $(METHODS) --seeds $(SEEDS) $(if $(SPLIT),--split $(SPLIT)) $(if $(RECIPE),--recipe $(RECIPE))

PORT ?= 5151
ADDRESS ?= 127.0.0.1
inspect: setup  ## look at samples and predictions in FiftyOne: make inspect [PROFILE=camvid-cpu] [PORT=5151] [ADDRESS=127.0.0.1]
	@cd $(HERE) && \
	  PYTHONPATH=$(CURDIR) exec python -m pipeline.inspection open --address $(ADDRESS) --port $(PORT)

inspect-apply: setup  ## write what was tagged drop or fix_label in FiftyOne into review.csv [PROFILE=camvid-cpu]
	@cd $(HERE) && \
	  PYTHONPATH=$(CURDIR) exec python -m pipeline.inspection apply

bench-curation: setup  ## what curation costs for so many images, and for a few more (BENCH="--images 1000")
	PYTHONPATH=$(CURDIR) python -m benchmarks.curation $(BENCH)

bench-mistakes: setup  ## are planted label mistakes found? [PROFILE=camvid-cpu] (BENCH="--seed 1")
	PYTHONPATH=$(CURDIR) python -m benchmarks.mistakes --profile $(HERE) $(BENCH)

bench-shifts: setup  ## are masks found that were moved? [PROFILE=camvid-cpu] (BENCH="--split train")
	PYTHONPATH=$(CURDIR) python -m benchmarks.shifts --profile $(HERE) $(BENCH)

bench-bundle: setup  ## what a bundle asks of its receiver, in a fresh environment (BUNDLE=artifacts/release/<run> BENCH="--extra openvino")
	@test -d "$(BUNDLE)" || { echo "make bench-bundle BUNDLE=artifacts/release/<run>"; exit 2; }
	PYTHONPATH=$(CURDIR) python -m benchmarks.bundle $(BUNDLE) $(BENCH)

bench-data: setup  ## does the loader keep up with the step? on the data of PROFILE, or the embedded
	PYTHONPATH=$(CURDIR) python -m benchmarks.data --profile $(HERE) $(BENCH)

bench-growth: setup  ## what more images, larger batches and crops cost (BENCH="--images 1000")
	PYTHONPATH=$(CURDIR) python -m benchmarks.growth $(BENCH)

bench-determinism: setup  ## does a training end in the same bytes again, and what does it cost to be sure?
	PYTHONPATH=$(CURDIR) python -m benchmarks.determinism $(BENCH)

bench-train: setup  ## images per second of the training step, beside a plain one (BENCH="--methods gdd" ...)
	PYTHONPATH=$(CURDIR) python -m benchmarks.train $(BENCH)

RUN ?= pspnet_r18_gdd
A ?=
B ?=
compare-releases: setup  ## what changed: make compare-releases A=<folder or REVISION:RUN> B=<the same> [RUN=<run>] [PROFILE=camvid-cpu]
	@test -n "$(A)" -a -n "$(B)" || { echo "make compare-releases A=<folder or REVISION:RUN> B=<the same> [RUN=<run>]"; exit 2; }
	@cd $(HERE) && PYTHONPATH=$(CURDIR) python -m pipeline.releases_compared "$(A)" "$(B)" $(if $(filter command,$(firstword $(origin RUN))),--run $(RUN))

KEY ?=
signing-key: setup  ## a key pair to sign releases with: make signing-key KEY=<file>; then SEGDISTILL_SIGNING_KEY=<file> dvc repro
	@test -n "$(KEY)" || { echo "make signing-key KEY=<file>"; exit 2; }
	@python -m pipeline.deploy.signing make-key "$(KEY)"

VERSION ?=
REMOTE ?=
PUBLIC_KEY ?=
REPO ?= .
# In `make fetch-release NAME@VERSION` the second word is no target of its own; the colon of a profile's name is escaped.
ifeq (fetch-release,$(firstword $(MAKECMDGOALS)))
RELEASE ?= $(word 2,$(MAKECMDGOALS))
$(if $(word 2,$(MAKECMDGOALS)),$(eval $(subst :,\:,$(word 2,$(MAKECMDGOALS))): ; @:))
endif
OUT ?= fetched/$(subst :,/,$(RELEASE))

publish: setup  ## give a released run a version: make publish RUN=<run> VERSION=<1.0.0> [PROFILE=camvid-cpu] [REMOTE=<name>]
	@test -n "$(VERSION)" || { echo "make publish RUN=<run> VERSION=<1.0.0> [PROFILE=<profile>] [REMOTE=<name>]"; exit 2; }
	@cd $(HERE) && PYTHONPATH=$(CURDIR) python -m pipeline.versions publish "$(RUN)" "$(VERSION)" \
	  $(if $(REMOTE),--remote $(REMOTE)) $(if $(PUBLIC_KEY),--public-key "$(abspath $(PUBLIC_KEY))")

fetch-release: setup  ## get a version and verify it: make fetch-release NAME@VERSION [REPO=<folder or URL>] [OUT=<folder>] [PUBLIC_KEY=<file>]
	@test -n "$(RELEASE)" || { echo "make fetch-release NAME@VERSION [REPO=<folder or URL>] [OUT=<folder>]"; exit 2; }
	@python -m pipeline.versions fetch "$(RELEASE)" --out "$(OUT)" --repo "$(REPO)" \
	  $(if $(REMOTE),--remote $(REMOTE)) $(if $(PUBLIC_KEY),--public-key "$(PUBLIC_KEY)")

recover: setup  ## after a power cut: remove what DVC was writing just then, if it cannot read it any more [PROFILE=camvid-cpu]
	@cd $(HERE) && PYTHONPATH=$(CURDIR) python -m pipeline.versions recover

check-store: setup  ## hash every object of DVC's cache, with REMOTE=<name> of a remote too, and name the damaged ones
	@python -m pipeline.versions check $(if $(REMOTE),--remote $(REMOTE))

licenses: setup  ## bring licenses.csv beside each lock up to date (asks the package index about what is not installed here)
	@python -m pipeline.supply licenses

SERVICE ?=
audit: setup  ## hashes, licenses and known vulnerabilities of everything that is locked [SERVICE=<address like osv.dev's>]
	@python -m pipeline.supply audit $(if $(SERVICE),--service "$(SERVICE)")

MODEL ?= $(if $(filter command,$(firstword $(origin RUN))),$(HERE)/artifacts/release/$(RUN),releases/camvid_pspnet_r18)
# The few packages of a bundle are there in seconds, those of the project in minutes: who has the latter needs no second set.
PREDICTOR := scratch/predictor
PREDICT_WITH = $(if $(wildcard $(STAMP)),$(BIN)/python,$(PREDICTOR)/bin/python)

$(PREDICTOR)/.synced: pipeline/deploy/bundle/requirements.lock
	@$(PYTHON) -m venv $(PREDICTOR)
	@$(PREDICTOR)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

predict: $(if $(wildcard $(STAMP)),,$(PREDICTOR)/.synced)  ## segment one picture: make predict IMAGE=<file> [MODEL=releases/<name>] [RUN=<run of a repro>] [PROFILE=camvid-cpu]
	@test -f "$(IMAGE)" -a -f "$(MODEL)/predict.py" || { echo "make predict IMAGE=<file> [MODEL=<folder of a bundle>] or [RUN=<released run>]; bundles here: $(wildcard releases/*/) $(wildcard artifacts/release/*/)"; exit 2; }
	@$(PREDICT_WITH) "$(MODEL)/predict.py" "$(IMAGE)"

report:  ## where the report lies, and whether it is up to date
	@dvc status report && echo "$(CURDIR)/reports/index.html"

doctor: setup  ## what of all this works on this machine
	@python -m pipeline.doctor

clean:  ## remove what stages and tests wrote (not .venv, not DVC's cache, not the App's database: tags may wait there)
	rm -rf data artifacts $(filter-out scratch/inspect,$(wildcard scratch/*)) reports/index.html reports/pictures reports/curation reports/curation.md .pytest_cache .ruff_cache .hypothesis
