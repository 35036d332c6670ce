# make install   an environment in .venv with the tested versions (constraints.txt)
# make demo      generate Sudoku, train on the CPU, evaluate, reload in a new process and solve: runs/demo;
#                finally solve a hard 9x9 Sudoku with the shipped model
# make check     style check and the fastest tests of every part
# make test      style check and all tests
# make fuzz      an hour of seeded inputs, valid and damaged (make test includes a minute of them)
# make test-versions   the main tests of the package as installed by pip, in three more environments (.venv-*): the oldest
#                versions that work (constraints-oldest.txt), the newest that pip finds, and the requirements of the Space.
#                Delete .venv-newest to look for newer versions
# make api       the docstrings as pages: site/index.html
# make tables    render the tables of README.md from benchmarks/results

SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(CURDIR)/$(VENV)/bin
LAUNCH := $(BIN)/accelerate launch --cpu --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no

OLDEST := $(VENV)-oldest
NEWEST := $(VENV)-newest
SPACE := $(VENV)-space
WHEEL := dist/hrm_hf-0.1.0-py3-none-any.whl
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
# install the current wheel into an environment that has its requirements
AS_IT_IS := --no-deps --no-index --force-reinstall
# pytest runs in tests/ without the parent folder on Python's path, so that it tests the installed package
PYTEST := -P -m pytest -c versions.ini

QUICK := test_configuration.py test_golden.py test_shipped_figures.py test_registry.py test_folder.py \
	test_environment.py test_puzzle_text.py test_slots.py

.PHONY: install demo check test test-first test-second fuzz test-versions versions-oldest versions-newest versions-space wheel api tables

install: $(VENV)/installed

$(VENV)/installed: setup.py pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(f"hrm-hf needs Python 3.11 or newer, but $(PYTHON) is {v[0]}.{v[1]}; run make PYTHON=python3.11" if v < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,clients]'
	touch $@

demo: install
	$(BIN)/python dataset_scripts/build_sudoku.py data/sudoku-6x6 --size 6 --clues 22 --num-train 8000 --num-validation 512 --num-test 1000 --overwrite
	$(LAUNCH) train_accelerate.py recipes/sudoku_demo.yaml --overwrite_output_dir true
	$(BIN)/hrm-hf evaluate runs/demo/model data/sudoku-6x6 --max-segments 16 --output runs/demo/test.json
	cd "$$(mktemp -d)" && $(BIN)/python $(CURDIR)/examples/solve_sudoku.py $(CURDIR)/runs/demo/model --dataset $(CURDIR)/data/sudoku-6x6 --max-segments 16
	$(BIN)/python examples/draw_thinking.py runs/demo/model data/sudoku-6x6 runs/demo/thinking.png --max-segments 16
	$(BIN)/hrm-hf solve 8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4..
	@echo
	@echo "That was make demo: the model is in runs/demo. To go on: source $(VENV)/bin/activate && hrm-hf --help"

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -q $(addprefix tests/,$(QUICK))

# two halves in parallel, each on one core
test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	OMP_NUM_THREADS=1 $(MAKE) --no-print-directory --jobs 2 --output-sync=target test-first test-second

test-first: install
	$(BIN)/python -m pytest $(sort $(wildcard tests/test_[a-j]*.py)) tests/app tests/fuzz

test-second: install
	$(BIN)/python -m pytest $(sort $(wildcard tests/test_[k-z]*.py))

fuzz: install
	$(BIN)/python -m benchmarks.fuzz --inputs 10000000 --minutes 60 --first-seed 1000000 --no-record

# two in parallel, each on one core
test-versions: wheel
	OMP_NUM_THREADS=1 $(MAKE) --no-print-directory --jobs 2 --output-sync=target versions-oldest versions-newest versions-space

versions-oldest: $(OLDEST)/installed
	$(OLDEST)/bin/python $(PIP_INSTALL) $(AS_IT_IS) $(WHEEL)
	cd tests && $(CURDIR)/$(OLDEST)/bin/python $(PYTEST)

versions-newest: $(NEWEST)/installed
	$(NEWEST)/bin/python $(PIP_INSTALL) $(AS_IT_IS) $(WHEEL)
	cd tests && HRM_HF_UNTESTED=1 $(CURDIR)/$(NEWEST)/bin/python $(PYTEST)

versions-space: $(SPACE)/installed
	$(BIN)/hrm-hf space --out $(SPACE)/space --overwrite
	cd $(SPACE)/space && ../bin/python $(PIP_INSTALL) $(AS_IT_IS) *.whl
	cd tests && HRM_HF_PYTHON=$(CURDIR)/$(SPACE)/bin/python HRM_HF_SPACE=$(CURDIR)/$(SPACE)/space $(BIN)/python $(PYTEST) versions

# without files of an earlier build, which setuptools would include
wheel: install
	rm -rf build dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

$(OLDEST)/installed: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python $(PIP_INSTALL) --constraint constraints-oldest.txt '$(WHEEL)[app,arc,text,trackers]' pytest
	touch $@

# the tested version of torch, which may be available as a CPU build; without the extra text, which limits numpy
$(NEWEST)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/python $(PIP_INSTALL) --upgrade --upgrade-strategy eager '$(WHEEL)[app,arc,trackers]' pytest "$$(grep ^torch== constraints.txt)"
	touch $@

# only the requirements of the Space
$(SPACE)/installed: pyproject.toml constraints.txt hrm_hf/space.py
	$(PYTHON) -m venv --clear $(SPACE)
	$(BIN)/hrm-hf space --out $(SPACE)/space
	cd $(SPACE)/space && ../bin/python $(PIP_INSTALL) --requirement requirements.txt
	touch $@

# pdoc does not look into packages whose names are loaded on demand, as those of hrm_hf are
api: install
	$(BIN)/python $(PIP_INSTALL) --constraint constraints.txt --editable '.[docs]'
	$(BIN)/pdoc --docformat google --output-directory site configuration_hrm modeling_hrm processing_hrm pipeline_hrm \
		$(addprefix hrm_hf.,checkpoints data drawing evaluation export hub original puzzles text training)

tables: install
	$(BIN)/python -m benchmarks.tables
