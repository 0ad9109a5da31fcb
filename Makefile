PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help start test check format bench image-check clean

help: ## Show what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

start: $(VENV)/.runs ## Run the sample apps on the embedded task hub
	$(BIN)/func-py start

test: check $(VENV)/.azurite ## Run the checks, then every test
	$(BIN)/pytest -q

check: $(VENV)/.develops ## Lint, format check, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.develops ## Format the code and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.azurite ## Run the benchmark programs
	cd tests && ../$(BIN)/python -m benchmarks

image-check: $(VENV)/.develops ## Build the image of a packed app without an engine, and test it
	cd tests && ../$(BIN)/python -m image ../$(VENV)/image $(abspath $(IMAGE_BASE))

clean: ## Remove what the targets above made
	rm -rf $(VENV) .func-py .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The stamp files say for which pyproject.toml the environment was made.
$(VENV)/.runs: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade "pip>=25.1"
	$(PIP) install --editable .
	touch $@

$(VENV)/.develops: $(VENV)/.runs
	$(PIP) install --group dev
	touch $@

# The emulator of Azure Storage, for the tests.
$(VENV)/.azurite: $(VENV)/.develops
	npm install --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --omit=dev \
		--loglevel=error --prefix $(VENV)/azurite azurite@3
	touch $@
