# Everything a developer or a CI needs; the first target that runs makes its own environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check bench parts format clean

$(STAMP): pyproject.toml requirements/lock.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Cirrus needs Python 3.11 or newer (set PYTHON=...)"; exit 1; }
	@echo "Installing into $(VENV), about a minute"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/lock.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

# A small world on loopback: sink, node, traffic.
demo: $(STAMP)
	$(BIN)/cirrus demo

# Format, lint, types, imports and the fast tests; stops at the first failure.
check: $(STAMP)
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -n 2 -m "not slow" tests/unit tests/dialogue tests/properties tests/architecture

# Everything, with the real components from Debian's packages where they can be had; as root with
# iproute2 also whole deployments in network namespaces. What was left out is told at the end.
test: $(STAMP) parts
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -n 2 --dist loadfile -rs

# Debian's postfix, redis and haproxy, unpacked into a folder of the project; nothing is installed.
parts:
	bash scripts/unpack_parts.sh

bench: $(STAMP) parts
	$(BIN)/python -m benchmarks.run

format: $(STAMP)
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format --quiet .

clean:
	rm -rf $(VENV) .parts .pytest_cache .mypy_cache .ruff_cache .hypothesis
