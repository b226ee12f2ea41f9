# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo dev test lint format lock clean

demo: $(VENV)/installed
	$(BIN)/transak-drift demo

dev: $(VENV)/installed
	$(BIN)/transak-drift dev

test: lint
	$(BIN)/pytest -n 4 --dist loadgroup --no-loadscope-reorder

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The locked versions of every package, for all supported Pythons.
lock:
	uv pip compile --universal --python-version 3.11 --all-extras --output-file requirements.lock pyproject.toml

$(VENV)/installed: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

clean:
	rm -rf $(VENV) .transak_drift
