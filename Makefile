# make setup | quickstart | test | lint | bench
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup quickstart test lint bench
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
