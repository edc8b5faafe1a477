# Caffe's make targets on top of CMake. `make` works without any configuration; see Makefile.config.example.
-include Makefile.config

PYTHON ?= /usr/bin/python3
BUILD_DIR ?= build
VENV := .venv
JOBS ?= $(shell nproc)
DEBUG ?= 0
CPU_ONLY ?= 1
USE_CUDA ?= $(if $(filter 1,$(CPU_ONLY)),0,1)
USE_NCCL ?= 0
USE_ONEDNN ?= 1
USE_MPI ?= 0
EXTRA_LAYERS ?=
INSTALL_PACKAGES ?= 1
SOLVER ?= models/drml/solver.prototxt
DATA := data/drml
export INSTALL_PACKAGES PYTHON USE_CUDA USE_NCCL USE_MPI CUDA_DIR EXTRA_LAYERS

ifeq ($(USE_CUDNN),1)
  $(error USE_CUDNN := 1: cuDNN is not supported, because Caffe's code for it does not build with cuDNN 8 or newer; remove this line)
endif

CMAKE_OPTIONS := -G Ninja -DPython3_EXECUTABLE=$(CURDIR)/$(VENV)/bin/python \
  -DCMAKE_BUILD_TYPE=$(if $(filter 1,$(DEBUG)),Debug,Release) -DCAFFE_SOURCE_DIR=$(CAFFE_SOURCE_DIR) \
  -DUSE_ONEDNN=$(if $(filter 1,$(USE_ONEDNN)),ON,OFF) -DUSE_CUDA=$(if $(filter 1,$(USE_CUDA)),ON,OFF) \
  -DUSE_NCCL=$(if $(filter 1,$(USE_NCCL)),ON,OFF) -DUSE_MPI=$(if $(filter 1,$(USE_MPI)),ON,OFF) -DCUDA_DIR=$(CUDA_DIR) -DCUDA_ARCH="$(CUDA_ARCH)" \
  -DBLAS_INCLUDE=$(BLAS_INCLUDE) -DBLAS_LIB=$(BLAS_LIB)
empty :=
CMAKE_OPTIONS += -DEXTRA_LAYERS="$(subst $(empty) ,;,$(strip $(EXTRA_LAYERS)))"
NINJA := cmake --build $(BUILD_DIR) -j $(JOBS)

# One recipe at a time: ninja and the tests use the cores themselves.
.NOTPARALLEL:
.PHONY: all system configure demo readme-table data train paper-quick paper-tiny results results-tiny intensities intensities-quick intensities-tiny \
  bench bench-layers runtest test test-cpp pytest fuzz sanitize long-run mutants wheel wheel-check wheel-portable sbom lock docs arm64-check cuda-check gpu-kit mpi-check lint format patches clean

all: configure
	$(NINJA)
	tools/link_venv.sh $(BUILD_DIR) $(VENV)

# Installs missing system packages and the Python environment.
system:
	tools/setup.sh $(VENV)
	$(if $(filter 1,$(USE_CUDA)),tools/cuda_libraries.sh $(VENV))

configure: system
	cmake -S . -B $(BUILD_DIR) $(CMAKE_OPTIONS)

# Runs the whole pipeline on synthetic data: data set -> LMDB -> caffe train -> scores -> build/demo/report.html.
demo: all
	$(VENV)/bin/drml demo $(BUILD_DIR)/demo --overwrite

# Writes the scores of the demo into README.md and docs/demo.md.
readme-table:
	$(VENV)/bin/python tools/readme_table.py $(BUILD_DIR)/demo

# Prepares the data for models/drml: BP4D if BP4D_ROOT is set, otherwise synthetic data.
data: all
	tools/make_data.sh $(DATA) $(BP4D_ROOT)

train: all
	@test -f $(DATA)/summary.json || tools/make_data.sh $(DATA) $(BP4D_ROOT)
	$(VENV)/bin/caffe train -solver $(SOLVER)

# Makes every table and figure of the paper on synthetic data, at a small scale, and fails if a cell is missing. paper-tiny
# trains for only three iterations, to check that every step works. FOLDS=1,2,3 tests paper-quick's methods on all folds.
FOLDS ?= 1
paper-quick: all
	tools/paper.sh $(BUILD_DIR)/paper quick $(FOLDS)

paper-tiny: all
	tools/paper.sh $(BUILD_DIR)/paper_tiny tiny

# The larger run of docs/results.md. It takes hours; the same command continues where it was interrupted. results-tiny
# runs every step of it at a small scale.
results: all
	tools/results.sh $(BUILD_DIR)/results full

results-tiny: all
	tools/results.sh $(BUILD_DIR)/results_tiny tiny

# A table of intensities on drawn faces. It takes hours with the paper's schedule, half an hour with the quick one; the same
# command continues where it was interrupted. intensities-tiny runs every step of it in a minute or two.
intensities: all
	tools/intensities.sh $(BUILD_DIR)/intensities full

intensities-quick: all
	tools/intensities.sh $(BUILD_DIR)/intensities_quick quick

intensities-tiny: all
	tools/intensities.sh $(BUILD_DIR)/intensities_tiny tiny

# Compares training and inference with other frameworks, which have an environment of their own. BENCH holds options.
bench: all
	$(NINJA) --target bench_programs
	tools/bench/setup.sh $(BUILD_DIR)/bench/venv
	BENCH_VENV=$(BUILD_DIR)/bench/venv $(VENV)/bin/python tools/bench/bench.py --out $(BUILD_DIR)/bench $(BENCH)
	BENCH_VENV=$(BUILD_DIR)/bench/venv $(VENV)/bin/python tools/bench/gpu.py --out $(BUILD_DIR)/bench

# Compares models/drml, layer by layer, with the limits of the machine.
bench-layers: all
	$(NINJA) --target bench_programs
	$(VENV)/bin/python tools/bench/layers.py --build $(BUILD_DIR) $(BENCH)

CTEST := cd $(BUILD_DIR) && ctest --output-on-failure -j $(JOBS)
# A worker for each core, with one thread: the nets of the tests are too small for more. A file stays on one worker, because its
# tests share fixtures; tests/python/conftest.py says which files begin.
PYTEST := OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder
PYCAFFE_TESTS := cd $(BUILD_DIR)/python && $(CURDIR)/$(VENV)/bin/python -m pytest -q -c /dev/null -p no:cacheprovider caffe/test
GPU_TESTS := $(if $(filter 1,$(USE_CUDA)),true,echo "GPU: this build is for the CPU, so the GPUDevice cases of our layers ran on the host.")

# For daily work, less than three minutes on two idle cores once it is built: our C++ tests, each once, and the quick
# ones of Python. Upstream's tests, kernels on the host and other instruction sets are in runtest.
test: all
	$(NINJA) --target quick_cpp_tests
	@($(CTEST) -L quick); cpp=$$?; $(PYTEST) --quick && [ $$cpp = 0 ]

# All tests. Those of Python also run if one of C++ has failed.
runtest: all
	$(NINJA) --target cpp_tests
	@($(CTEST)); cpp=$$?; $(PYTEST) && ($(PYCAFFE_TESTS)) && [ $$cpp = 0 ]
	@$(GPU_TESTS)

test-cpp: all
	$(NINJA) --target cpp_tests
	$(CTEST)
	@$(GPU_TESTS)

pytest: all
	$(PYTEST)
	$(PYCAFFE_TESTS)

# Measures memory over 20,000 batches and 2,000 iterations, and with a million records: docs/long_runs.md. LONG_RUN holds options.
long-run: all
	rm -rf $(BUILD_DIR)/long_run
	$(VENV)/bin/python tools/long_run.py --out $(BUILD_DIR)/long_run $(LONG_RUN)

# Fuzzes the readers of untrusted files: tests/fuzz. SECONDS is the time for each target.
SECONDS ?= 60
fuzz: all
	CAFFE_SOURCE_DIR="$(CURDIR)/$(BUILD_DIR)/caffe/source" JOBS=$(JOBS) \
	  tools/fuzz.sh $(BUILD_DIR)/fuzz $(SECONDS)

# Runs the C++ tests under Address-, UndefinedBehavior- and ThreadSanitizer.
sanitize: all
	CAFFE_SOURCE_DIR="$(CURDIR)/$(BUILD_DIR)/caffe/source" JOBS=$(JOBS) \
	  tools/sanitize.sh $(BUILD_DIR)/sanitize

# Changes the Python modules that decide figures and files, one place at a time, and counts the changes that no test notices.
# ROOMS names some of tools/mutants/rooms.toml; by default all.
mutants: all
	tools/mutants/setup.sh $(BUILD_DIR)/mutants/venv
	$(VENV)/bin/python tools/mutants/run.py --maker $(BUILD_DIR)/mutants/venv/bin/python --out $(BUILD_DIR)/mutants \
	  --jobs $(JOBS) $(ROOMS)

# Builds the package for pip with the library and the programs. It needs the distribution's libraries where it is installed.
wheel: system
	$(VENV)/bin/python -m pip wheel --disable-pip-version-check --no-deps --wheel-dir $(BUILD_DIR) .

# Builds a wheel that brings all libraries but glibc's and GCC's, and uses it in an empty environment: docs/install.md.
wheel-portable: system
	tools/portable_wheel/build.sh $(VENV) $(BUILD_DIR)/portable $(BUILD_DIR) $(JOBS)
	tools/portable_wheel/check.sh $(PYTHON) $$(ls -t $(BUILD_DIR)/drml-*-manylinux_*.whl | head -n 1) $(BUILD_DIR)/portable/check

wheel-check: system
	tools/wheel_check.sh $(VENV)/bin/python $(BUILD_DIR)/wheel_check

# Lists what the build contains, with licences: build/sbom.json (CycloneDX) and a table.
sbom: all
	$(VENV)/bin/python tools/sbom.py --build $(BUILD_DIR)

# Builds the API page, build/docs/index.html, from the docstrings; an incomplete entry is an error.
docs: system
	$(VENV)/bin/sphinx-build -q -W --keep-going -b html docs/api $(BUILD_DIR)/docs
	@echo "The API page is $(BUILD_DIR)/docs/index.html."

# Renews requirements.lock with the newest packages that pyproject.toml allows, and their hashes.
lock: system
	tools/lock.sh $(VENV) $(BUILD_DIR)/lock $(UPGRADE)

# Compiles all CUDA code without a GPU: see tools/cuda_check.py.
cuda-check: system
	$(VENV)/bin/python tools/cuda_check.py --build $(BUILD_DIR)/cuda-check --jobs $(JOBS) \
	  $(if $(CUDA_ARCH),--arch "$(CUDA_ARCH)")

# Builds a kit that tests and times the CUDA build on another machine, which needs neither compiler nor network: docs/gpu.md.
gpu-kit: all
	CAFFE_SOURCE_DIR="$(CAFFE_SOURCE_DIR)" tools/gpu_kit/build.sh $(VENV) $(BUILD_DIR) $(JOBS)

# Compiles for ARM64 and runs some tests in an emulator: docs/platforms.md.
arm64-check: all
	CAFFE_SOURCE_DIR="$(CURDIR)/$(BUILD_DIR)/caffe/source" \
	  PYTHON=$(VENV)/bin/python tools/arm64_check.sh $(BUILD_DIR)/arm64 $(JOBS)

# Runs the tests of data parallelism with two ranks on this machine. It does not change the build, whatever USE_MPI is.
mpi-check: all
	USE_MPI=1 tools/setup.sh $(VENV)
	tools/mpi_check.sh $(BUILD_DIR) $(VENV) $(JOBS)

CPP_FILES = $(shell git ls-files '*.cpp' '*.hpp' '*.h' '*.cu' '*.cuh')

lint: system
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/clang-format --dry-run --Werror $(CPP_FILES)

format: system
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format
	$(VENV)/bin/clang-format -i $(CPP_FILES)

# Exports caffe_ext/patches again after an edit of a file in $(BUILD_DIR)/caffe/patched. PATCH names the patch that takes the edit.
patches:
	$(PYTHON) caffe_ext/patch_series.py export caffe_ext/patches \
	  $(BUILD_DIR)/caffe/source $(BUILD_DIR)/caffe $(PATCH)

# Removes the build folder; keeps data/ and .venv.
clean:
	rm -rf $(BUILD_DIR)
