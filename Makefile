# Everything happens in .venv, made by the first target that needs it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# uv installs in seconds what takes pip minutes; where it cannot be had, pip does.
install = $(PIP) uv && \
  $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python \
  --constraint constraints.txt $(1) || $(PIP) $(1)

.PHONY: quickstart check test torture bench docs serve-docs format clean

# Without make: `pip install .`, then `mlplab train quickstart`.
quickstart: $(VENV)/.installed
	$(BIN)/mlplab train quickstart

# For the working day: lint, types, and the tests that a change touches.
check: $(VENV)/.installed-dev
	$(BIN)/ruff check src tests benchmarks docs
	$(BIN)/ruff format --check src tests benchmarks docs
	$(BIN)/mypy
	@tests=$$($(BIN)/python tests/touched.py) || exit 1; \
	if [ -z "$$tests" ]; then echo "no test imports what has changed"; exit 0; fi; \
	$(BIN)/python -m pytest -q -x -n 2 -m "not torture" $$tests || [ $$? -eq 5 ]  # 5: none selected

test: $(VENV)/.installed-dev
	$(BIN)/ruff check src tests benchmarks docs
	$(BIN)/ruff format --check src tests benchmarks docs
	$(BIN)/mypy
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder -m "not torture"

# The long forms, and again what must be equal to the bit, with all of XLA's optimisations.
torture: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m torture --timeout 3600
	MLPLAB_TESTS_OPTIMISED=1 $(BIN)/python -m pytest -m "not torture" tests/training \
	  tests/experiment/test_resume.py tests/experiment/test_population.py

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

serve-docs: $(VENV)/.installed-docs
	$(BIN)/mkdocs serve

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix src tests benchmarks docs
	$(BIN)/ruff format src tests benchmarks docs

clean:
	rm -rf $(VENV) site build dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(call install,--editable .)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(call install,--editable ".[dev]")
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(call install,--editable ".[docs]")
	@touch $@
