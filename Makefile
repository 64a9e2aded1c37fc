# make quickstart   set up, build the quickstart bundle, verify it, transcribe a recording with it
# make test         set up, pass all checks and tests
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
UV = VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install -q
RECIPE := recipes/quickstart
KEYS := $(RECIPE)/keys
BUNDLE := artifacts/digits-cards-1.0.0-cpu/bundle

.PHONY: quickstart test check unit lock

quickstart: $(VENV)/build.stamp $(KEYS)/vendor.pem $(KEYS)/vendor.mark $(KEYS)/acme.key
	$(BIN)/asrpack build $(RECIPE)/recipe.yaml --build cpu
	$(BIN)/asrpack verify $(BUNDLE) --trust $(KEYS)/vendor.pub
	$(BIN)/asrpack run $(BUNDLE) $(RECIPE)/data/human/001.wav \
	  --identity $(KEYS)/acme.key --trust $(KEYS)/vendor.pub
	@echo "next: $(BIN)/asrpack init MODEL -o recipe.yaml writes a recipe for a model of your own"

$(KEYS)/vendor.pem: | $(VENV)/build.stamp
	$(BIN)/asrpack keys generate signing -o $@

$(KEYS)/vendor.mark: | $(VENV)/build.stamp
	$(BIN)/asrpack keys generate watermark -o $@

$(KEYS)/acme.key: | $(VENV)/build.stamp
	$(BIN)/asrpack keys generate recipient -o $@

test: check unit

check: $(VENV)/all.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/all.stamp $(VENV)/newest-paddle
	$(BIN)/pytest -n 2 --dist loadgroup

# The lock file pins every package of every extra.
$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --constraint requirements.lock uv

$(VENV)/build.stamp: pyproject.toml requirements.lock | $(BIN)/uv
	$(UV) --constraint requirements.lock -e ".[build]"
	touch $@

$(VENV)/all.stamp: pyproject.toml requirements.lock | $(BIN)/uv
	$(UV) --requirement requirements.lock
	$(UV) --no-deps -e .
	touch $@ $(VENV)/build.stamp

# Builds run on it, PaddleSpeech does not: a folder of its own, which one test puts first.
$(VENV)/newest-paddle: | $(BIN)/uv
	$(BIN)/uv pip install -q --no-deps --target $@ --python $(BIN)/python paddlepaddle==3.3.1

lock: $(VENV)/all.stamp
	$(BIN)/uv pip compile pyproject.toml --all-extras --python-version 3.11 --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links --upgrade -o requirements.lock
