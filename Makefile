# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo dev test test-fast lint format lock clean

help: ## Show this list.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/installed ## Run the whole loop for real, and check each step.
	$(BIN)/transak-drift demo

dev: $(VENV)/installed ## Start the Dagster UI with everything up.
	$(BIN)/transak-drift dev

test: lint ## Lint, check types, and run every test.
	$(BIN)/pytest -n 4

FAST := config drift training trigger reports notifications test_layering.py
test-fast: $(VENV)/installed ## Run the tests of the pure packages, in under a minute.
	$(BIN)/pytest -q $(addprefix transak_drift_tests/,$(FAST)) -m "not slow"

lint: $(VENV)/installed ## Check style, formatting and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check

format: $(VENV)/installed ## Fix style and formatting.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## Lock the versions of every package, for all supported Pythons.
	uv pip compile --universal --python-version 3.11 --all-extras --output-file requirements.lock pyproject.toml

$(VENV)/installed: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

clean: ## Remove the virtual environment and the local platform's data.
	rm -rf $(VENV) .transak_drift
