# Every target sets itself up: the first one on a fresh machine makes the virtual environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(VENV)/.peers
TYPES := .build/types
WORKERS ?= 2

export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help setup demo test test-colab check docs format bench bench-quick bench-calls bench-stores clean

help:
	@echo "make demo        kill a training twice, and see it end with the same bits"
	@echo "make test        all tests"
	@echo "make test-colab  the notebook's tests beside the packages that Colab ships"
	@echo "make check       lint, format, types, layers"
	@echo "make docs        the site of the documentation, in site/"
	@echo "make bench       what Holdfast costs, beside Keras', TensorFlow's and Orbax' own; about an hour"
	@echo "make bench-quick the same on small models, in some minutes"
	@echo "                 ONLY=lost, ONLY=dense:free: one part of either"
	@echo "make bench-calls what the runtime costs tiny calls"
	@echo "make bench-stores how fast stores are, beside plain copies and GCS's own client"

setup: $(READY)

$(READY): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@echo "Installing Holdfast and TensorFlow into $(VENV); this takes some minutes."
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

demo: $(READY)
	$(BIN)/python examples/demo.py --out demo-out

# Two at a time, a file in one process: most tests wait for other processes.
test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test-colab:
	$(PYTHON) tests/colab_environment.py .build/colab

# mypy and import-linter want the names under which the folders are installed.
$(TYPES): $(READY)
	mkdir -p $(TYPES)/holdfast
	ln -sfn ../../../runtime $(TYPES)/holdfast/runtime
	ln -sfn ../../../hooks $(TYPES)/holdfast/hooks
	ln -sfn ../../colab_bootstrap.py $(TYPES)/colab_bootstrap.py
	touch $@

check: $(TYPES)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=$(TYPES) $(BIN)/mypy --explicit-package-bases -p holdfast.runtime -p holdfast.hooks -m colab_bootstrap
	MYPYPATH=$(TYPES):tests:tests/exactness:tests/keras2:tests/loops:examples:benchmarks \
		$(BIN)/mypy --explicit-package-bases tests benchmarks examples
	PYTHONPATH=$(TYPES) $(BIN)/lint-imports --config setup.cfg

# Strict: a link that leads nowhere is an error. Not quiet: mkdocs counts only the warnings that it shows.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A peer that cannot be had is left out, and the results say so.
$(PEERS): $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]' \
		&& touch $@ || echo "Orbax could not be installed; it is left out"

bench: $(PEERS)
	$(BIN)/python benchmarks/bench.py $(addprefix --only=,$(ONLY))

bench-stores: $(READY)
	$(BIN)/python benchmarks/stores.py

bench-calls: $(READY)
	$(BIN)/python benchmarks/calls.py

bench-quick: $(PEERS)
	$(BIN)/python benchmarks/bench.py --quick $(addprefix --only=,$(ONLY))

clean:
	rm -rf $(VENV) .build site demo-out benchmarks/out
