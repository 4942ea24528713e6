# Everything on a fresh machine that has Python 3.11+ and make.
#   make demo    set up, train, evaluate and explain a network on real data
#   make test    set up, run all tests
#   make lint    formatting, lint and types
#   make bench   compare with PyTorch, Keras, JAX and scikit-learn on this machine

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PY := $(BIN)/python

.PHONY: demo test lint format bench clean

demo: $(VENV)/.demo
	$(PY) -m lamina demo

test: $(VENV)/.test
	$(PY) -m pytest -n auto --dist worksteal

lint: $(VENV)/.lint
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

format: $(VENV)/.lint
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: $(VENV)/.bench
	$(PY) -m benchmarks.run

$(PY):
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip

# Each target installs only what it needs; the stamp is renewed when pyproject.toml changes.
$(VENV)/.demo: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet -e ".[cli]"
	@touch $@

$(VENV)/.test: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet -e ".[test]"
	@touch $@

$(VENV)/.lint: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet -e ".[test,lint]"
	@touch $@

$(VENV)/.bench: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet -e ".[bench]"
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
