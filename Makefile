# hwcomp: set-up, demo, tests. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell command -v python3.11 || command -v python3)
JOBS   ?= 2
SYSTEM ?= yes
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install -qq
DEMO   := build/demo
SAMPLE := examples/digits_cnn

.PHONY: help setup system demo test test-slow lint bench clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: system $(VENV)/.stamp-test ## create .venv and install what is missing (quick when nothing is)

system:
ifneq ($(SYSTEM),no)
	@tools/setup.sh
endif

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "setup: Python 3.11 or newer is needed" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "setup: $(PYTHON) is older than Python 3.11; say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "setup: creating $(VENV)"
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.stamp-test: pyproject.toml | $(BIN)/python
	@echo "setup: installing hwcomp and its Python packages into $(VENV)"
	@$(PIP) -e '.[test]'
	@$(PIP) --no-deps hls4ml==1.3.0  # for the headers inside: ap_int, ac_int
	@touch $@

$(VENV)/.stamp-lint: pyproject.toml | $(BIN)/python
	@$(PIP) -e '.[lint]'
	@touch $@

demo: setup ## compile the digits example for FPGA and MCU, simulate both, verify, report
	@rm -rf $(DEMO)
	@$(BIN)/hwcomp compile $(SAMPLE)/digits_cnn.onnx --target mcu,fpga --calibration $(SAMPLE)/calibration.npz -o $(DEMO)
	@$(BIN)/hwcomp verify $(DEMO) -i $(SAMPLE)/test.npz
	@$(BIN)/hwcomp eval $(DEMO) --data $(SAMPLE)/test.npz
	@$(BIN)/hwcomp report $(DEMO)
	@echo "The product is in $(DEMO): src/ (C), rtl/ (Verilog), report.html; the commands above say what it does"

test: setup ## run all ordinary tests
	@$(BIN)/python -m pytest -n $(JOBS) -m "not slow" tests rtl_tests

test-slow: setup ## run the tests that take minutes
	@$(BIN)/python -m pytest -n $(JOBS) -m slow tests rtl_tests

lint: $(VENV)/.stamp-lint ## check the Python sources with ruff
	@$(BIN)/ruff check .

bench: setup ## measure instructions beside a peer on a simulated Cortex-M4, cycles of the Verilog, accuracy of the quantized networks
	@$(BIN)/python benchmarks/run.py
	@$(BIN)/python benchmarks/streaming.py
	@$(BIN)/python benchmarks/accuracy.py
	@$(BIN)/python benchmarks/binary.py
	@$(BIN)/python benchmarks/hls.py
	@$(BIN)/python benchmarks/binary_fpga.py
	@$(BIN)/python benchmarks/sparsity.py
	@$(BIN)/python benchmarks/break_even.py
	@$(BIN)/python benchmarks/winograd.py
	@$(BIN)/python benchmarks/pruning.py --products
	@$(BIN)/python benchmarks/low_rank.py --products
	@$(BIN)/python benchmarks/compression.py
	@$(BIN)/python benchmarks/vector_codes.py
	@$(BIN)/python benchmarks/compressed.py

clean: ## remove what was built (keeps .venv)
	@rm -rf build dist sim_build .pytest_cache .ruff_cache .hypothesis
	@find hwcomp sw_ref tests rtl_tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean ## remove .venv too
	@rm -rf $(VENV)
