# BVLC Caffe 1.0 (commit 9b89154) as a pinned source package: sets CAFFE_SOURCE to its unpacked tree.
#
# -DCAFFE_SOURCE_DIR=DIR takes an unpacked copy (for builds without a network); else pip fetches the
# package by name and hash. Either way the files we compile must be the ones we know.

set(CAFFE_SOURCE_DIR "" CACHE PATH "An unpacked copy of brocolli-caffe 3.0.0; empty: pip fetches it")
set(CAFFE_PACKAGE "brocolli-caffe==3.0.0")
set(CAFFE_PACKAGE_SHA256 ad7ba487552f4343df25044a9fa14812a96add48ea2ff993b53bf2dafe8248e2)
# SHA-256 over the SHA-256 of every file in CAFFE_KNOWN_FILES, in their order.
set(CAFFE_TREE_SHA256 8ff922c7287d9b325ff3969035e8fd3128e41f7d005e2c8ec9b859fe9aa5d466)

set(CAFFE_SOURCE "${CAFFE_SOURCE_DIR}")
if(NOT CAFFE_SOURCE)
  set(_downloads "${PROJECT_BINARY_DIR}/caffe/package")
  set(_archive "${_downloads}/brocolli-caffe-3.0.0.tar.gz")
  set(CAFFE_SOURCE "${PROJECT_BINARY_DIR}/caffe/brocolli-caffe-3.0.0")
  if(NOT EXISTS "${_archive}")
    message(STATUS "Fetching Caffe's sources: ${CAFFE_PACKAGE}")
    file(WRITE "${_downloads}/requirements.txt" "${CAFFE_PACKAGE} --hash=sha256:${CAFFE_PACKAGE_SHA256}\n")
    execute_process(
      COMMAND "${Python3_EXECUTABLE}" -m pip download --quiet --no-deps --no-binary brocolli-caffe
              --require-hashes -r "${_downloads}/requirements.txt" -d "${_downloads}"
      RESULT_VARIABLE _failed ERROR_VARIABLE _error)
    if(_failed OR NOT EXISTS "${_archive}")
      message(FATAL_ERROR "Caffe's sources could not be fetched: pip download ${CAFFE_PACKAGE} failed.\n"
        "${_error}\n"
        "Without a network, unpack a copy of the package and configure with -DCAFFE_SOURCE_DIR=DIR "
        "(make CAFFE_SOURCE_DIR=DIR).")
    endif()
  endif()
  file(SHA256 "${_archive}" _sha256)
  if(NOT _sha256 STREQUAL CAFFE_PACKAGE_SHA256)
    message(FATAL_ERROR "${_archive} is damaged: its SHA-256 is ${_sha256}, not ${CAFFE_PACKAGE_SHA256}. "
      "Remove it and configure again.")
  endif()
  if(NOT EXISTS "${CAFFE_SOURCE}/src/caffe/net.cpp")
    file(ARCHIVE_EXTRACT INPUT "${_archive}" DESTINATION "${PROJECT_BINARY_DIR}/caffe")
  endif()
endif()

set(_digests "")
foreach(_file IN LISTS CAFFE_KNOWN_FILES)
  if(NOT EXISTS "${CAFFE_SOURCE}/${_file}")
    message(FATAL_ERROR "${CAFFE_SOURCE} is not the source tree of ${CAFFE_PACKAGE}: ${_file} is missing. "
      "Unpack that package and point CAFFE_SOURCE_DIR at the folder that holds src/, include/ and python/.")
  endif()
  file(SHA256 "${CAFFE_SOURCE}/${_file}" _digest)
  string(APPEND _digests "${_digest}")
endforeach()
string(SHA256 _digest "${_digests}")
if(NOT _digest STREQUAL CAFFE_TREE_SHA256)
  message(FATAL_ERROR "${CAFFE_SOURCE} is not the source tree of ${CAFFE_PACKAGE}: its files differ from the "
    "package's (digest ${_digest}, expected ${CAFFE_TREE_SHA256}). "
    "Unpack an untouched copy, or leave CAFFE_SOURCE_DIR empty to fetch it.")
endif()
