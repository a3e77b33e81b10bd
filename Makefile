# Everything a developer or a CI needs; the first target that runs makes its own environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check bench fuzz fuzz-coverage fuzz-guided parts format clean

$(STAMP): pyproject.toml requirements/lock.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Cirrus needs Python 3.11 or newer (set PYTHON=...)"; exit 1; }
	@echo "Installing into $(VENV), about a minute"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/lock.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

# A small world on loopback: sink, TSA, proxy, node, traffic.
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
# iproute2 also whole deployments in network namespaces, which have the machine to themselves. What
# was left out is told at the end. Many tests go by the clock, and beside others a slow machine can
# be too slow for one: what fails is run once more, alone, and fails the run if it fails again.
AGAIN := --last-failed --last-failed-no-failures none -rfE
test: $(STAMP) parts
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -n 2 --dist loadfile -rs --ignore tests/shapes \
	  || { echo "== once more, alone =="; $(BIN)/python -m pytest $(AGAIN) --ignore tests/shapes; }
	$(BIN)/python -m pytest -rs tests/shapes \
	  || { echo "== once more ==" ; $(BIN)/python -m pytest $(AGAIN) tests/shapes; }

# Debian's postfix, redis, haproxy, promtool, Chromium and others, unpacked into a folder of the
# project; nothing is installed.
parts:
	bash scripts/unpack_parts.sh

bench: $(STAMP) parts
	$(BIN)/python -m benchmarks.run

# Two million damaged dialogues through the parsers that meet the world first; FUZZ=--seed=2 and
# the like vary the run. With coverage: fewer of them, and which lines and branches they reach.
PARSERS := proxy/socks5.py,engine/deliver/socks_dialogue.py,engine/model/proxy_header.py,engine/receive/smtp_session_client.py
fuzz: $(STAMP)
	$(BIN)/python -m tests.fuzz $(FUZZ)

fuzz-coverage: $(STAMP)
	$(BIN)/coverage run --branch -m tests.fuzz --jobs 1 --count 60000 $(FUZZ)
	$(BIN)/coverage report --show-missing --include=$(PARSERS)

# The same under atheris, which looks for new branches; it is installed for this alone.
fuzz-guided: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'atheris>=3,<4'
	for name in header proxy client xclient; do \
	  $(BIN)/python -m tests.fuzz.guided $$name -runs=200000 -max_len=2048 || exit 1; done

format: $(STAMP)
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format --quiet .

clean:
	rm -rf $(VENV) .parts .pytest_cache .mypy_cache .ruff_cache .hypothesis .fuzz
