# The porch: `make dev` once, `make test-fast` while working, `make test` before a commit, `make demo` to see it all.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV ?= $(CURDIR)/.venv
BIN := $(VENV)/bin
PYTHON ?= $(shell tests/tools/find_python.sh 3.11 3.12 3.13)

export PATH := $(BIN):$(PATH)
# This checkout, and no other copy of the collection that may be installed on the machine.
export ANSIBLE_COLLECTIONS_PATH := $(VENV)/collections
export PIP_ROOT_USER_ACTION := ignore
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##### The demo

.PHONY: demo demo-shell demo-down
demo: dev ## two tenants on a lab of real QEMU machines, from nothing to a table; the second run is quick
	@tests/tools/allow_standard_ports.sh
	@$(BIN)/python examples/run_demo.py up

demo-shell: dev ## a shell with the demo's inventory, ssh and lab at hand
	@$(BIN)/python examples/run_demo.py shell

demo-down: dev ## end the demo; images stay cached
	@$(BIN)/python examples/run_demo.py down

##### Set-up: every target below does what is missing of it

.PHONY: dev
dev: $(VENV)/.ready ## Debian packages that are missing, and a virtual environment with the collection and the lab in it

$(VENV)/.debian: requirements-debian.txt
	@tests/tools/install_debian_packages.sh requirements-debian.txt
	@mkdir -p $(VENV) && touch $@

$(VENV)/.ready: $(VENV)/.debian requirements-dev.txt meta/ee-requirements.txt lab/pyproject.toml
	@echo "Preparing $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --upgrade pip
	@$(BIN)/python -m pip install -qq -r requirements-dev.txt
	@# Links make the collection importable under its real name, for Ansible and for Python.
	@for place in $(VENV)/collections "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"; do \
		mkdir -p "$$place/ansible_collections/hardshell" && ln -sfn $(CURDIR) "$$place/ansible_collections/hardshell/xen"; \
	done
	@touch $@

.PHONY: versions
versions: dev
	@$(BIN)/python -c 'import platform; from ansible.release import __version__; print("ansible-core", __version__, "on Python", platform.python_version())'

##### Linters

.PHONY: lint lint-python lint-types lint-yaml lint-ansible lint-docs lint-changelog lint-shell
lint: lint-python lint-types lint-yaml lint-ansible lint-docs lint-changelog lint-shell ## every linter, in less than a minute

lint-python: dev
	$(BIN)/ruff check .

MYPY = --config-file $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/.mypy_cache
lint-types: dev
	cd $(VENV)/collections && $(BIN)/mypy $(MYPY) ansible_collections/hardshell/xen/plugins ansible_collections/hardshell/xen/extensions
	cd lab/src && $(BIN)/mypy $(MYPY) xapi_lab

lint-yaml: dev
	$(BIN)/yamllint --strict .

lint-ansible: dev
	$(BIN)/ansible-lint --offline --profile production

lint-docs: dev
	$(BIN)/antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=self --disallow-unknown-collection-refs --skip-rstcheck .

lint-changelog: dev
	$(BIN)/antsibull-changelog lint

lint-shell: dev
	git ls-files -z -- '*.sh' .ci/run | xargs -0 $(BIN)/shellcheck

##### Tests

PYTEST = $(BIN)/pytest --quiet -p no:cacheprovider

.PHONY: unit integration integration-pool integration-engine integration-fast bench lab-test clients e2e sanity sanity-fast
unit: dev ## unit and property tests, and what must hold for every module, role and playbook
	$(PYTEST) tests/unit tests/invariants

# Both mostly wait: for events of a pool, and for an engine.
integration: dev ## the collection against the lab without machines, and against a real Docker Engine
	@$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=line integration-pool integration-engine

integration-pool: dev
	$(PYTEST) -m "not bench" --numprocesses=2 tests/integration/pool

integration-engine: dev
	$(PYTEST) -m "not bench" --numprocesses=2 --dist=loadfile tests/integration/engine tests/integration/site tests/integration/guest

integration-fast: dev ## of the above what goes from nothing to nothing on each side
	$(PYTEST) -k "not (load_create_again and module)" tests/integration/pool/test_cycle.py tests/integration/engine/test_front_ends.py

bench: dev ## the playbook site over fifty VMs of a pool without machines; eight containers beside other tools
	$(PYTEST) -m bench --durations=0 tests/integration

lab-test: dev ## the lab's own tests, without a guest operating system
	cd lab && $(PYTEST) -m "not e2e and not clients"

clients: dev ## the lab against unmodified clients: XenAPI, npm's xen-api, community.general (installs them into a cache)
	lab/tests/clients/install.sh
	cd lab && $(PYTEST) -m clients

e2e: dev ## real virtual machines: boot, converge, kill and run again, tear down
	@tests/tools/allow_standard_ports.sh
	$(PYTEST) -m e2e --durations=0 tests/e2e

# Without no-assert: the asserts below plugins/ narrow types for mypy.
sanity: dev ## ansible-test sanity on a throw-away copy
	@tests/tools/ansible_test.sh $(VENV) sanity --skip-test no-assert

sanity-fast: dev
	@tests/tools/ansible_test.sh $(VENV) sanity --test validate-modules --test ansible-doc --test compile --test ignores --test runtime-metadata

.PHONY: test-fast test matrix
test-fast: dev ## what takes less than three minutes: no virtual machines, no third-party clients, the quick part of sanity and integration
	@$(BIN)/python tests/tools/run_steps.py unit,lab-test,lint,integration-fast,sanity-fast

test: dev ## everything that says whether the project is sound; ends with a table and a verdict
	@$(BIN)/python tests/tools/run_steps.py sanity,unit,lab-test,lint,clients integration e2e

matrix: dev ## unit, sanity and integration on Python 3.12 and 3.13 with the ansible-core of each
	@tests/tools/matrix.sh

.PHONY: clean
clean: ## remove what the targets above made in this folder
	rm -rf .venv .tools .ansible .tree .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
