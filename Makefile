# Every goal sets itself up on a fresh clone: `make demo` and `make test` need only Python 3.11 or newer.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALL := $(BIN)/python scripts/install
PINS := pyproject.toml constraints.txt converters.txt benchmarks/packages.txt
BUNDLE := build/demo/efficientnet-lite0.tport
SELDOM := django|executorch/backends/[^x]\w*|insightface|jax|jaxlib|mypy|pandas|pip|pygments|scipy|skimage|sklearn|torch/testing|transformers/models|xdsl
ZOO := build/zoo/packages/.stamp
CLIENTS := .venv-clients/.stamp
WORKERS ?= 2
FUZZ ?= 1000000
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# The first interpreter of the path that really runs and is new enough; override with `make PYTHON=...`.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,\
	$(shell $(name) -c 'import sys; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))

.PHONY: help setup demo test quick long lint check installed bench bars tasks compression damage fuzz sizes zoo wheel clean

help:  ## list the goals
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/make \1\t\2/' | expand -t 16

setup: .venv/dev.stamp  ## the environment in .venv, with everything that tests and checks need

demo: .venv/demo.stamp  ## EfficientNet-Lite0 to a verified, benchmarked Bundle in build/demo, and a photo named with it
	$(BIN)/torchport demo

test: .venv/dev.stamp $(ZOO) $(CLIENTS)  ## every test but the long ones, warnings as errors
	$(PYTEST)

quick: .venv/dev.stamp  ## the tests of tests/quick.txt, which need no PyTorch and see none
	PYTHONPATH=$(CURDIR)/tests/without_torch $(PYTEST) -m "not slow" @tests/quick.txt

long: .venv/dev.stamp  ## the tests that `make test` leaves out, for they seldom tell what shorter ones do not
	TORCHPORT_LONG=1 $(PYTEST) -m long

lint: .venv/dev.stamp  ## linter, formatter, strict types
	scripts/lint

check: lint  ## lint, and the tests of the house rules: layers, imports, style, generated documentation
	$(BIN)/python -m pytest -q tests/test_layers.py tests/test_imports.py tests/test_style.py
	$(BIN)/python scripts/generate-docs --check

bench: $(BUNDLE)/torchport.json  ## time every variant of the demo's Bundle on this machine
	$(BIN)/torchport bench $(BUNDLE)

bars: $(BUNDLE)/torchport.json  ## every promised figure, measured on the demo's Bundle and held against its bar
	$(BIN)/python benchmarks/bars

tasks: .venv/dev.stamp  ## every task with real models against eager PyTorch, each figure against its bar, in build/tasks.json
	$(BIN)/python benchmarks/tasks

compression: .venv/dev.stamp  ## every model compressed inside its accuracy budget, each point against its bar, in build/compression.json
	$(BIN)/python benchmarks/compression

damage: .venv/dev.stamp  ## 3,000 damaged Bundles under every verb: no traceback, no hang, no gigabyte, nothing forbidden accepted
	$(BIN)/python benchmarks/damage

fuzz: .venv/dev.stamp  ## FUZZ=1000000 hostile requests to a server over HTTP and gRPC: no crash, no hang, no leak, each refused in words
	$(BIN)/python benchmarks/fuzz --count $(FUZZ)

sizes: .venv/dev.stamp  ## small modules with free axes and masks on every target, in build/sizes.json
	$(BIN)/python benchmarks/sizes

zoo: .venv/dev.stamp $(ZOO)  ## architectures that nobody here wrote on every target, in build/zoo.json and build/zoo.svg; resumed where it stopped
	$(BIN)/python benchmarks/zoo

installed: .venv/bin/python  ## the wheel in an empty environment, which answers the Bundles of earlier versions
	scripts/installed

wheel: .venv/bin/python  ## the wheel in dist/
	$(PIP) wheel --no-deps --wheel-dir dist .

clean:  ## remove the environment and everything that was built
	rm -rf .venv .venv-clients build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BUNDLE)/torchport.json: | .venv/demo.stamp
	$(BIN)/torchport demo

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer on the path; name one with: make PYTHON=/path/to/python3" >&2; exit 6; }
	$(PYTHON) -m venv .venv

# foolbox is wanted for its twenty labelled photos only, hence without what it depends on.
.venv/demo.stamp: $(PINS) | .venv/bin/python
	$(INSTALL) -c constraints.txt -e '.[demo]'
	$(INSTALL) --no-deps foolbox==3.3.4
	touch $@

# What the zoo's architectures come from stays out of the environment: packages of it, such as torchvision, are built for
# another PyTorch, and what finds them there would use them.
$(ZOO): benchmarks/zoo/packages.txt | .venv/bin/python
	$(INSTALL) --no-deps --upgrade --target build/zoo/packages -r benchmarks/zoo/packages.txt
	touch $@

# Clients of other servers, as they are published: they need older packages than torchport.
$(CLIENTS): tests/serve/clients.txt | .venv/bin/python
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/python scripts/install -r tests/serve/clients.txt
	touch $@

# What tests import is compiled, for some of it warns as it is, which is an error in a test; of the packages in SELDOM,
# which do not, little is imported.
.venv/dev.stamp: $(PINS) | .venv/bin/python
	$(INSTALL) -c constraints.txt -e '.[dev]'
	$(INSTALL) --no-deps -r benchmarks/packages.txt -r converters.txt
	$(BIN)/python -m compileall -qq -j 0 -x '/tests?/|/examples/|/($(SELDOM))/' .venv/lib || true
	touch .venv/demo.stamp $@
