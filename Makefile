# `make demo` and `make test` need Python 3.11+, make and git, nothing else: each builds .venv from the lock first.
# `make test PYTHON=python3.13` takes that Python. Without PYTHON, a .venv that exists is kept.
PYTHON ?= python3
# Every command starts Python several times: with compiled sources JAX is imported in a third of the time.
export PYTHONDONTWRITEBYTECODE :=
BIN := .venv/bin
STAMP := .venv/.installed
ROOMS := runs/demo/rooms
DIGITS := runs/demo/sdclr
SDCLR_RUNS := $(foreach seed,1 2 3,$(DIGITS)/sdclr_$(seed))
SIMCLR_RUNS := $(foreach seed,1 2 3,$(DIGITS)/simclr_$(seed))

.PHONY: demo demo-vmnet demo-sdclr test durations lint bench docs docs-lock lock $(SDCLR_RUNS) $(SIMCLR_RUNS)

.venv: $(STAMP)

# A .venv of another version than that of the given Python is built again.
VERSION := -c "import sys; print(sys.version)"
ifneq ($(origin PYTHON),file)
ifneq ($(shell $(PYTHON) $(VERSION)),$(shell $(BIN)/python $(VERSION) 2>/dev/null))
.PHONY: $(STAMP)
endif
endif

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c "import sys; sys.exit('Python 3.11 or newer is needed, found ' + sys.version.split()[0] if sys.version_info < (3, 11) else 0)"
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $(STAMP)

demo: $(STAMP)
	@$(MAKE) --no-print-directory demo-vmnet
	@$(MAKE) --no-print-directory demo-sdclr

demo-vmnet: $(STAMP)
	$(BIN)/python -m preprocess.rooms --output=$(ROOMS)/meshes --count=48 --seed=0 --prefix=train
	$(BIN)/python -m preprocess.rooms --output=$(ROOMS)/meshes --count=8 --seed=1000 --prefix=val
	$(BIN)/python -m preprocess.scenes --input=$(ROOMS)/meshes --output=$(ROOMS)/scenes --cells=0.08,0.16 --voxel_size=0.08
	$(BIN)/python -m vmnet_jax.train --config=configs/vmnet_rooms.py --workdir=runs/demo/vmnet
	$(BIN)/python -m vmnet_jax.evaluate --workdir=runs/demo/vmnet
	$(BIN)/python -m vmnet_jax.baseline --workdir=runs/demo/vmnet
	$(BIN)/python -m vmnet_jax.predict --workdir=runs/demo/vmnet --mesh=$(ROOMS)/meshes/val_0000.ply --output=runs/demo/predicted
	@echo "A room to turn round: runs/demo/predicted/val_0000.html   the same as a picture: runs/demo/predicted/val_0000.png"
	$(BIN)/python -m vmnet_jax.curve runs/demo/vmnet --output=runs/demo/vmnet/training.png
	@echo "IoU by class, confusion, contact sheet and a page of each room: runs/demo/vmnet/eval"

demo-sdclr: $(STAMP)
	@$(MAKE) --no-print-directory -j2 $(SIMCLR_RUNS) $(SDCLR_RUNS)
	$(BIN)/python -m sdclr_jax.table $(SIMCLR_RUNS) $(SDCLR_RUNS) --output=$(DIGITS)/table
	$(BIN)/python -m sdclr_jax.curve $(SDCLR_RUNS) --output=$(DIGITS)/forgetting.png
	$(BIN)/python -m sdclr_jax.curve $(SIMCLR_RUNS) $(SDCLR_RUNS) --kind=training --output=$(DIGITS)/training.png
	$(BIN)/python -m sdclr_jax.curve $(DIGITS)/simclr_1 $(DIGITS)/sdclr_1 --kind=features --output=$(DIGITS)/features.png

# runs/demo/sdclr/METHOD_SEED, two at a time
$(SIMCLR_RUNS) $(SDCLR_RUNS): METHOD = $(firstword $(subst _, ,$(@F)))
$(SIMCLR_RUNS) $(SDCLR_RUNS): SEED = $(lastword $(subst _, ,$(@F)))
$(SIMCLR_RUNS) $(SDCLR_RUNS): $(STAMP)
	@mkdir -p $(DIGITS)
	@echo "Training and evaluating $@, about a minute; what it says: $@.log"
	@{ $(BIN)/python -m sdclr_jax.train --config=configs/sdclr_digits_lt.py:$(METHOD),split=$(SEED),seed=$(SEED) --workdir=$@ && \
	  $(BIN)/python -m sdclr_jax.evaluate --workdir=$@; } > $@.log 2>&1 || { tail -n 20 $@.log; exit 1; }

# Each worker takes whole files, those first that took longest when tests/DURATIONS.txt was written.
TWO_WORKERS := -n 2 --dist loadfile --no-loadscope-reorder

test: $(STAMP)
	$(BIN)/python -m pytest $(TWO_WORKERS) --durations=25

# All tests; time and memory of the 60 slowest go to tests/DURATIONS.txt.
durations: $(STAMP)
	$(BIN)/python -m tests.durations $(TWO_WORKERS) --quiet

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The first run installs the programs that the project is compared with into .bench-venv (2.5 GB or more) and makes the
# inputs; BENCH_DATA names a folder of stored ones. benchmarks.growth makes docs/growth.png. docs/speed.md has the times.
bench: $(STAMP)
	$(BIN)/python -m benchmarks.peers
	$(BIN)/python -m benchmarks

# The site, warnings as errors: site/index.html. Its tools live in an environment of their own.
docs: .docs-venv/.installed
	NO_MKDOCS_2_WARNING=1 .docs-venv/bin/mkdocs build --strict --quiet
	@echo "The documentation: site/index.html"

.docs-venv/.installed: docs/requirements.txt
	$(PYTHON) -m venv --clear .docs-venv
	.docs-venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -r docs/requirements.txt
	touch $@

docs-lock:
	uv pip compile --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url docs/requirements.in -o docs/requirements.txt

# Writes the lock anew (needs uv); exact versions for every supported Python and platform.
lock:
	uv pip compile --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url --group dev pyproject.toml requirements.build.in -o requirements.lock
