# install, demo, test: the three that a user needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo-out

.PHONY: install demo test check lint bench clean

install: $(BIN)/thcli

$(BIN)/thcli: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(BIN)/thcli

demo: install
	$(BIN)/thcli weights pull
	$(BIN)/thcli demo --output $(DEMO) --overwrite

test: install
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

check: lint
	$(BIN)/mypy

bench: install
	$(BIN)/thcli bench

clean:
	rm -rf $(VENV) $(DEMO) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
