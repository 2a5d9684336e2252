# Everything a person or a machine does with this repository starts here: `make help`.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Clusters and tests share a host.
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules
# Programs of this repository start more than twice as fast from bytecode, tests' own among them.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
# Debian's own Python first: users other than root can run it too.
PYTHON ?= $(firstword $(foreach p,/usr/bin/python3 python3,\
	$(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))

# Most tests wait for something: each core runs one file of them, with its own API server.
PARALLEL := -n auto --maxprocesses=4 --dist=loadfile
# Each worker of the end-to-end tests has a cluster of its own, which takes 1 GiB and its machines' memory.
E2E_CLUSTERS ?= 2
E2E := -n $(E2E_CLUSTERS) --dist=loadfile --no-loadscope-reorder --verbose
COVERED := --cov --cov-report=
SLOWEST := --durations=10
# Root without capabilities: a unit test that needs one fails. In a checkout of another user root has to keep them.
UNPRIVILEGED = $(shell d=$$(command -v setpriv) && [ "$$(id -u)" = 0 ] && [ -O . ] && \
	for p in "$$d --bounding-set=-all --inh-caps=-all"; do $$p true 2>/dev/null && echo "$$p"; done)
# pytest removes what earlier runs left in its directory: without capabilities it could not remove
# files of users that the other tests made.
UNIT_TEMPORARY := $(or $(TMPDIR),/tmp)/pytest-unit

.PHONY: help
help: ## Show this
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

## A cluster

.PHONY: up
up: environment ## Build what is missing, start a cluster, show a demo
	@$(BIN)/monopod up

.PHONY: down
down: environment ## Stop the cluster and remove every trace of it; the build cache stays
	@$(BIN)/monopod down

## The workshop

.PHONY: packages
packages: ## Install the Debian packages that are missing
	@tools/install-packages

.PHONY: environment
environment: .venv/.synced ## Make .venv as uv.lock has it

.venv/.synced: pyproject.toml uv.lock tools/make_environment.py | packages
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed" >&2; exit 1; }
	@$(PYTHON) tools/make_environment.py
	@touch $@

.PHONY: components
components: environment ## Build upstream's programs into the cache, with progress
	@$(BIN)/python -m monopod.build.components

## Tests

.PHONY: test
test: check components test-unit test-kernel test-api coverage test-e2e ## All checks and all tests, as CI runs them

.PHONY: check
check: lint types contracts dependencies ## Everything that looks at the code without running it

.PHONY: lint
lint: environment ## Style
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

.PHONY: types
types: environment ## Types
	@$(BIN)/pyright

.PHONY: contracts
contracts: environment ## That packages import lower ones only
	@$(BIN)/lint-imports

.PHONY: dependencies
dependencies: environment ## That every package that is imported is declared
	@$(BIN)/deptry src
	@# Tests may use what is for development alone, and need not use everything else.
	@$(BIN)/deptry tests tools --ignore DEP002,DEP004

.PHONY: test-unit
test-unit: environment ## Tests that need Python alone, without any privilege
	@mkdir -p $(UNIT_TEMPORARY)
	@COVERAGE_FILE=.coverage.unit PYTEST_DEBUG_TEMPROOT=$(UNIT_TEMPORARY) \
		$(UNPRIVILEGED) $(BIN)/pytest -m unit $(PARALLEL) $(COVERED) $(SLOWEST)

.PHONY: test-kernel
test-kernel: components ## Tests on this host as root: namespaces, cgroups, HAProxy, QEMU
	@COVERAGE_FILE=.coverage.kernel $(BIN)/pytest -m kernel $(PARALLEL) $(COVERED) $(SLOWEST)

.PHONY: test-api
test-api: components ## Tests against a real API server
	@COVERAGE_FILE=.coverage.api $(BIN)/pytest -m api $(PARALLEL) $(COVERED) $(SLOWEST)

.PHONY: coverage
coverage: environment ## Check what those three covered against each package's floor
	@$(BIN)/python tools/check_coverage.py .coverage.unit .coverage.kernel .coverage.api

.PHONY: test-e2e
test-e2e: components ## Tests on a whole cluster with real machines
	@$(BIN)/pytest -m e2e $(E2E) --durations=40 --durations-min=5

.PHONY: test-upstream
test-upstream: components ## Upstream's own cases for network policies; more than an hour
	@MONOPOD_UPSTREAM=1 $(BIN)/pytest -s tests/e2e/test_upstream_network_policies.py

.PHONY: test-upgrade
test-upgrade: components ## From MONOPOD_UPGRADE_FROM (a tag or commit) to this version with pods running, replicas killed, a backup restored
	@$(BIN)/pytest -s --no-cov -m e2e tests/e2e/test_upgrade.py

.PHONY: images
images: components ## Images of Monopod itself, for `monopod install`; prints names and archives
	@$(BIN)/python -m monopod.install

.PHONY: test-conformance
test-conformance: components ## Upstream's conformance cases, and a table; hours. MONOPOD_CONFORMANCE='--driver uml'
	@$(BIN)/python -m tests.conformance $(MONOPOD_CONFORMANCE)

.PHONY: scan
scan: components ## Scan a control plane and the guest image with Trivy and kube-score; builds Trivy once, ten minutes
	@MONOPOD_SCAN=$(or $(MONOPOD_SCAN),compare) $(BIN)/pytest --no-cov tests/hardening

.PHONY: api-reference
api-reference: environment ## Generate docs/reference/api from the CRDs
	@$(BIN)/python tools/generate_api_reference.py

.PHONY: protocol
protocol: environment ## Generate the messages of the kubelet's device plug-in API
	@cd src/monopod/node/devices && $(CURDIR)/$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. device_plugin.proto

.PHONY: chart
chart: environment ## Generate the Helm chart charts/monopod from the objects that monopod install applies
	@$(BIN)/python tools/generate_chart.py

.PHONY: format
format: environment ## Format the code and mend what can be mended
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

.PHONY: clean
clean: ## Remove .venv and what tools leave behind; neither cluster nor cache
	rm -rf .venv .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist .coverage.*
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
