#!/usr/bin/env bash
# Compile the library, the programs and the tests of our layers and engine for ARM64 with Debian's cross compiler, and run
# the tests in an emulator, so that this port cannot rot.
# Usage: tools/arm64_check.sh OUT JOBS
# Needs root, for debootstrap, and on Debian 12 the packages debootstrap, g++-aarch64-linux-gnu and qemu-user-static.
# Environment: SUITE (default bookworm: that of the cross compiler), MIRROR (default: debootstrap's own), PYTHON
# (default .venv/bin/python), CAFFE_SOURCE_DIR, as for make.
set -euo pipefail
out=$(realpath -m "$1")
jobs=$2
root=$out/root
source=$(pwd)

missing=()
for program in debootstrap aarch64-linux-gnu-g++ qemu-aarch64-static; do
  command -v "$program" >/dev/null || missing+=("$program")
done
if ((${#missing[@]})); then
  echo "Not found: ${missing[*]}. Install the packages debootstrap, g++-aarch64-linux-gnu and qemu-user-static." >&2
  exit 1
fi

# The first stage of debootstrap fetches the packages and all that they depend on. They are unpacked, never set up: a
# compiler needs no more.
if [ ! -e "$root.complete" ]; then
  rm -rf "$root"
  packages=libboost-dev,libboost-filesystem-dev,libboost-python-dev,libboost-thread-dev,libdnnl-dev,libgflags-dev
  packages+=,libgoogle-glog-dev,libhdf5-dev,libleveldb-dev,liblmdb-dev,libopenblas-openmp-dev,libopencv-dev,libprotobuf-dev
  packages+=,python3-dev
  debootstrap --foreign --arch=arm64 --variant=minbase --include="$packages" "${SUITE:-bookworm}" "$root" \
    ${MIRROR:+"$MIRROR"}
  for package in "$root"/var/cache/apt/archives/*.deb; do
    dpkg-deb --extract "$package" "$root"
    rm "$package"
  done
  # Without a set-up, nothing has chosen a BLAS and a LAPACK.
  libraries=$root/usr/lib/aarch64-linux-gnu
  ln -sf openblas-openmp/libblas.so.3 "$libraries/libblas.so.3"
  ln -sf openblas-openmp/liblapack.so.3 "$libraries/liblapack.so.3"
  touch "$root.complete"
fi

cat >"$out/arm64.cmake" <<END
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_SYSROOT "$root")
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -L "$root")
END

# Programs that run while compiling, and Python itself, are this machine's; its NumPy's headers are the same for all processors.
python=${PYTHON:-.venv/bin/python}
python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python")
triplet=aarch64-linux-gnu
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
export PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$root/usr/lib/$triplet/pkgconfig:$root/usr/share/pkgconfig
cmake -S "$source" -B "$out/build" -G Ninja -DCMAKE_TOOLCHAIN_FILE="$out/arm64.cmake" -DCMAKE_BUILD_TYPE=Release \
  -DPython3_EXECUTABLE="$python" -DPython3_INCLUDE_DIR="$root/usr/include/python$version" \
  -DPython3_LIBRARY="$root/usr/lib/$triplet/libpython$version.so" \
  -DPython3_NumPy_INCLUDE_DIR="$("$python" -c 'import numpy; print(numpy.get_include())')" \
  -DProtobuf_PROTOC_EXECUTABLE="$(command -v protoc)" \
  -DHDF5_C_COMPILER_EXECUTABLE=HDF5_C_COMPILER_EXECUTABLE-NOTFOUND \
  -DCMAKE_INCLUDE_PATH="$root/usr/include/hdf5/serial" -DCMAKE_LIBRARY_PATH="$root/usr/lib/$triplet/hdf5/serial" \
  ${CAFFE_SOURCE_DIR:+-DCAFFE_SOURCE_DIR="$CAFFE_SOURCE_DIR"}

tests=(test_region_layer test_locally_connected_layer test_multi_label_sigmoid_cross_entropy_loss_layer test_cpu_engine)
cmake --build "$out/build" -j "$jobs"
cmake --build "$out/build" -j "$jobs" --target "${tests[@]}"
# An emulator is some hundred times slower than a processor, so gradient checks, whole nets and solvers are left out. Tests of
# messages that end a program start it again, which an emulator without the system's help cannot.
cd "$out/build"
GTEST_FILTER='-*DeathTest*:*Gradient*:EngineNet*:EngineSolver*:EngineSignals*:Implementation*' ctest --output-on-failure -R "^($(IFS='|'; echo "${tests[*]}"))\$"
