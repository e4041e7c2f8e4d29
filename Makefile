# Sluicegate's commands. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
JOBS ?= $(shell nproc)
RELEASE := build/release
PROGRAM := $(RELEASE)/sluicegate
SECONDS_EACH ?= 30
SEEDS ?= 5

.PHONY: help
help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 16

.PHONY: run
run: build ## Install what is missing, build, and protect $UPSTREAM (or a demo server) on 127.0.0.1:8080
	@exec $(PROGRAM) gateway $(if $(UPSTREAM),--upstream $(UPSTREAM)) $(ARGS)

.PHONY: build
build: ## Install what is missing and build the program: build/release/sluicegate
	@tools/install_packages.sh program
	@cmake --preset release --log-level=WARNING > /dev/null
	@cmake --build $(RELEASE) --target sluicegate_app -j $(JOBS)

.PHONY: test
test: ## Install what is missing, build, run every test; ends with "N passed, N failed"
	@tools/install_packages.sh program test
	@cmake --preset release --log-level=WARNING > /dev/null
	@cmake --build $(RELEASE) -j $(JOBS)
	@tools/run_tests.py $(RELEASE)

.PHONY: asan
asan: ## The unit tests under clang's address and undefined-behaviour sanitizers
	@tools/sanitize.sh asan $(JOBS)

.PHONY: tsan
tsan: ## The unit tests under clang's thread sanitizer
	@tools/sanitize.sh tsan $(JOBS)

.PHONY: sim
sim: ## Unit tests, cases and the simulator under SEEDS (5) random seeds, or under SEED=n
	@tools/install_packages.sh program test
	@cmake --preset release --log-level=WARNING > /dev/null
	@cmake --build $(RELEASE) --target unit_tests -j $(JOBS)
	@tools/simulate.sh $(RELEASE) $(SEEDS) $(SEED)

.PHONY: bench
bench: ## The benchmarks: ratios to the memory and to nginx, instructions a request, as tables; doc/decision-cost.svg
	@tools/install_packages.sh program bench
	@cmake --preset release --log-level=WARNING > /dev/null
	@cmake --build $(RELEASE) --target sluicegate_app core_bench -j $(JOBS)
	@$(RELEASE)/bench/core_bench
	@$(RELEASE)/bench/core_bench --curve $(RELEASE)/curve.tsv
	@bench/draw_curve.py $(RELEASE)/curve.tsv doc/decision-cost.svg
	@PATH="$(CURDIR)/build/tools/usr/sbin:$$PATH" bench/gateway_bench.py $(PROGRAM)
	@PATH="$(CURDIR)/build/tools/usr/sbin:$$PATH" bench/mcp_bench.py $(PROGRAM)
	@bench/count_instructions.py $(PROGRAM)

.PHONY: bench-python
bench-python: ## What a check costs in Python, and what the middleware adds, beside others
	@tools/install_packages.sh program bench
	@tools/test_python.py $(RELEASE) build > $(RELEASE)/python-build.log
	@tools/test_python.py $(RELEASE) bench

.PHONY: fuzz
fuzz: ## Every fuzz target for SECONDS_EACH (30) seconds
	@tools/install_packages.sh program test lint
	@fuzz/run.sh $(SECONDS_EACH)

.PHONY: lint
lint: ## Format, style, layers and clang-tidy; warnings are errors
	@tools/install_packages.sh program lint
	@tools/lint.sh $(JOBS)

.PHONY: format
format: ## Format the sources in place
	@tools/install_packages.sh lint
	@git ls-files '*.cc' '*.h' '*.cpp' | xargs clang-format-19 -i

.PHONY: install
install: build ## Install the program (and the library) under PREFIX (/usr/local)
	@cmake --build $(RELEASE) -j $(JOBS)
	@cmake --install $(RELEASE) --prefix $(or $(PREFIX),/usr/local)

.PHONY: clean
clean: ## Remove what was built
	@rm -rf build
