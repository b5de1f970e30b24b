# Each target works from a fresh clone: it makes .venv, installs with the pinned versions, and runs.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
export MPLBACKEND := Agg
# Bytecode is not compiled at installation but at the first import, which is for nothing unless it is kept.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install validate test mutate check docs clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	@# torch first and by its exact version: an open range may draw in builds for graphics cards
	$(BIN)/python -m pip install --quiet --no-compile "torch==$$(sed -n 's/^torch==//p' constraints.txt)" --constraint constraints.txt
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[train,lm,cluster,docs,dev]' --constraint constraints.txt
	touch $@

validate: install
	$(BIN)/onset validate --suite quick

test: install
	$(BIN)/python -m pytest -n auto --dist worksteal $(OPTIONS)

# For example: make mutate OPTIONS="--number 60 --since main"; --help lists the options.
mutate: install
	$(BIN)/python tests/mutation $(OPTIONS)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

docs: install
	@# the notice is about coming versions of mkdocs; ours are pinned
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf .venv out build *.egg-info
