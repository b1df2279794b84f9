# Every target sets up what it needs: a virtual environment in .venv, made anew whenever pyproject.toml changes.
#   make study    the main job on scikit-learn's digits; prints where the report is
#   make test     the tests (without the slow ones), with the examples of the documents
#   make slow     the slow tests
#   make bench    the benches; figures go to bench/results/
#   make lint     formatter and linter; `make format` mends what it can
#   make types    the type checker on src
#   make docs     the documents as a site in site/

PYTHON ?= python3
BIN := .venv/bin
STUDY ?= study-digits
# PyTorch comes by itself and first, in the version whose build for the CPU is small.
TORCH ?= ==2.13.0
BENCHES := $(filter-out bench/record.py bench/graph_files.py,$(wildcard bench/*.py))

.PHONY: study test slow bench lint format types docs setup browser clean
.DELETE_ON_ERROR:

study: .venv/installed
	$(BIN)/ntkit study --data digits --net mlp --finite 512 --out $(STUDY) --overwrite

test: .venv/installed-test browser
	$(BIN)/python -m pytest -n 2 --dist worksteal

slow: .venv/installed-test browser
	$(BIN)/python -m pytest -m slow

bench: .venv/installed-test
	@for bench in $(BENCHES); do echo "== $$bench"; $(BIN)/python $$bench || exit 1; done

lint: .venv/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: .venv/installed-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: .venv/installed-test
	$(BIN)/mypy

docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

setup: .venv/installed-test browser

clean:
	rm -rf .venv site build dist

# The library and the command alone, then what tests and documents need on top. pip is quiet unless something is wrong.
.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'ntkit needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...'; exit 1; }
	@echo 'Setting up .venv (once; a minute or two) ...'
	@$(PYTHON) -m venv --clear .venv || \
		{ rm -rf .venv; echo 'No virtual environment could be made; on Debian: apt-get install python3-venv'; exit 1; }
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/installed-test: .venv/installed
	@echo 'Installing what the tests need ...'
	@$(BIN)/python -m pip install --quiet 'torch$(TORCH)'
	@$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

.venv/installed-docs: .venv/installed
	@$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@

# The test of the report opens it in Chromium. Where there is none and none can be installed, that test is skipped and says so.
browser:
	@if ! command -v chromium >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo 'Installing chromium ...'; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium; } \
			>/dev/null || echo 'chromium could not be installed: the test of the report in a browser will be skipped'; \
	fi
