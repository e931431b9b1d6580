# Everything works from a fresh clone on a Debian that has git, make and python3; the first run sets up .venv.
# ARGS are handed on: make test ARGS="-k store", make demo ARGS=--help.

BIN := .venv/bin
SETUP := deploy/dev/setup.sh
# One worker more than processors: tests often wait for a process or a file.
WORKERS ?= $(shell echo $$(($$(nproc) + 1)))
ARGS ?=
# Inputs for each target of make fuzz; make test tries a few.
FUZZ_EXAMPLES ?= 20000
# Debian keeps HAProxy where users have no path to.
export PATH := $(PATH):/usr/sbin:/sbin

.DEFAULT_GOAL := help
.PHONY: help setup demo test fuzz lint bench bench-planning bench-fleet planted soak schemas reference clean

help: ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## set up .venv, as uv.lock says
	@$(SETUP)

demo: ## run a fleet on this machine and roll a release out over it
	@$(SETUP) haproxy $(if $(findstring amqp,$(ARGS)),rabbitmq-server)
	@$(BIN)/drumbeat demo $(ARGS)

test: ## run every test
	@$(SETUP) haproxy socat gpg openssh-client:ssh-keygen rabbitmq-server prometheus
	@$(BIN)/pytest -n $(WORKERS) $(ARGS)

fuzz: ## look for inputs that break a reader, for as long as FUZZ_EXAMPLES allows
	@$(SETUP)
	@FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/pytest -n $(WORKERS) --timeout 0 tests/fuzz $(ARGS)

lint: ## check style, types and the direction of imports
	@$(SETUP)
	@$(BIN)/ruff check $(ARGS)
	@$(BIN)/ruff format --check $(ARGS)
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: ## measure the figures in the README, and the cost of decisions in larger fleets
	@$(SETUP) haproxy
	@$(BIN)/python -m benchmarks.planning
	@$(BIN)/python -m benchmarks $(ARGS)

bench-planning: ## measure what decisions cost; ARGS=--full: 100,000 hosts and 300 services
	@$(SETUP)
	@$(BIN)/python -m benchmarks.planning $(ARGS)

bench-fleet: ## measure a controller under a thousand simulated nodes
	@$(SETUP) rabbitmq-server
	@$(BIN)/python -m benchmarks.fleet_load $(ARGS)

planted: ## plant every known bug in production code, and demand that the simulator finds each
	@$(SETUP)
	@$(BIN)/pytest -n $(WORKERS) -m '' tests/simulation/test_planted.py $(ARGS)

soak: ## simulate a million journeys of hosts under all faults; ARGS="--journeys 10000" for fewer
	@$(SETUP)
	@$(BIN)/python -m tests.simulation.soak $(ARGS)

schemas: ## write the JSON schemas of the state files anew
	@$(SETUP)
	@$(BIN)/drumbeat schema --write crds/schemas $(ARGS)

reference: ## write the tables of fields in docs/state-directory.md anew
	@$(SETUP)
	@$(BIN)/python -m controller.source.reference docs/state-directory.md

clean: ## remove .venv and what tools left behind
	@rm -rf .venv dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
