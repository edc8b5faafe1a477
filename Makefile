# Caffe's verbs over CMake. `make` alone needs nothing configured; see Makefile.config.example.
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
INSTALL_PACKAGES ?= 1
SOLVER ?= models/drml/solver.prototxt
DATA := data/drml
export INSTALL_PACKAGES PYTHON USE_CUDA USE_NCCL USE_MPI CUDA_DIR

ifeq ($(USE_CUDNN),1)
  $(error USE_CUDNN := 1: Caffe's code for cuDNN does not build with cuDNN 8 or newer, so it is left out; remove the line)
endif

CMAKE_OPTIONS := -G Ninja -DPython3_EXECUTABLE=$(CURDIR)/$(VENV)/bin/python \
  -DCMAKE_BUILD_TYPE=$(if $(filter 1,$(DEBUG)),Debug,Release) -DCAFFE_SOURCE_DIR=$(CAFFE_SOURCE_DIR) \
  -DUSE_ONEDNN=$(if $(filter 1,$(USE_ONEDNN)),ON,OFF) -DUSE_CUDA=$(if $(filter 1,$(USE_CUDA)),ON,OFF) \
  -DUSE_NCCL=$(if $(filter 1,$(USE_NCCL)),ON,OFF) -DUSE_MPI=$(if $(filter 1,$(USE_MPI)),ON,OFF) -DCUDA_DIR=$(CUDA_DIR) -DCUDA_ARCH="$(CUDA_ARCH)" \
  -DBLAS_INCLUDE=$(BLAS_INCLUDE) -DBLAS_LIB=$(BLAS_LIB)
NINJA := cmake --build $(BUILD_DIR) -j $(JOBS)

# One recipe at a time: ninja and the tests use the cores themselves.
.NOTPARALLEL:
.PHONY: all system configure demo data train paper-quick paper-tiny bench bench-layers runtest test-cpp pytest \
  fuzz sanitize long-run wheel wheel-check sbom lock cuda-check mpi-check lint format clean

all: configure
	$(NINJA)
	tools/link_venv.sh $(BUILD_DIR) $(VENV)

# Missing system packages, and the Python environment.
system:
	tools/setup.sh $(VENV)
	$(if $(filter 1,$(USE_CUDA)),tools/cuda_libraries.sh $(VENV))

configure: system
	cmake -S . -B $(BUILD_DIR) $(CMAKE_OPTIONS)

# Data set -> LMDB -> caffe train -> scores -> build/demo/report.html, on synthetic data.
demo:
	tools/demo.sh $(BUILD_DIR)/demo

# Data for models/drml: synthetic, or BP4D where BP4D_ROOT names it.
data: all
	tools/make_data.sh $(DATA) $(BP4D_ROOT)

train: all
	@test -f $(DATA)/summary.json || tools/make_data.sh $(DATA) $(BP4D_ROOT)
	$(VENV)/bin/caffe train -solver $(SOLVER)

# Every table and figure of the paper on synthetic data, small; fails where a cell is missing. paper-tiny trains for
# three iterations only, to see that every way is open.
paper-quick: all
	tools/paper.sh $(BUILD_DIR)/paper quick

paper-tiny: all
	tools/paper.sh $(BUILD_DIR)/paper_tiny tiny

# Training and inference against other frameworks, in an environment of their own; BENCH holds options.
bench: all
	tools/bench/setup.sh $(BUILD_DIR)/bench/venv
	BENCH_VENV=$(BUILD_DIR)/bench/venv $(VENV)/bin/python tools/bench/bench.py --out $(BUILD_DIR)/bench $(BENCH)
	BENCH_VENV=$(BUILD_DIR)/bench/venv $(VENV)/bin/python tools/bench/gpu.py --out $(BUILD_DIR)/bench

# models/drml layer by layer against the machine's ceilings.
bench-layers: all
	$(NINJA) --target bench_programs
	$(VENV)/bin/python tools/bench/layers.py --build $(BUILD_DIR) $(BENCH)

runtest: test-cpp pytest

test-cpp: all
	$(NINJA) --target cpp_tests
	cd $(BUILD_DIR) && ctest --output-on-failure
	@$(if $(filter 1,$(USE_CUDA)),,echo "GPU: this build is for the CPU, so the GPUDevice cases of our layers ran on the host.")

pytest: all
	$(VENV)/bin/python -m pytest
	cd $(BUILD_DIR)/python && $(CURDIR)/$(VENV)/bin/python -m pytest -q -c /dev/null -p no:cacheprovider caffe/test

# Memory over 20,000 batches and 2,000 iterations, and with a million records: docs/long_runs.md. LONG_RUN holds options.
long-run: all
	rm -rf $(BUILD_DIR)/long_run
	$(VENV)/bin/python tools/long_run.py --out $(BUILD_DIR)/long_run $(LONG_RUN)

# What people one does not know could write, made up by the thousand: tests/fuzz. SECONDS are each target's.
SECONDS ?= 60
fuzz: all
	CAFFE_SOURCE_DIR="$(or $(CAFFE_SOURCE_DIR),$(wildcard $(CURDIR)/$(BUILD_DIR)/caffe/brocolli-caffe-3.0.0))" JOBS=$(JOBS) \
	  tools/fuzz.sh $(BUILD_DIR)/fuzz $(SECONDS)

# The C++ tests under Address-, UndefinedBehavior- and ThreadSanitizer.
sanitize: all
	CAFFE_SOURCE_DIR="$(or $(CAFFE_SOURCE_DIR),$(wildcard $(CURDIR)/$(BUILD_DIR)/caffe/brocolli-caffe-3.0.0))" JOBS=$(JOBS) \
	  tools/sanitize.sh $(BUILD_DIR)/sanitize

# The package for pip, library and programs inside; it needs the distribution's libraries where it is installed.
wheel: system
	$(VENV)/bin/python -m pip wheel --disable-pip-version-check --no-deps --wheel-dir $(BUILD_DIR) .

wheel-check: system
	tools/wheel_check.sh $(VENV)/bin/python $(BUILD_DIR)/wheel_check

# What the build contains, with licences: build/sbom.json (CycloneDX) and a table.
sbom: all
	$(VENV)/bin/python tools/sbom.py --build $(BUILD_DIR)

# Renews requirements.lock: the newest packages that pyproject.toml allows, with their hashes.
lock: system
	tools/lock.sh $(VENV) $(BUILD_DIR)/lock

# Compiles all of the CUDA code without a GPU: see tools/cuda_check.py.
cuda-check: system
	$(VENV)/bin/python tools/cuda_check.py --build $(BUILD_DIR)/cuda-check --jobs $(JOBS) \
	  $(if $(CUDA_ARCH),--arch "$(CUDA_ARCH)")

# The tests of data parallelism, two ranks on this machine; whatever USE_MPI is, the build is left as it was.
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

# Removes what was built; keeps data/ and .venv.
clean:
	rm -rf $(BUILD_DIR)
