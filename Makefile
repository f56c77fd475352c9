# Every target installs what it needs. Python (3.11, 3.12 or 3.13), pip and make must be installed.
# The first interpreter in this list that works is used, also of pyenv and uv. To use another one:
# make PYTHON=/path/to/python3.11 ... The releases of JAX since 0.11 need Python 3.12, and on a CPU they train faster
# than the last one for Python 3.11 (benchmarks/NOTES.md).
PYENV_ROOT ?= $(HOME)/.pyenv
UV_PYTHON_INSTALL_DIR ?= $(HOME)/.local/share/uv/python
PYTHONS := $(foreach v,3.13 3.12 3.11,python$(v) $(wildcard \
	$(PYENV_ROOT)/versions/$(v).*/bin/python$(v) $(UV_PYTHON_INSTALL_DIR)/cpython-$(v).*/bin/python$(v))) python3
IS_SUPPORTED := import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in $(PYTHONS); do $$p -c '$(IS_SUPPORTED)' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help install hooks quickstart test test-slow coverage docs lint types format dist clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

# The package is installed again only if the requirements change.
$(VENV)/installed: setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 found; name one: make PYTHON=/path/to/python3.12 ..."; exit 1; }
	@$(PYTHON) -c '$(IS_SUPPORTED)' || { echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13 with venv."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test,dev]'
	@touch $@

install: $(VENV)/installed  ## Make the virtual environment and install the package in it

hooks: $(VENV)/installed  ## Install git hooks that check style and types before each commit
	$(BIN)/pre-commit install

quickstart: $(VENV)/installed  ## Pre-train SMAC and TD3+BC on half cheetah data, transfer both to SAC, and show the results
	$(BIN)/smac-jax sweep --task=halfcheetah-medium-replay --offline=smac,td3_bc --online=sac --seeds=3 \
		--config=quickstart --results=results/quickstart --arithmetic

test: $(VENV)/installed  ## Run the tests (38 minutes of processor time, most of it compilation)
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: $(VENV)/installed  ## Run the tests that train to a score, compile for long, or build the package
	$(BIN)/python -m pytest -m slow

coverage: $(VENV)/installed  ## Run the tests, and report which lines they execute (build/coverage/index.html)
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term:skip-covered --cov-report=html

# The site has a separate environment, because it is built from the source without importing it.
$(VENV)-docs/installed: setup.cfg
	$(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/pip install --quiet --disable-pip-version-check $$(sed -n '/^docs =/,/^[^ ]/s/^    \([^#]\)/\1/p' setup.cfg)
	@touch $@

docs: $(VENV)-docs/installed  ## Build the documentation in build/docs
	NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build --strict -f docs/mkdocs.yml

lint: $(VENV)/installed  ## Check style, and the layers of imports
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports --no-logo --no-cache

types: $(VENV)/installed  ## Check types
	$(BIN)/mypy smac_jax experiments benchmarks

dist: $(VENV)/installed  ## Build and check the wheel and the source archive (dist/)
	rm -rf dist build/lib build/bdist*
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*

format: $(VENV)/installed  ## Format the code in place
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

clean:  ## Remove the virtual environments, builds and caches
	rm -rf $(VENV) $(VENV)-docs .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage build dist *.egg-info
