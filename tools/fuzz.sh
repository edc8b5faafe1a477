#!/usr/bin/env bash
# Build the fuzzers of tests/fuzz and run each for SECONDS, as many at a time as there are cores. Then fuzz the Python readers
# (tools/fuzz_python.sh). Findings are written to BUILD_DIR/findings; add a finding to tests/fuzz/found once it is fixed.
# Usage: tools/fuzz.sh BUILD_DIR SECONDS [TARGET...]   (datum layer list lmdb net solver weights)
# Environment: CAFFE_SOURCE_DIR, as for make; JOBS; FUZZ_SEED, with which the fuzzers draw the same inputs again.
set -euo pipefail
build=$1 seconds=$2
shift 2
targets=("$@")
((${#targets[@]})) || targets=(datum layer list lmdb net solver weights)
jobs=${JOBS:-$(nproc)}
root=$(cd "$(dirname "$0")/.." && pwd)
ls "$(clang++-14 -print-resource-dir 2>/dev/null)"/lib/linux/libclang_rt.fuzzer-* >/dev/null 2>&1 || {
  echo "The fuzzers need clang 14 with its runtime: apt-get install clang-14 libclang-rt-14-dev" >&2
  exit 1
}

cmake -S "$root" -B "$build" -G Ninja -DBUILD_FUZZERS=ON -DUSE_CUDA=OFF \
  -DPython3_EXECUTABLE="$root/.venv/bin/python" -DCAFFE_SOURCE_DIR="${CAFFE_SOURCE_DIR:-}" \
  -DCMAKE_MODULE_PATH="$root/tests/fuzz/cmake" -DCMAKE_C_COMPILER=clang-14 -DCMAKE_CXX_COMPILER=clang++-14 \
  -DCMAKE_BUILD_TYPE=Fuzz \
  -DCMAKE_CXX_FLAGS_FUZZ="-O1 -g1 -DNDEBUG -fsanitize=address,undefined,fuzzer-no-link -fno-omit-frame-pointer -I$root/tests/fuzz/stand_in" \
  >/dev/null
cmake --build "$build" -j "$jobs" --target fuzzers

# The words that the fuzzers insert into prototxts.
grep -ohE '\b[a-z][a-z_0-9]+ = [0-9]+' "$build"/caffe/generated/caffe.proto | cut -d' ' -f1 | sort -u |
  sed 's/.*/"&: "/' >"$build/words.dict"
printf '"%s"\n' 4294967295 2147483647 2000000000 -1 nan 1e30 TRAIN TEST >>"$build/words.dict"

mkdir -p "$build/findings" "$build/log"
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=0:${ASAN_OPTIONS:-}
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:suppressions=$root/tests/sanitizers/fuzz.supp:${UBSAN_OPTIONS:-}
export OPENBLAS_NUM_THREADS=1 ROOT=$root BUILD=$build TIME=$seconds SEED=${FUZZ_SEED:-0} # with 0, libFuzzer draws a seed
status=0
printf '%s\n' "${targets[@]}" | xargs -P "$jobs" -I TARGET bash -c '
  mkdir -p "$BUILD/corpus/TARGET"
  words=()
  case TARGET in layer | net | solver) words=(-dict="$BUILD/words.dict") ;; esac
  found=("$BUILD/corpus/TARGET" "$ROOT/tests/fuzz/seeds/TARGET")
  [ -d "$ROOT/tests/fuzz/found/TARGET" ] && found+=("$ROOT/tests/fuzz/found/TARGET")
  "$BUILD/fuzz_TARGET" -max_total_time="$TIME" -seed="$SEED" -timeout=30 -rss_limit_mb=2048 -malloc_limit_mb=1024 -max_len=32768 \
    -len_control=0 -print_final_stats=1 -artifact_prefix="$BUILD/findings/TARGET-" "${words[@]}" "${found[@]}" \
    >"$BUILD/log/TARGET.txt" 2>&1 || { echo "TARGET: a finding, see $BUILD/log/TARGET.txt"; exit 1; }
  echo "TARGET: $(grep -o "number_of_executed_units: .*" "$BUILD/log/TARGET.txt" | grep -o "[0-9]*") inputs, no finding"
' || status=1
if [ -x "$root/tools/fuzz_python.sh" ]; then
  "$root/tools/fuzz_python.sh" "$seconds" || status=1
fi
exit $status
