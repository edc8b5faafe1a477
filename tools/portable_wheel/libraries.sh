#!/usr/bin/env bash
# Build OpenCV and HDF5 as static libraries for programs that run on other machines: tools/portable_wheel, tools/gpu_kit.
# Usage: tools/portable_wheel/libraries.sh PYTHON WORK_DIR JOBS
# They are installed into WORK_DIR/libraries; what is there already is not built again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$1
mkdir -p "$2/sources"
work=$(cd "$2" && pwd)
jobs=$3
libraries=$work/libraries
pip=("$python" -m pip --quiet --disable-pip-version-check)

# build NAME SOURCE OPTION...: compile a library for the inside of a shared one, and install it into $libraries.
build() {
  mkdir -p "$work/build-$1"
  cd "$work/build-$1"  # where HDF5's own checks expect what they have written
  cmake -S "$2" -B . -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$libraries" \
    -DBUILD_SHARED_LIBS=OFF -DCMAKE_POSITION_INDEPENDENT_CODE=ON "${@:3}" >"$work/$1.log"
  cmake --build . -j "$jobs" --target install >>"$work/$1.log"
  cd - >/dev/null
  touch "$libraries/$1.done"
}

if [ ! -e "$libraries/opencv.done" ]; then
  # The assembler is for the JPEG decoder's fast functions, without which CMake leaves them out and says nothing.
  command -v nasm >/dev/null || {
    echo "$0: nasm is missing: apt-get install nasm" >&2
    exit 1
  }
  "${pip[@]}" download --no-deps --no-binary opencv-python-headless --require-hashes -r "$here/opencv.txt" -d "$work/sources"
  mkdir -p "$work/sources/opencv"
  tar xf "$work"/sources/opencv-python-headless-*.tar.gz -C "$work/sources/opencv" --strip-components=2 --wildcards \
    --no-wildcards-match-slash '*/opencv'
  # CMake finds many libraries by itself; all but JPEG, PNG and zlib are left out, and those are OpenCV's own copies.
  without=()
  for name in ADE AVIF EIGEN FFMPEG FLATBUFFERS GDAL GDCM GSTREAMER GTK IPP ITT JASPER JPEGXL LAPACK OPENCL OPENEXR OPENJPEG \
    PROTOBUF QUIRC TBB TIFF V4L VA WEBP; do
    without+=("-DWITH_$name=OFF")
  done
  build opencv "$work/sources/opencv" -DBUILD_LIST=core,imgproc,imgcodecs -DCPU_DISPATCH=AVX2 \
    -DBUILD_JPEG=ON -DBUILD_PNG=ON -DBUILD_ZLIB=ON -DBUILD_TESTS=OFF -DBUILD_PERF_TESTS=OFF -DBUILD_opencv_apps=OFF \
    -DBUILD_JAVA=OFF -DCV_TRACE=OFF "${without[@]}"
  # Caffe includes two headers of OpenCV's windows, and uses nothing of them but the reading of images.
  mkdir -p "$libraries/include/opencv4/opencv2/highgui"
  for name in highgui.hpp highgui_c.h; do
    echo '#include <opencv2/imgcodecs.hpp>' >"$libraries/include/opencv4/opencv2/highgui/$name"
  done
fi

# Debian's HDF5 loads curl, Kerberos and LDAP, for files on a network; so it is built again from Debian's own source, which
# apt checks by its signature.
if [ ! -e "$libraries/hdf5.done" ]; then
  # The distribution's own entries, for sources, in folders of our own: the machine's lists stay as they are.
  mkdir -p "$work/apt/lists/partial" "$work/apt/sources" "$work/sources/hdf5"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/{debian,ubuntu}.sources; do
    [ ! -s "$file" ] || sed -E 's/^deb /deb-src /; s/^Types:.*/Types: deb-src/' "$file" >"$work/apt/sources/$(basename "$file")"
  done
  [ ! -e "$work/apt/sources/sources.list" ] || mv "$work/apt/sources/sources.list" "$work/apt/sources/main.list"
  apt=(-qq -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$work/apt/sources" -o "Dir::State::Lists=$work/apt/lists")
  apt-get "${apt[@]}" update
  (cd "$work/sources" && rm -f hdf5_* && apt-get "${apt[@]}" source --download-only hdf5)
  tar xf "$work"/sources/hdf5_*.orig.tar.* -C "$work/sources/hdf5" --strip-components=1
  build hdf5 "$work/sources/hdf5" -DBUILD_TESTING=OFF -DHDF5_BUILD_EXAMPLES=OFF -DHDF5_BUILD_TOOLS=OFF -DHDF5_BUILD_CPP_LIB=OFF \
    -DHDF5_BUILD_HL_LIB=ON -DHDF5_ENABLE_SZIP_SUPPORT=OFF -DHDF5_ENABLE_Z_LIB_SUPPORT=ON \
    -DZLIB_LIBRARY="$libraries/lib/opencv4/3rdparty/libzlib.a" # the distribution's static one cannot be linked into a library
fi
