# make run              install into .venv and show a demo
# make test             a sample of the tests without frameworks, with two drawn examples: about five minutes
# make test-thorough    all of them with many examples: before a release, or after a change of arithmetic
# make test-frameworks  a sample of those with Keras, PyTorch, JAX and Dask, in another environment
# make mutants          break the code in many places: the tests must fail each time
# make generate         write the coefficients of the recipes
# make exhaustive       the errors of the activations over all float32 numbers; half an hour
# make lint             ruff and mypy
# make bench            against other libraries and the machine's limit; half an hour, on a quiet machine
# make bench-gpu        the same on an NVIDIA GPU, with CuPy, PyTorch and JAX if they are in .venv
# make gpu-check        on an NVIDIA GPU: bits, tests, sanitizers and times, in nine minutes, with python3
# make docs             build the site in build/docs
# make dist             build the wheel and the sdist, and test both in clean environments

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FRAMEWORKS := .venv-frameworks
# A process for each core, of neighbouring tests, which need the same compiled code.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal

.PHONY: run test test-thorough test-frameworks mutants generate exhaustive lint docs bench bench-gpu gpu-check dist clean

run: $(VENV)/run.stamp
	$(BIN)/python -m multisubnet demo

test: $(VENV)/dev.stamp
	@command -v g++ >/dev/null || echo "no g++: the tests of the CUDA sources on the host are skipped"
	$(PYTEST)

test-thorough: $(VENV)/dev.stamp
	MULTISUBNET_TEST_EXAMPLES=200 MULTISUBNET_TEST_HOST_BUILD=optimized $(PYTEST)

# Without those that `make test` runs, too.
test-frameworks: $(FRAMEWORKS)/stamp
	$(FRAMEWORKS)/bin/python -m pytest tests/frameworks tests/test_docs.py::test_examples_of_frameworks \
		--ignore tests/frameworks/test_dask.py --ignore tests/frameworks/test_networks_dask.py

mutants: $(VENV)/dev.stamp
	$(BIN)/python tests/mutants.py

generate: $(VENV)/dev.stamp
	$(BIN)/python tools/coefficients.py > coefficients.tmp
	mv coefficients.tmp multisubnet/_arithmetic/coefficients.py

exhaustive: $(VENV)/dev.stamp
	$(BIN)/python accuracy/exhaustive.py --results accuracy/results/errors.json

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/docs.stamp
	$(BIN)/sphinx-build --quiet --fresh-env --nitpicky --fail-on-warning --keep-going docs build/docs

dist: $(VENV)/dev.stamp
	$(BIN)/python tests/check_dist.py

bench: $(VENV)/bench.stamp
	$(BIN)/python benchmarks/cpu.py
	$(BIN)/python benchmarks/networks.py --write benchmarks/results/networks-cpu.json
	$(BIN)/python benchmarks/training.py --write benchmarks/results/training-cpu.json

bench-gpu: $(VENV)/bench.stamp
	$(BIN)/python benchmarks/gpu.py --results benchmarks/results

gpu-check:
	PYTHON=$(PYTHON) bash tools/gpu_check.sh

clean:
	rm -rf $(VENV) $(FRAMEWORKS) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: setup.cfg | $(VENV)/bin/python
	@echo "installing NumPy, Numba, scikit-learn and Matplotlib into $(VENV): a minute or two"
	$(BIN)/python -m pip install --quiet --editable '.[cpu,examples]'
	touch $@

$(VENV)/dev.stamp: setup.cfg | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

$(VENV)/docs.stamp: setup.cfg | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

$(FRAMEWORKS)/stamp: setup.cfg
	$(PYTHON) -m venv $(FRAMEWORKS)
	$(FRAMEWORKS)/bin/python -m pip install --quiet --editable '.[frameworks]'
	$(FRAMEWORKS)/bin/python -m pip install --quiet --no-deps tabm rtdl_num_embeddings
	touch $@

# tabm asks for packages that have nothing to do with its layer.
$(VENV)/bench.stamp: setup.cfg | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	$(BIN)/python -m pip install --quiet --no-deps tabm rtdl_num_embeddings
	touch $@
