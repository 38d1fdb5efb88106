# install, demo, test: the three that a user needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo-out
LOWEST ?= .venv-lowest

.PHONY: install demo test check lint docs bench fuzz lowest clean

install: $(BIN)/thcli

$(BIN)/thcli: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(BIN)/thcli

demo: install
	$(BIN)/thcli weights pull
	$(BIN)/thcli demo --output $(DEMO) --overwrite

# Of tests and of mypy. Each has one thread, so that two fill two cores.
WORKERS ?= 2
test: install
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

check: lint
	$(BIN)/mypy --num-workers $(WORKERS)

# The pages of docs/ as a web site. The variable silences an advertisement of mkdocs-material.
SITE ?= site
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir $(SITE)

# The oldest versions of the dependencies that pyproject.toml allows, in an environment of its own.
# Its modules are compiled as they are imported: pip would take three times as long for all.
lowest:
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --no-compile --constraint constraints-lowest.txt .
	$(LOWEST)/bin/python -m pip check
	$(LOWEST)/bin/python -P -c 'import importlib, pkgutil, thcli; [importlib.import_module(m.name) \
		for m in pkgutil.walk_packages(thcli.__path__, "thcli.") if m.name != "thcli.__main__"]'
	$(LOWEST)/bin/thcli --help > /dev/null
	$(LOWEST)/bin/thcli doctor
	$(LOWEST)/bin/thcli demo --output $(LOWEST)/demo --overwrite

bench: install
	$(BIN)/thcli bench

# Mutated inputs of every kind; findings are kept in runs/fuzz.
FUZZ ?= 10000
SEED ?= 1
fuzz: install
	$(BIN)/python -m tests.fuzz --count $(FUZZ) --seed $(SEED)

clean:
	rm -rf $(VENV) $(LOWEST) $(DEMO) $(SITE) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
