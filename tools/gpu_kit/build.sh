#!/usr/bin/env bash
# Build the kit that tests and times the CUDA build on a machine with a GPU: docs/gpu.md.
# Usage: tools/gpu_kit/build.sh VENV BUILD_DIR JOBS
# Writes BUILD_DIR/gpu-kit and BUILD_DIR/gpu-kit.tar.xz. Environment: CUDA_DIR; CUDA_ARCH (default: 80-real;90).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
venv=$(cd "$1" && pwd)
mkdir -p "$2"
build=$(cd "$2" && pwd)
jobs=$3
most=60  # MiB of the packed kit
cd "$root"

# --- Programs: with the static libraries of the portable wheel, so that little else has to come along.
tools/cuda_libraries.sh "$venv"
tools/portable_wheel/libraries.sh "$venv/bin/python" "$build/portable" "$jobs"
libraries=$build/portable/libraries
hdf5=$(dirname "$(find "$libraries" -name hdf5-config.cmake)")
openblas=$(find /usr/lib -path '*openblas-openmp/libopenblas.a' | head -n 1)
# Sources that the ordinary build has fetched already need no second copy.
source=${CAFFE_SOURCE_DIR:-}
[ -n "$source" ] || [ ! -d "$build/caffe/source" ] || source=$build/caffe/source
# Machine code for two architectures, and PTX of the newer one for what comes after it.
cmake -S . -B "$build/gpu-kit-build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DPython3_EXECUTABLE="$venv/bin/python" \
  -DCAFFE_SOURCE_DIR="$source" -DUSE_CUDA=ON -DCUDA_DIR="${CUDA_DIR:-}" -DCUDA_ARCH="${CUDA_ARCH:-80-real;90}" \
  -DSTATIC_HDF5=ON -DHDF5_DIR="$hdf5" -DOpenCV_DIR="$libraries/lib/cmake/opencv4" -DCBLAS_LIBRARY="$openblas" \
  -DZLIB_LIBRARY="$libraries/lib/opencv4/3rdparty/libzlib.a" \
  -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON -DCMAKE_INSTALL_RPATH="\$ORIGIN/../lib"
cmake --build "$build/gpu-kit-build" -j "$jobs" \
  --target caffe.bin gpu_times test_on_gpu test_upstream upstream_test_pictures

# --- The folder, under another name until it is complete.
kit=$build/gpu-kit.part
rm -rf "$kit"
mkdir -p "$kit/bin" "$kit/lib" "$kit/kit"
cd "$build/gpu-kit-build"
cp bin/caffe bin/gpu_times test_on_gpu test_upstream "$kit/bin"
cp lib/libcaffe.so.1.0 "$kit/lib"
strip "$kit"/bin/* "$kit"/lib/*
# What upstream's tests read, at the places where they look for it.
cp -R --parents -L src/caffe/test/test_data examples/images "$kit"
cd "$root"
# What our tests read.
find models -name '*.prototxt' -exec cp --parents -t "$kit" {} +

# Every library but glibc's, the driver's, cuBLAS and cuRAND.
cuda=$(find "$venv" -path '*nvidia*' -name 'libcublas.so.*' -printf '%h\n' | head -n 1)
curand=$(find "$venv" -path '*nvidia*' -name 'libcurand.so.*' -printf '%h\n' | head -n 1)
LD_LIBRARY_PATH="$kit/lib:$cuda:$curand" ldd "$kit"/bin/* "$kit"/lib/* >"$build/gpu-kit-build/libraries.txt"
! grep 'not found' "$build/gpu-kit-build/libraries.txt" || exit 1
awk '$3 ~ /^\// {print $1, $3}' "$build/gpu-kit-build/libraries.txt" | sort -u |
  grep -vE '^(lib(c|m|dl|rt|pthread|resolv|util|anl)\.so|ld-linux|libcublas|libcurand|libcaffe)' |
  while read -r name path; do cp -L "$path" "$kit/lib/$name"; done

# --- What makes the steps, nets and data.
cp "$here"/{steps,plan,report,libraries,gtest_shards,training,caffe_times,torch_times}.py "$kit/kit"
cp tools/bench/{architecture,torch_system}.py "$kit/kit"
cp "$here/run.sh" "$kit"
cp "$here/kit_readme.md" "$kit/README.md"
cp LICENSE NOTICE "$kit"
PYTHONPATH="$build/python:python" "$venv/bin/python" "$here/contents.py" "$kit"
nvcc=$(sed -n 's/^CMAKE_CUDA_COMPILER:[A-Z]*=//p' "$build/gpu-kit-build/CMakeCache.txt")
echo "DRML on Caffe $(git describe --always --dirty 2>/dev/null || echo of an unknown commit)," \
  "$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/CUDA \1/p')," \
  "compute capabilities ${CUDA_ARCH:-80-real;90}" >"$kit/version.txt"

rm -rf "$build/gpu-kit"
mv "$kit" "$build/gpu-kit"
tar cJf "$build/gpu-kit.tar.xz.part" -C "$build" gpu-kit
mv "$build/gpu-kit.tar.xz.part" "$build/gpu-kit.tar.xz"
size=$(($(stat -c %s "$build/gpu-kit.tar.xz") / 1048576 + 1))
((size <= most)) || {
  echo "$0: $build/gpu-kit.tar.xz has $size MiB, more than $most" >&2
  exit 1
}
echo "The kit is $build/gpu-kit, packed $build/gpu-kit.tar.xz ($size MiB). On a machine with a GPU: ./run.sh"
