#!/usr/bin/env bash
# Build a wheel that needs no library of the distribution but glibc and GCC's: docs/install.md.
# Usage: tools/portable_wheel/build.sh VENV WORK_DIR WHEEL_DIR JOBS
# OpenCV, HDF5, OpenBLAS and zlib are linked statically and hidden in libcaffe. auditwheel copies the distribution's other
# libraries into the wheel, under names that no other wheel has.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$(cd "$1" && pwd)/bin/python
mkdir -p "$2" "$3"
work=$(cd "$2" && pwd)
out=$(cd "$3" && pwd)
jobs=$4
libraries=$work/libraries
pip=("$python" -m pip --quiet --disable-pip-version-check)

"$here/libraries.sh" "$python" "$work" "$jobs"

# --- The wheel of what is here.
openblas=$(find /usr/lib -path '*openblas-openmp/libopenblas.a' | head -n 1)
hdf5=$(dirname "$(find "$libraries" -name hdf5-config.cmake)")
settings=(PORTABLE=ON "OpenCV_DIR=$libraries/lib/cmake/opencv4" "HDF5_DIR=$hdf5" "CBLAS_LIBRARY=$openblas"
  "ZLIB_LIBRARY=$libraries/lib/opencv4/3rdparty/libzlib.a")
rm -rf "$work/wheel" "$work/renamed"
CMAKE_BUILD_PARALLEL_LEVEL=$jobs "${pip[@]}" wheel --no-deps --no-build-isolation --wheel-dir "$work/wheel" \
  --config-settings="build-dir=$work/build-drml" "${settings[@]/#/--config-settings=cmake.define.}" .

# --- Everything else that it loads.
[ -x "$work/repair/bin/auditwheel" ] || {
  "$python" -m venv "$work/repair"
  "$work/repair/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$here/repair.txt"
}
export PATH="$work/repair/bin:$PATH"
# auditwheel takes zlib for a library that every machine has. protobuf's gets a name of its own, so that it is copied.
mkdir "$work/renamed"
for name in libprotobuf.so.32 libz.so.1; do
  cp -L "$(ldconfig -p | awk -v name="$name" '$1 == name {print $NF; exit}')" "$work/renamed/$name"
done
mv "$work/renamed/libz.so.1" "$work/renamed/libz-drml.so.1"
patchelf --set-soname libz-drml.so.1 "$work/renamed/libz-drml.so.1"
patchelf --replace-needed libz.so.1 libz-drml.so.1 "$work/renamed/libprotobuf.so.32"
"$python" "$here/describe.py" "$work"/wheel/drml-*.whl "$work"
LD_LIBRARY_PATH="$work/renamed" auditwheel repair --wheel-dir "$out" "$work"/wheel/drml-*.whl >"$work/repair.log" 2>&1 || {
  tail -n 5 "$work/repair.log" >&2
  exit 1
}

# What the machine still has to bring.
rm -rf "$work/unpacked"
wheel=$(ls -t "$out"/drml-*-manylinux_*_x86_64.whl | head -n 1)
"$python" -m zipfile -e "$wheel" "$work/unpacked"
find "$work/unpacked" -name '*.so*' >"$work/files.txt"
xargs readelf -d <"$work/files.txt" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u >"$work/needed.txt"
foreign=$(grep -vE '^(lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s)\.so\.|ld-linux)' "$work/needed.txt" |
  grep -vxFf <(sed 's|.*/||' "$work/files.txt") || true)
[ -z "$foreign" ] || {
  echo "$0: $wheel needs of the machine:" $foreign >&2
  exit 1
}
ls -l "$wheel"
