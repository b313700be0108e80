# `make demo` and `make test` need Python 3.11+, make and git, nothing else: each builds .venv from the lock first.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
ROOMS := runs/demo/rooms

.PHONY: demo test lint bench lock

.venv: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c "import sys; sys.exit('Python 3.11 or newer is needed, found ' + sys.version.split()[0] if sys.version_info < (3, 11) else 0)"
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python -m preprocess.rooms --output=$(ROOMS)/meshes --count=48 --seed=0 --prefix=train
	$(BIN)/python -m preprocess.rooms --output=$(ROOMS)/meshes --count=8 --seed=1000 --prefix=val
	$(BIN)/python -m preprocess.scenes --input=$(ROOMS)/meshes --output=$(ROOMS)/scenes --cells=0.08,0.16 --voxel_size=0.08
	$(BIN)/python -m vmnet_jax.train --config=configs/vmnet_rooms.py --workdir=runs/demo/vmnet
	$(BIN)/python -m vmnet_jax.evaluate --workdir=runs/demo/vmnet
	$(BIN)/python -m vmnet_jax.baseline --workdir=runs/demo/vmnet
	$(BIN)/python -m vmnet_jax.predict --workdir=runs/demo/vmnet --mesh=$(ROOMS)/meshes/val_0000.ply --output=runs/demo/predicted
	@echo "A room to turn round: runs/demo/predicted/val_0000.html   the same as a picture: runs/demo/predicted/val_0000.png"
	@echo "IoU by class and confusion: runs/demo/vmnet/eval   training curves: runs/demo/vmnet/metrics.jsonl and TensorBoard event files"

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations=25

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(STAMP)
	$(BIN)/python -m benchmarks

# Writes the lock anew (needs uv); exact versions for every supported Python and platform.
lock:
	uv pip compile --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url --group dev pyproject.toml requirements.build.in -o requirements.lock
