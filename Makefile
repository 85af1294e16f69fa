# Everything a newcomer or CI calls. Needs Python 3.11 or newer, make and git; the rest is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
export TOKENIZERS_PARALLELISM = false

.PHONY: demo test lint bench docs clean
.DEFAULT_GOAL := demo

.venv/runtime: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all]"
	touch $@

.venv/dev: .venv/runtime
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev
	touch $@

demo: .venv/runtime          ## the whole loop on the bundled model, in a few minutes
	$(BIN)/burnish demo --home out/demo --html out/demo/report.html

test: .venv/dev              ## all tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup

lint: .venv/dev              ## style, layers, types, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright
	$(BIN)/codespell

bench: .venv/dev             ## every benchmark, in full
	$(BIN)/python benchmarks/run.py

docs: .venv/dev              ## the documentation as HTML, warnings are errors
	$(BIN)/python -m sphinx -n -W -q docs docs/_build

clean:                       ## remove what the targets above made
	rm -rf .venv out docs/_build
