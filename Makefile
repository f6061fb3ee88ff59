# Augur: build, demonstrate, test, measure, install. `make help` lists the targets.
# Each target installs what it needs: Python packages into build/venv, programs through apt-get where
# root or sudo is at hand (otherwise it says what is missing).

PREFIX ?= /usr/local
PYTHON ?= python3
# The demo's and the benchmark's data: FILE or FILE:/dataset (HDF5, netCDF-3, netCDF-4; the benchmark takes several,
# separated by blanks); empty: Debian's ferret-datasets.
DATA ?=
# `make bench QUICK=1`: fewer bounds, fewer runs, at most 16 MiB of each field.
QUICK ?=

# cargo names it relative to the current directory, too.
TARGET := $(or $(CARGO_TARGET_DIR),target)
VENV := build/venv
PY := $(VENV)/bin/python
SETUP := tools/setup
LIBRARY := $(if $(filter Darwin,$(shell uname -s)),libh5z_augur.dylib,libh5z_augur.so)
# tools/cli and examples/checkpoint compile HDF5, for which the crate `cmake` runs what CMAKE names.
WITH_CMAKE = CMAKE=$$($(SETUP)/cmake.sh build/cmake) && export CMAKE &&

.DEFAULT_GOAL := help
.PHONY: help build plugin cli torch test-torch test-arm venv package data turbulence demo demo-learned test test-rust test-hosts bench figures pareto autoencoders install uninstall clean check-rust

help: ## list the targets
	@echo "Augur: error-bounded compression of time-evolving fields, as an HDF5 filter"
	@echo
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | awk -F'\t' '{ printf "  make %-12s %s\n", $$1, $$2 }'
	@echo
	@echo "Variables: DATA=FILE[:/dataset] (demo, bench), QUICK=1 (bench), PREFIX=$(PREFIX) (install), PYTHON=$(PYTHON), CARGO_TARGET_DIR"

check-rust:
	@command -v cargo >/dev/null || { echo "error: cargo was not found: install Rust 1.89 or newer from https://rustup.rs" >&2; exit 1; }
	@$(SETUP)/packages.sh cc=gcc c++=g++ make=make
	@command -v cc >/dev/null || { echo "error: no C compiler (cc) was found: install gcc or clang" >&2; exit 1; }

plugin: check-rust
	cargo build --release --locked --manifest-path h5-plugin/Cargo.toml
	@mkdir -p dist/plugins dist/include
	@cp $(TARGET)/release/$(LIBRARY) dist/plugins/
	@cp h5-plugin/include/* dist/include/

cli: check-rust
	$(WITH_CMAKE) cargo build --release --locked --manifest-path tools/cli/Cargo.toml
	@mkdir -p dist/bin
	@cp $(TARGET)/release/augur dist/bin/

# The library that training needs, with libtorch beside it (LIBTORCH=: an own one of version 2.11).
torch: check-rust ## what `augur train` and AUGUR_BACKEND=torch need: get libtorch (540 MB; LIBTORCH=DIR: yours), build dist/lib/libaugur_torch.so
	@PYTHON=$(PYTHON) $(SETUP)/torch.sh build/torch >/dev/null
	LIBTORCH=$$(PYTHON=$(PYTHON) $(SETUP)/torch.sh build/torch) && export LIBTORCH && \
		cargo build --release --locked --manifest-path tools/torch/Cargo.toml --target-dir $(TARGET) && \
		mkdir -p dist/lib && cp $(TARGET)/release/libaugur_torch.so dist/lib/ && ln -sfn "$$LIBTORCH" dist/lib/torch
	@echo "built: dist/lib/libaugur_torch.so"

test-torch: torch cli ## test training and networks on libtorch (gets libtorch first)
	LIBTORCH=$$(PYTHON=$(PYTHON) $(SETUP)/torch.sh build/torch) && export LIBTORCH && \
		cargo test --release --locked --manifest-path tools/torch/Cargo.toml --target-dir $(TARGET)
# Ignored elsewhere, as they need the library.
	$(WITH_CMAKE) AUGUR_TORCH=$(abspath dist/lib/libaugur_torch.so) \
		cargo test --release --locked --manifest-path tools/cli/Cargo.toml --test train -- --include-ignored
	AUGUR_TORCH=$(abspath dist/lib/libaugur_torch.so) \
		cargo test --release --locked -p augur-filter --test backend -- --ignored --exact libtorch_gives_the_same_streams

build: plugin cli ## build dist/plugins/libh5z_augur.so, dist/bin/augur, dist/include/augur_h5.h
	@echo "built:"; find dist -type f | sort | sed 's/^/  /'

venv:
	@PYTHON=$(PYTHON) $(SETUP)/venv.sh $(VENV) $(SETUP)/requirements.txt

package: venv check-rust ## build and install the Python package h5augur into build/venv
	$(PY) -m pip install -q --disable-pip-version-check --force-reinstall --no-deps ./tools/python

data:
ifeq ($(DATA),)
	@examples/demo/fetch.sh build/data >/dev/null
endif

FERRET := build/data/ferret-datasets/usr/share/ferret-vis/data
DATA_FILE = $(or $(firstword $(DATA)),$(FERRET)/monthly_navy_winds.cdf)
BENCH_DATA = $(or $(DATA),$(addprefix $(FERRET)/,monthly_navy_winds.cdf:UWND monthly_navy_winds.cdf:VWND coads_climatology.cdf:SST ocean_atlas_subset.nc:TEMP))

# The field that a network can learn to forecast, and how many of its first steps the model of examples/models saw.
TURBULENCE := build/data/turbulence.h5
TRAINED_STEPS := 64

turbulence: venv
	@$(PY) examples/demo/turbulence.py $(TURBULENCE)

demo: package data $(if $(DATA),,turbulence) ## compress real data beside SZ3 and ZFP, read it back, print a table, draw a picture
	@$(PY) examples/demo/demo.py "$(DATA_FILE)" --picture build/demo.png
ifeq ($(DATA),)
	@echo
	@$(PY) examples/demo/demo.py $(TURBULENCE) --skip $(TRAINED_STEPS) --model examples/models/turbulence.safetensors --picture build/demo-learned.png
endif

# libtorch is pinned for this one; LIBTORCH names another.
TRAINING := $(if $(or $(LIBTORCH),$(filter Linux_x86_64,$(shell uname -s)_$(shell uname -m))),test-torch)

TRAINING_TIME ?= 300
demo-learned: package data turbulence torch cli ## train a model on the first part of a field (TRAINING_TIME=seconds), and show what it gives on the rest
	@$(PY) examples/demo/turbulence.py build/data/turbulence-first.h5 --steps $(TRAINED_STEPS)
	dist/bin/augur train build/data/turbulence-first.h5:/vorticity --relative 1e-3 --max-time $(TRAINING_TIME) -o build/turbulence.safetensors
	@echo
	@$(PY) examples/demo/demo.py $(TURBULENCE) --skip $(TRAINED_STEPS) --model build/turbulence.safetensors --picture build/demo-learned.png

test: test-rust $(TRAINING) test-hosts ## run all tests: Rust, training, and the plugin in h5py, netCDF4, h5repack, C, ...

# The codec and the filter with overflow checks and debug assertions on, the rest as users run it.
test-rust: check-rust
	CARGO_PROFILE_DEV_OPT_LEVEL=2 cargo test --locked -p augur-core -p augur-filter
	$(WITH_CMAKE) cargo test --release --locked --workspace --exclude augur-core --exclude augur-filter
ifeq ($(shell uname -sm),Linux x86_64)
# Files that were written with the widest instructions, and models, on an old processor.
	@$(SETUP)/packages.sh qemu-x86_64=qemu-user
	CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="qemu-x86_64 -cpu Nehalem" CARGO_PROFILE_DEV_OPT_LEVEL=2 \
		cargo test --locked -p augur-core --test golden --test network
endif

# Another architecture, with NEON, on cores with dot products and without; for rustup and Debian's cross compiler.
test-arm: check-rust ## test the codec's golden streams and networks on 64-bit Arm, emulated (needs rustup and Linux on x86-64)
	rustup target add aarch64-unknown-linux-gnu
	@$(SETUP)/packages.sh aarch64-linux-gnu-gcc=gcc-aarch64-linux-gnu /usr/aarch64-linux-gnu/include/stdio.h=libc6-dev-arm64-cross qemu-aarch64=qemu-user
	for core in max cortex-a57; do \
		CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc CARGO_PROFILE_DEV_OPT_LEVEL=1 \
		CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -cpu $$core -L /usr/aarch64-linux-gnu" \
		cargo test --locked --target aarch64-unknown-linux-gnu -p augur-core --lib --test golden --test network --test network_golden || exit 1; \
	done

test-hosts: build package
	@$(SETUP)/packages.sh h5repack=hdf5-tools ncdump=netcdf-bin gfortran=gfortran h5cc=libhdf5-dev
	PATH="$(abspath dist/bin):$$PATH" $(PY) -m pytest -q tests tools/cli/tests

# Once with the widest instructions of this machine (kernels beside their scalar twins), then without wide ones.
bench: package data ## criterion benchmarks per stage; curves and trade-off beside SZ, ZFP, SPERR (build/bench/*.png; QUICK=1)
	cargo bench --locked -p augur-core --features bench $(if $(QUICK),-- --quick)
	AUGUR_CPU=portable cargo bench --locked -p augur-core --features bench -- $(if $(QUICK),--quick) "predict and quantise|whole chunk"
	$(PY) bench/compare.py $(BENCH_DATA) $(if $(QUICK),--quick) --out build/bench

# The fields of docs/performance.md: those of which a large frame and a small one are shown.
ROOFLINE ?= $(wordlist 1,2,$(BENCH_DATA))

figures: package data ## measure anew what docs/presets.md and docs/performance.md show (ROOFLINE=fields of the latter)
	$(PY) bench/compare.py $(BENCH_DATA) --rel 1e-2 1e-3 1e-4 --out build/bench --docs docs
	$(PY) bench/roofline.py $(ROOFLINE) --document docs/performance.md
	$(PY) bench/memory.py --document docs/performance.md

# FILE or FILE:/dataset, several separated by blanks: half of their steps, in whole chunks, is trained on.
pareto: package torch cli $(if $(DATA),,turbulence) ## train models of all sizes, draw ratio against multiply-adds per point (build/bench/pareto; DATA=)
	$(PY) bench/pareto.py $(or $(DATA),$(TURBULENCE) --first $(TRAINED_STEPS)) --out build/bench/pareto

# FILE or FILE:/dataset, several separated by blanks: half of their steps, in whole chunks, is trained on.
autoencoders: package torch cli $(if $(DATA),,turbulence) ## train autoencoders, draw rate-distortion, blocks won and latents beside SZ2, SZ3, ZFP (build/bench/autoencoders; DATA=)
	$(PY) bench/autoencoders.py $(or $(DATA),$(TURBULENCE) --first $(TRAINED_STEPS)) --learned --out build/bench/autoencoders

install: build ## copy plugin, command and header below PREFIX
	install -d "$(DESTDIR)$(PREFIX)/lib/hdf5/plugin" "$(DESTDIR)$(PREFIX)/include" "$(DESTDIR)$(PREFIX)/bin"
	install -m 755 dist/plugins/$(LIBRARY) "$(DESTDIR)$(PREFIX)/lib/hdf5/plugin/"
	install -m 644 dist/include/* "$(DESTDIR)$(PREFIX)/include/"
	install -m 755 dist/bin/augur "$(DESTDIR)$(PREFIX)/bin/"
	@echo "installed; HDF5 finds the plugin with: export HDF5_PLUGIN_PATH=$(PREFIX)/lib/hdf5/plugin"

uninstall: ## remove what install put below PREFIX
	rm -f "$(DESTDIR)$(PREFIX)/lib/hdf5/plugin/$(LIBRARY)" "$(DESTDIR)$(PREFIX)/bin/augur"
	for f in h5-plugin/include/*; do rm -f "$(DESTDIR)$(PREFIX)/include/$$(basename $$f)"; done

clean: ## remove everything that was built or downloaded here
	cargo clean
	rm -rf build dist tools/python/dist tools/python/src/h5augur/plugins
