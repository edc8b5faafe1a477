#!/usr/bin/env bash
# Run the C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer. Run those of the data layers and of resumed
# trainings, which use threads, under ThreadSanitizer. tests/sanitizers suppresses upstream's findings by name, with the reasons.
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

for kind in "${kinds[@]}"; do
  flags=-fsanitize=$kind
  targets=("${threaded[@]}")
  if [ "$kind" = address ]; then
    flags=-fsanitize=address,undefined
    targets=(cpp_tests)
  fi
  cmake -S "$root" -B "$build/$kind" -G Ninja -DUSE_CUDA=OFF -DPython3_EXECUTABLE="$root/.venv/bin/python" \
    -DCAFFE_SOURCE_DIR="${CAFFE_SOURCE_DIR:-}" -DCMAKE_BUILD_TYPE=Sanitize \
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
    # ThreadSanitizer does not recognise libgomp's barriers. The threads under test are the layers' own.
    export OMP_NUM_THREADS=1
    export TSAN_OPTIONS=suppressions=$suppressions/thread.supp:${TSAN_OPTIONS:-}
    for test in "${threaded[@]}"; do
      (cd "$root" && "$build/thread/$test") || status=1
    done
  fi
done
exit $status
