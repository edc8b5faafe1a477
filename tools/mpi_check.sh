#!/usr/bin/env bash
# Run the tests of data parallelism in the build folder of this tree. The build uses MPI in the meantime; only the tool `caffe`
# is linked again.
# Usage: tools/mpi_check.sh BUILD VENV JOBS
set -euo pipefail
build=$1
venv=$2
jobs=$3

with_mpi() {  # with_mpi ON|OFF: build `caffe` with or without MPI
  cmake -S . -B "$build" -DUSE_MPI="$1" >"$build/mpi_check.log" || {
    cat "$build/mpi_check.log" >&2
    return 1
  }
  cmake --build "$build" -j "$jobs" --target caffe.bin
}
before=$(sed -n 's/^USE_MPI:BOOL=//p' "$build/CMakeCache.txt")
trap 'with_mpi "${before:-OFF}"' EXIT

with_mpi ON
cmake --build "$build" -j "$jobs" --target test_parallel
# By default, Open MPI refuses to run as root and to start more ranks than there are cores.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
"$build/test_parallel" --gtest_filter='-Ranks*'
mpirun -n 3 "$build/test_parallel" --gtest_filter='Ranks*'
REQUIRE_MPI=1 "$venv/bin/python" -m pytest tests/python/test_parallel.py
