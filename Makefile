# The porch: `make dev` once, `make test-fast` while working, `make test` before a commit, `make demo` to see it all.
SHELL := /bin/bash
PYTHON ?= python3
VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
LINK = $(shell $(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/ansible_collections/hardshell/xen

.PHONY: dev
dev: $(VENV)/.ready ## virtual environment with everything, the collection importable under its real name

$(VENV)/.ready: requirements-dev.txt meta/ee-requirements.txt lab/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet 'ansible-core>=2.19,<2.20' -r requirements-dev.txt
	mkdir -p $(dir $(LINK)) && ln -sfn $(CURDIR) $(LINK)
	touch $@
