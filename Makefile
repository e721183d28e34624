# demo | check | test | lint | docs | reference | bench | fuzz | torture | torture-short | same-bits: everything happens in .venv.
PYTHON ?= python3
BIN := .venv/bin
ROUNDS ?= 5
# Thousands of processes start in the tests; without compiled code each would compile the runner again.
unexport PYTHONDONTWRITEBYTECODE

# uv where a user has it, else the pip of .venv. Neither compiles all modules, which takes half of an install: Python
# compiles those that are used, when they are used for the first time.
INSTALL = $(if $(shell command -v uv),uv pip install --quiet --python $(BIN)/python,$(BIN)/pip install --quiet \
  --disable-pip-version-check --no-compile) -c constraints.txt

.venv/installed: setup.cfg constraints.txt  ## what a study needs, and no more
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(INSTALL) -e '.[torch]'
	touch $@

.venv/dev: .venv/installed  ## linters, type checkers, test tools and what builds the documentation
	$(INSTALL) -e '.[torch,dev]'
	touch $@

.venv/bench: .venv/dev
	$(INSTALL) -e '.[torch,bench]'
	touch $@

.PHONY: demo check test lint docs reference bench torture torture-short fuzz same-bits

demo: .venv/installed  ## a real study in about two minutes
	$(BIN)/runner run experiments/pooling_vs_stride.yaml

check: lint  ## the inner loop: lint, types, contracts, the unit tests that are quick; CONTRIBUTING.md says how long it takes
	$(BIN)/pytest tests/unit -m 'not slow and not long' -n 2 --dist loadfile

test: .venv/dev  ## everything that is not long; three at a time on two cores, as system tests often wait for processes
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

lint: .venv/dev  ## two test files of one name can't be collected together
	@twice=$$(find tests -name 'test_*.py' | sed 's|.*/||' | sort | uniq -d); \
	  [ -z "$$twice" ] || { echo "two test files have the same name: $$twice" >&2; exit 1; }
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/dev  ## the documentation as a site, in build/docs; a broken link or an unlisted page is an error
	$(BIN)/sphinx-build -q -W --keep-going -c docs/tools -d build/doctrees . build/docs

reference: .venv/dev  ## the pages that follow from the code, and the record of runner.api
	$(BIN)/python docs/tools/api_record.py
	$(BIN)/python docs/tools/reference.py

bench: BASE ?= 667660a
bench: .venv/bench  ## ratios in one run, beside the build BASE=COMMIT and peers; CIFAR10=FOLDER for the grid medium
	$(BIN)/python benchmarks/builds.py $(BASE) --rounds $(ROUNDS)
	$(BIN)/python benchmarks/engines.py
	$(BIN)/python benchmarks/augmentation.py
	$(BIN)/python benchmarks/stacking.py
	-$(BIN)/python benchmarks/loading.py
	$(BIN)/python benchmarks/report.py
	$(BIN)/python benchmarks/latency.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/publishing.py
	$(BIN)/python benchmarks/live.py
	-$(BIN)/python benchmarks/mlflow_ui.py
	$(BIN)/python benchmarks/against_peers.py --rounds $(ROUNDS)

torture: .venv/dev  ## the long tests, then 200 kills and more, about half an hour: docs/explanation/reliability.md
	$(BIN)/pytest -m long
	PYTHONPATH=tests/helpers $(BIN)/python tests/stress/torture.py
	PYTHONPATH=tests/helpers $(BIN)/python tests/stress/adaptive.py
	PYTHONPATH=tests/helpers $(BIN)/python tests/stress/ray_kills.py

torture-short: .venv/dev  ## the part of it that runs on every change: what begins within 5 minutes
	PYTHONPATH=tests/helpers $(BIN)/python tests/stress/torture.py --minutes 5

fuzz: .venv/dev  ## 20,000 cases of bad input: docs/explanation/reliability.md
	PYTHONPATH=tests/helpers $(BIN)/python tests/stress/fuzz.py

same-bits: .venv/dev  ## BASE=COMMIT: the same fits and tables as an earlier commit, on both engines
	$(BIN)/python tests/stress/same_bits_as.py $(BASE)
