# Everything is behind these names; the work is in scripts/. Nothing is installed outside .venv and node_modules, except
# jars, wheels and preloaded classes, which all clones share (~/.cache/tidemark, or TIDEMARK_CACHE).
SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
export PYTHON

CODE := glue_jobs tidemark_cli local_stack cdk_app benchmarks scripts
STAGE := dev
SECONDS := 600
SEED := 1
TICKS := 4
KILLS := 0
SERVERS := 18
# Three workers for two cores: much of a test is waiting for another process.
ALL_TESTS := -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo test test-fast coverage check fuzz wheels synth diff deploy lock clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-9s %s\n", $$1, $$2 }'

setup: ## Install everything into .venv (needs Python 3.11-3.13 and Java 17+; PYTHON=... chooses one)
	@sh scripts/setup.sh

demo: setup ## Run a business day from a real database into a real warehouse, and check every figure
	@.venv/bin/tidemark demo

test-fast: setup ## Run the tests that need no Spark job and no whole stack (unit, machine, infra)
	@.venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder tests/unit tests/machine tests/infra

test: setup ## Run all tests
	@.venv/bin/pytest $(ALL_TESTS)

coverage: setup ## Run all tests, note which lines they run, the job processes' too, and fail below 90 % (a tenth slower)
	@.venv/bin/pytest $(ALL_TESTS) --cov --cov-report=term-missing:skip-covered

check: setup ## Check format, lint, types, who imports whom, sizes, security, vulnerabilities, stray addresses
	@sh scripts/check.sh $(CODE)

fuzz: setup ## Let random work and random faults at it for SECONDS (default 600), all decided by SEED (default 1)
	@.venv/bin/python -m tests.fuzz --seconds $(SECONDS) --seed $(SEED) --ticks $(TICKS) --kills $(KILLS) \
		--servers $(SERVERS)

wheels: setup ## Make build/tidemark.gluewheels.zip: the packages that the jobs need on Glue
	@.venv/bin/python -m scripts.wheels

synth: wheels ## Write the templates of STAGE (default dev) to cdk.out; needs no AWS account
	@sh scripts/cdk.sh synth $(STAGE)

diff: wheels ## Show what a deployment of STAGE would change
	@sh scripts/cdk.sh diff $(STAGE) $(CDK_ARGUMENTS)

deploy: wheels ## Deploy STAGE to AWS (docs/deploy.md); CDK_ARGUMENTS='--require-approval never' in CI
	@sh scripts/cdk.sh deploy $(STAGE) $(CDK_ARGUMENTS)

lock: setup ## Write requirements.txt again from requirements.in
	UV_CUSTOM_COMPILE_COMMAND='make lock' .venv/bin/uv pip compile --quiet --system-certs --universal \
		--python-version 3.11 --generate-hashes --output-file requirements.txt requirements.in

clean: ## Remove the environment, caches and test leftovers (the shared jars and wheels, and .tidemark, stay)
	@if [ -d .tidemark ] && [ -x .venv/bin/tidemark ]; then .venv/bin/tidemark down || true; fi
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov build dist cdk.out \
		node_modules spark-warehouse metastore_db derby.log *.egg-info
	find glue_jobs tidemark_cli local_stack cdk_app benchmarks scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +
