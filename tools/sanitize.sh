#!/usr/bin/env bash
# Run the C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer. Run those of everything with threads under
# ThreadSanitizer: the data layers, resumed trainings, and all loops of OpenMP, in the CPU engine and in the layers. That takes
# clang and LLVM's OpenMP, whose tool Archer tells ThreadSanitizer about the barriers of a loop; it knows nothing of GCC's.
# tests/sanitizers suppresses upstream's findings by name, with the reasons.
# Usage: tools/sanitize.sh BUILD_DIR [address] [thread]
# Environment: CAFFE_SOURCE_DIR, as for make; JOBS.
set -euo pipefail
build=$1
shift
kinds=("$@")
((${#kinds[@]})) || kinds=(address thread)
jobs=${JOBS:-$(nproc)}
root=$(cd "$(dirname "$0")/.." && pwd)
suppressions=$root/tests/sanitizers
threaded=(test_multi_label_data_layer test_multi_label_image_data_layer test_training)
loops=(test_engines test_cpu_engine test_region_layer test_locally_connected_layer)
llvm=/usr/lib/llvm-14/lib

if [[ " ${kinds[*]} " == *" thread "* ]]; then
  ls "$(clang++-14 -print-resource-dir 2>/dev/null)"/lib/linux/libclang_rt.tsan-* "$llvm"/lib{omp,archer}.so >/dev/null 2>&1 || {
    echo "ThreadSanitizer needs clang 14 with its runtime, and LLVM's OpenMP with Archer:" \
      "apt-get install clang-14 libclang-rt-14-dev libomp-14-dev" >&2
    exit 1
  }
fi

for kind in "${kinds[@]}"; do
  flags=-fsanitize=$kind
  targets=("${threaded[@]}" "${loops[@]}")
  compilers=(-DCMAKE_C_COMPILER=clang-14 -DCMAKE_CXX_COMPILER=clang++-14)
  if [ "$kind" = address ]; then
    flags=-fsanitize=address,undefined
    targets=(cpp_tests)
    compilers=()
  fi
  cmake -S "$root" -B "$build/$kind" -G Ninja -DUSE_CUDA=OFF -DPython3_EXECUTABLE="$root/.venv/bin/python" \
    -DCAFFE_SOURCE_DIR="${CAFFE_SOURCE_DIR:-}" -DCMAKE_BUILD_TYPE=Sanitize "${compilers[@]}" \
    -DCMAKE_CXX_FLAGS_SANITIZE="-O1 -g1 -fno-omit-frame-pointer $flags" -DCMAKE_C_FLAGS_SANITIZE=-O1 >/dev/null
  cmake --build "$build/$kind" -j "$jobs" --target "${targets[@]}"
done

# Under a sanitizer, these tests would measure the sanitizer's own memory.
export GTEST_FILTER=-*MemoryTest*
status=0
for kind in "${kinds[@]}"; do
  if [ "$kind" = address ]; then
    export ASAN_OPTIONS=detect_leaks=0:exitcode=99:${ASAN_OPTIONS:-}
    export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:exitcode=99:suppressions=$suppressions/undefined.supp:${UBSAN_OPTIONS:-}
    (cd "$build/address" && ctest --output-on-failure) || status=1
  else
    # OpenBLAS and oneDNN ask for GCC's OpenMP. LLVM's has the same functions, and its name comes first: one pool of threads,
    # which Archer sees. What these two libraries write is not watched.
    export OMP_TOOL_LIBRARIES=$llvm/libarcher.so OMP_NUM_THREADS=3 OMP_WAIT_POLICY=passive
    export TSAN_OPTIONS=ignore_noninstrumented_modules=1:exitcode=66:suppressions=$suppressions/thread.supp:${TSAN_OPTIONS:-}
    example=$build/thread/openmp_loops
    clang++-14 -O1 -g1 -fsanitize=thread -fopenmp=libomp "-Wl,-rpath,$llvm" "$suppressions/openmp_loops.cpp" -o "$example"
    "$example" clean || status=1
    if "$example" racy >"$example.txt" 2>&1 || ! grep -q "data race" "$example.txt"; then
      echo "A race in a loop has not been found: see $example.txt" >&2
      status=1
    fi
    # Finite differences are thousands of passes over what the other tests have seen.
    for test in "${threaded[@]}" "${loops[@]}"; do
      (cd "$root" && GTEST_FILTER=$GTEST_FILTER:*Gradient* "$build/thread/$test") || status=1
    done
  fi
done
exit $status
