# Everything a newcomer needs: `make demo` and `make test`. Both create the environment first.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# pesq comes as source: it needs a compiler and Python's headers.
PYTHON_PACKAGES := ca-certificates g++ python3.11-dev python3.11-venv
# What synthetic voices are phonemized with.
TEST_PACKAGES := espeak-ng
HAS_PYTHON := $(PYTHON) -c 'import ensurepip, os, shutil, sysconfig; \
	exit(not (shutil.which("g++") and os.path.exists(sysconfig.get_path("include") + "/Python.h")))'

.PHONY: demo test python-test lint lock clean

demo: $(READY)  ## corpus -> dense -> sparse int8 -> Vela -> quality -> report, in ten minutes
	$(BIN)/python -m pipeline.run --config configs/demo.toml

test: lint  ## static checks and all tests: the firmware's are built and run beside Python's
	$(MAKE) --jobs=2 --output-sync=line python-test firmware-test

python-test: $(READY)
	firmware/third_party/install_packages.sh $(TEST_PACKAGES)
	$(BIN)/python -m pytest --no-skips

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy pipeline

$(READY): pyproject.toml requirements.lock
	$(HAS_PYTHON) || firmware/third_party/install_packages.sh $(PYTHON_PACKAGES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

lock: ## resolve pyproject.toml again into requirements.lock
	$(BIN)/pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url \
		--allow-unsafe --extra dev --extra study --no-emit-find-links --output-file requirements.lock pyproject.toml

-include firmware/targets.mk

clean:
	rm -rf $(VENV) runs build
