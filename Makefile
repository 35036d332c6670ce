# make install   an environment in .venv with the tested versions (constraints.txt)
# make demo      generate Sudoku, train on the CPU, evaluate, reload in a new process and solve: runs/demo;
#                last a hard 9x9 Sudoku with the shipped model
# make test      style check and all tests
# make tables    render the tables of README.md from benchmarks/results

SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(CURDIR)/$(VENV)/bin
LAUNCH := $(BIN)/accelerate launch --cpu --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no

.PHONY: install demo test tables

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

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

tables: install
	$(BIN)/python -m benchmarks.tables
