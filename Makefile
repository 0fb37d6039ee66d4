# Everything a newcomer needs: `make demo` and `make test`. Both create the environment first.

# The oldest there is of those that the packages in the lock have wheels for.
PYTHON ?= $(or $(firstword $(foreach version,3.11 3.12 3.13,$(shell command -v python$(version);))),python3)
VENV := .venv
BIN := $(VENV)/bin
# What everybody needs; what tests and the study need on top of it.
READY := $(VENV)/.ready
TESTS_READY := $(VENV)/.tests-ready
PYTHON_PACKAGES := ca-certificates python3-venv
# pesq comes as source: it needs a compiler and Python's headers.
HEADER_PACKAGES := g++ python3-dev
HAS_HEADERS := $(PYTHON) -c 'import os, shutil, sysconfig; \
	exit(not (shutil.which("g++") and os.path.exists(sysconfig.get_path("include") + "/Python.h")))'
# What synthetic voices are phonemized with.
TEST_PACKAGES := espeak-ng

.PHONY: demo test python-test lint lock clean

demo: $(READY)  ## corpus -> dense -> sparse int8 -> Vela -> quality -> report, in ten minutes
	$(BIN)/python -m pipeline.run --config configs/demo.toml

test: lint  ## static checks and all tests: the firmware's are built and run beside Python's
	$(MAKE) --jobs=2 --output-sync=line python-test firmware-test

python-test: $(TESTS_READY)
	firmware/third_party/install_packages.sh $(TEST_PACKAGES)
	$(BIN)/python -m pytest --no-skips

lint: $(TESTS_READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy pipeline

$(READY): pyproject.toml requirements.lock
	$(PYTHON) -c 'import ensurepip' || firmware/third_party/install_packages.sh $(PYTHON_PACKAGES)
	$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or \
		sys.exit("$(PYTHON) is Python %d.%d; name one of 3.11 to 3.13: PYTHON=..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(TESTS_READY): $(READY) requirements-dev.lock
	$(HAS_HEADERS) || firmware/third_party/install_packages.sh $(HEADER_PACKAGES)
	$(BIN)/pip install --quiet --require-hashes -r requirements-dev.lock
	touch $@

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links

lock: ## resolve pyproject.toml again: what everybody needs, and with it what tests, study and pretraining do
	$(BIN)/pip install --quiet uv
	$(LOCK) --extra dev --extra gpu --extra pesq --extra study --output-file requirements-dev.lock pyproject.toml
	$(LOCK) --constraint requirements-dev.lock --output-file requirements.lock pyproject.toml

-include firmware/targets.mk

clean:
	rm -rf $(VENV) runs build
