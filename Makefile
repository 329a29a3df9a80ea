# SPDX-License-Identifier: Apache-2.0
#
# The front door: `make help`. CMake and Ninja do the work in build/; this file only calls them and
# the scripts of tools/.

BUILD  := build
PREFIX ?= /usr/local
SOAK_SECONDS ?= 600
CMAKE_FLAGS ?=

.DEFAULT_GOAL := build
.PHONY: help build setup check demo bench install soak fuzz package format lint clean

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

setup: ## install what the build needs (done by the other targets too)
	@tools/setup.sh build

build: setup ## build everything into build/ (the default)
	@[ -f $(BUILD)/build.ninja ] || cmake -S . -B $(BUILD) -G Ninja --log-level=WARNING $(CMAKE_FLAGS)
	@ninja -C $(BUILD) --quiet

check: ## every test: units, integration, sanitizers, fuzzers, lint, package (STAGES=a,b: only these)
	@python3 tools/check.py

demo: build ## run the example configuration
	@tools/demo.sh

bench: ## compare with Envoy, nginx and HAProxy
	@tools/setup.sh bench
	@$(MAKE) --no-print-directory build
	@bench/run.sh

install: build ## install into PREFIX (/usr/local), below DESTDIR if set
	@DESTDIR="$(DESTDIR)" cmake --install $(BUILD) --prefix "$(PREFIX)"

soak: ## everything at once for SOAK_SECONDS (600): clients that misbehave, upstreams killed, names that move
	@tools/setup.sh check
	@$(MAKE) --no-print-directory build
	@cd tests/integration && WEIR_SOAK_SECONDS=$(SOAK_SECONDS) ../../$(BUILD)/venv/bin/python3 -m pytest -q -rP --tb=native test_soak.py

fuzz: ## fuzz each target for FUZZ_SECONDS (60)
	@tools/setup.sh check
	@$(MAKE) --no-print-directory build
	@tools/fuzz.sh

package: ## build a .deb into build/package/
	@tools/setup.sh check
	@$(MAKE) --no-print-directory build
	@tools/package.sh

format: ## apply .clang-format
	@tools/format.sh

lint: ## the checks of tools/ alone
	@tools/setup.sh check
	@tools/lint.sh

clean: ## remove the C build; the engine and the Python packages stay
	@tools/clean.sh $(BUILD)
