# Two commands do everything on a fresh machine: `make train` and `make test`.
# VENV names the virtual environment, ARGS goes to train.py.

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

# Else every program that the tests start compiles the sources and libraries again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: train test test-long test-slow lint docs

train: $(VENV)/.run
	$(BIN)/python train.py $(ARGS)
	$(BIN)/python evaluate.py

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --dist loadfile

test-long: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --dist loadfile -m long

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.dev
	$(BIN)/mkdocs build --strict
	@echo "open build/site/index.html"

$(VENV)/.run: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[train]'
	touch $@

$(VENV)/.dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.run
