# demo | test | lint | bench | torture: what the README and CI call. Everything happens in .venv.
PYTHON ?= python3
BIN := .venv/bin

.venv/installed: setup.cfg constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torch,dev]'
	touch $@

.PHONY: demo test lint bench torture

demo: .venv/installed  ## a real study in about two minutes
	$(BIN)/runner run experiments/pooling_vs_stride.yaml

test: .venv/installed
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed  ## ratios measured side by side in one run
	$(BIN)/python benchmarks/engines.py
	$(BIN)/python benchmarks/augmentation.py
	-$(BIN)/python benchmarks/loading.py
	$(BIN)/python benchmarks/report.py

torture: .venv/installed  ## 200 kills and more, about half an hour: docs/explanation/reliability.md
	$(BIN)/python tests/torture.py
