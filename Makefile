# Needs python3 (3.11 or newer) and make, nothing else.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.made
PIP := $(BIN)/python -m pip --disable-pip-version-check
ARGS ?=
# PyTorch's own index has the build without CUDA: 0.2 GB instead of 6. Where it cannot be reached, pip takes what it finds.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# Processes that tests run in; each takes a core and about a gigabyte.
WORKERS ?= 2

.PHONY: env test demo check format pins clean

env: $(STAMP)

# `typing/latlas` is how mypy finds the package: see pyproject.toml.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Latlas needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] + "; name another: make PYTHON=python3.11")'
	@echo "making .venv: a minute, and longer where packages are downloaded"
	$(PYTHON) -m venv .venv
	$(PIP) install -q -c constraints.txt setuptools
	$(PIP) install -q --no-deps --retries 0 --timeout 10 --index-url $(TORCH_INDEX) $$(grep '^torch==' constraints.txt) 2>/dev/null || true
	$(PIP) install -q -c constraints.txt --no-build-isolation -e ".[dev]"
	mkdir -p .venv/typing && ln -sfn ../.. .venv/typing/latlas
	touch $(STAMP)

test: env
	$(BIN)/python -P -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

demo: env
	$(BIN)/latlas demo --out runs/demo

check: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Writes constraints.txt from what is installed; without local version labels such as +cpu.
pins:
	{ head -n 1 constraints.txt; $(PIP) freeze --all --exclude latlas --exclude pip | sed 's/+.*//'; } > constraints.tmp
	mv constraints.tmp constraints.txt

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
