# Everything starts with `make demo` or `make test`: both set up .venv the first time, from the lock.
# Afterwards nothing needs a network, and a second run starts at once.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
# One stamp per content of lock and project file: `touch` does not reinstall, a change does.
LOCK_HASH := $(shell cat requirements.lock pyproject.toml | cksum | tr ' ' '-')
STAMP := $(VENV)/.installed-$(LOCK_HASH)
SAMPLERS := $(VENV)/.samplers-$(shell cksum < requirements-samplers.lock | tr ' ' '-')
# A file's tests share what its fixtures fit, so that they stay with one worker. In their own order: the files that
# take longest come first, and the many short ones level the workers out.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
UV ?= uv

.PHONY: help setup demo test test-all lint pages docs bench samplers lab lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

$(STAMP):
	@tools/install.sh $(VENV) $@

setup: $(STAMP) ## create .venv from requirements.lock (the others do it when needed)

demo: $(STAMP) ## the main job on the embedded data, in under two minutes
	@$(BIN)/flowcast demo

test: $(STAMP) ## the tests, without those marked slow
	@$(PYTEST) -m "not slow"

test-all: $(STAMP) ## every test
	@$(PYTEST)

lint: $(STAMP) ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

pages: $(STAMP) ## write the pages that are made by a command
	@$(BIN)/python tools/yaml_reference.py
	@$(BIN)/python tools/validation_page.py

docs: $(STAMP) ## build the documentation site into docs/_build/html
	@$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(STAMP) $(SAMPLERS) ## run the benchmarks
	@$(BIN)/python -m benchmarks

samplers: $(SAMPLERS) ## add the samplers that the benchmarks compare with

$(SAMPLERS): $(STAMP)
	@$(BIN)/python -m pip --disable-pip-version-check install -qq --no-compile --no-deps --require-hashes \
		-r requirements-samplers.lock
	@rm -f $(VENV)/.samplers-* && touch $@

lab: $(STAMP) ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab notebooks

lock: ## resolve pyproject.toml anew into requirements.lock (needs uv)
	@env -u UV_INDEX_URL -u UV_EXTRA_INDEX_URL $(UV) pip compile pyproject.toml --extra bench --extra dev --extra docs --extra iamc \
		--universal --python-version 3.12 --fork-strategy fewest --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" --quiet --upgrade --output-file requirements.lock
	@$$(tools/find-python.sh) -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['samplers'], sep='\n')" | \
		env -u UV_INDEX_URL -u UV_EXTRA_INDEX_URL $(UV) pip compile - --constraints requirements.lock --universal \
		--python-version 3.12 --fork-strategy fewest --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" --quiet --upgrade --output-file requirements-samplers.lock

clean: ## remove what was built, .venv included
	rm -rf $(VENV) build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
