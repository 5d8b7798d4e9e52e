# Every way to work on Afterword; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
LIFETIMES := lifetimes==0.11.3
PYTEST := $(BIN)/pytest $(PYTEST_ARGS)
BUILDER ?= docker
IMAGE ?= afterword:0.1.0
BASE ?= docker.io/library/python:$(shell $(BIN)/python -c \
	'import sys; print("{}.{}".format(*sys.version_info))' 2>/dev/null)-slim-bookworm

##@ Use

.PHONY: run
run: setup demo-data ## The system with a demo on real purchases, on this machine; stays up until Ctrl-C
	@$(BIN)/afterword demo --stay

.PHONY: demo
demo: setup demo-data ## The same, and ends: non-zero when a law of the design did not hold
	@$(BIN)/afterword demo

.PHONY: dev-distributed
dev-distributed: setup ## Four processes on real Kafka and PostgreSQL, until Ctrl-C (PORT=8080 KEY=...)
	@$(BIN)/python -m deploy.local.stack $(BIN)/afterword dev-distributed \
		$(if $(PORT),--port $(PORT)) $(if $(KEY),--key $(KEY))

.PHONY: kafka
kafka: setup ## A real Kafka broker, until Ctrl-C
	@$(BIN)/python -m deploy.local.kafka

.PHONY: postgres
postgres: setup ## A real PostgreSQL server, until Ctrl-C
	@$(BIN)/python -m deploy.local.postgres

##@ Test

.PHONY: test
test: setup demo-data ## All tests, two at a time (PYTEST_ARGS='-k name -x' to choose)
	@$(PYTEST) -n 2

.PHONY: test-unit
test-unit: setup ## Pure decisions: no servers, seconds
	@$(PYTEST) tests/unit

.PHONY: test-integration
test-integration: setup demo-data ## Each part against real Kafka and PostgreSQL
	@$(PYTEST) tests/integration

.PHONY: test-e2e
test-e2e: setup demo-data ## The whole system from outside, on both stacks, with a browser
	@$(PYTEST) tests/e2e

.PHONY: faults
faults: setup ## Hundreds of faults done to a running system, and its laws checked; goes on where it was
	@SOAK_SECONDS=$(or $(SECONDS),7200) $(BIN)/python -m tests.faults --long $(FAULTS)

.PHONY: faults-short
faults-short: setup ## A few of each fault, in minutes (FAULTS='F7 F13' to choose)
	@$(BIN)/python -m tests.faults $(FAULTS)

.PHONY: faults-quick
faults-quick: setup ## What CI does of them: the rows that bite most, in six minutes
	@$(BIN)/python -m tests.faults --quick

.PHONY: upgrade-check
upgrade-check: setup ## Upgrade from the previous release under load, and back (FROM=v0.1.0 ROUNDS=3)
	@AFTERWORD_PREVIOUS=$(FROM) $(BIN)/python -m tests.faults --trials $(or $(ROUNDS),3) U1

.PHONY: soak
soak: setup ## Two hours with a fault every minute: does anything grow? (SECONDS=7200)
	@SOAK_SECONDS=$(or $(SECONDS),7200) $(BIN)/python -m tests.faults --trials 1 F33

.PHONY: bench
bench: setup ## Speed against plain baselines, in the same run
	@$(BIN)/python -m bench

##@ Deploy

.PHONY: wheels
wheels: setup ## What constraints.txt pins, and Afterword, as wheels in build/wheels
	@rm -rf build/wheels build/lib  # else a module that was deleted would be in the wheel
	@$(BIN)/pip wheel --quiet --disable-pip-version-check -c constraints.txt -w build/wheels '.[traces]'

.PHONY: sbom
sbom: wheels ## What is in the image, as CycloneDX in build/sbom.cdx.json
	@$(BIN)/python -m deploy.sbom build/wheels build/sbom.cdx.json

.PHONY: image
image: sbom ## The one image of all services (BUILDER=docker|podman|buildah IMAGE=... BASE=...)
	@$(BUILDER) build -f deploy/Dockerfile --build-arg BASE=$(BASE) -t $(IMAGE) .

.PHONY: k8s-check
k8s-check: setup ## Show on the cluster of KUBECONFIG what the overlays claim (ARGS='--image ... --secrets ...')
	@$(BIN)/python -m deploy.cluster.check $(ARGS)

.PHONY: k8s-smoke
k8s-smoke: setup ## Build the image, play the dev overlay's pods with podman, follow an event to its alert (BASE=...)
	@$(BIN)/python -m deploy.smoke $(if $(filter file,$(origin BASE)),,--base $(BASE)) $(ARGS)

.PHONY: compose-smoke
compose-smoke: setup ## Start deploy/compose.yaml for real, follow an event to its alert, kill all (ARGS='--image ...')
	@$(BIN)/python -m deploy.smoke.compose $(if $(filter file,$(origin BASE)),,--base $(BASE)) $(ARGS)

##@ Develop

.PHONY: setup
setup: $(VENV)/.installed ## The environment in .venv, with what constraints.txt pins

.PHONY: fmt
fmt: setup ## Format, and fix what can be fixed safely
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

.PHONY: docs
docs: setup ## What the code says, written down anew: docs/api, metrics, dashboards, Kafka's topics and users
	@$(BIN)/python -m services.cli.describe
	@$(BIN)/python -m services.cli.strimzi

.PHONY: check
check: lint types imports ## Exactly what CI runs before the tests

.PHONY: lint
lint: setup ## Format and lint rules (ruff), the Dockerfile (hadolint), every YAML file (yamllint)
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/hadolint deploy/Dockerfile
	@$(BIN)/yamllint --strict .

.PHONY: types
types: setup ## Types (mypy, strict)
	@$(BIN)/mypy

.PHONY: imports
imports: setup ## Who may import whom (import-linter)
	@$(BIN)/lint-imports --no-logo

.PHONY: clean
clean: ## Remove the environment, caches and fetched jars; data under .afterword stays
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile

# What the demo replays: the CDNOW purchases that this package ships. It is never imported.
.PHONY: demo-data
demo-data: $(VENV)/.demo-data

$(VENV)/.demo-data: $(VENV)/.installed Makefile
	@echo "Installing the demo's purchases ($(LIFETIMES), without its dependencies) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps '$(LIFETIMES)'
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; found none on PATH." >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV) with $(PYTHON) ..."; $(PYTHON) -m venv $(VENV); }
	@echo "Installing Afterword and its tools into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,traces]'
	@touch $@
