# BVLC Caffe 1.0 (commit 9b89154): sets CAFFE_SOURCE to its unpacked tree, and links caffe/source in the build folder to it.
#
# It is looked for in this order:
# 1. CAFFE_SOURCE_DIR: a folder or an archive, either BVLC's at this commit or that of the package below;
# 2. caffe/package in the build folder, where an earlier configuration has left the package;
# 3. the package, which pip fetches by name and hash.
# Wherever it is found, each file that we use must have a content that source.sha256 lists.

set(CAFFE_SOURCE_DIR "" CACHE PATH "Folder or archive of BVLC Caffe at commit 9b89154; empty: pip fetches a package of it")
set(CAFFE_PACKAGE "brocolli-caffe==3.0.0")
set(CAFFE_PACKAGE_SHA256 ad7ba487552f4343df25044a9fa14812a96add48ea2ff993b53bf2dafe8248e2)
set(_way_out "docs/install.md (\"Where the sources come from\") says where to get an untouched copy.")

# caffe_unpack(ARCHIVE FOLDER): make FOLDER the tree of Caffe that is in an archive, completely or not at all.
function(caffe_unpack archive folder)
  if(EXISTS "${folder}/src/caffe/net.cpp")
    return()
  endif()
  set(part "${folder}.part")
  file(REMOVE_RECURSE "${part}" "${folder}")
  file(MAKE_DIRECTORY "${part}")
  execute_process(COMMAND "${CMAKE_COMMAND}" -E tar xf "${archive}" WORKING_DIRECTORY "${part}"
    RESULT_VARIABLE failed ERROR_VARIABLE error OUTPUT_QUIET)
  file(GLOB found "${part}/*/src/caffe/net.cpp")
  list(LENGTH found count)
  if(NOT failed AND count EQUAL 1)
    string(REPLACE "/src/caffe/net.cpp" "" tree "${found}")
    file(RENAME "${tree}" "${folder}")
  endif()
  file(REMOVE_RECURSE "${part}")
  if(failed)
    message(FATAL_ERROR "${archive} cannot be unpacked:\n${error}\n${_way_out}")
  elseif(NOT count EQUAL 1)
    message(FATAL_ERROR "${archive} holds no source tree of Caffe: no FOLDER/src/caffe/net.cpp is in it. ${_way_out}")
  endif()
endfunction()

set(_caffe "${PROJECT_BINARY_DIR}/caffe")
file(MAKE_DIRECTORY "${_caffe}")
if(IS_DIRECTORY "${CAFFE_SOURCE_DIR}")
  set(CAFFE_SOURCE "${CAFFE_SOURCE_DIR}")
elseif(CAFFE_SOURCE_DIR)
  if(NOT EXISTS "${CAFFE_SOURCE_DIR}")
    message(FATAL_ERROR "CAFFE_SOURCE_DIR is ${CAFFE_SOURCE_DIR}, where there is neither a folder nor an archive. ${_way_out}")
  endif()
  file(SHA256 "${CAFFE_SOURCE_DIR}" _sha256)
  string(SUBSTRING "${_sha256}" 0 12 _sha256)
  set(CAFFE_SOURCE "${_caffe}/unpacked-${_sha256}")
  caffe_unpack("${CAFFE_SOURCE_DIR}" "${CAFFE_SOURCE}")
else()
  set(_downloads "${_caffe}/package")
  set(_archive "${_downloads}/brocolli-caffe-3.0.0.tar.gz")
  set(CAFFE_SOURCE "${_caffe}/brocolli-caffe-3.0.0")
  if(NOT EXISTS "${_archive}")
    message(STATUS "Fetching Caffe's sources: ${CAFFE_PACKAGE}")
    file(WRITE "${_downloads}/requirements.txt" "${CAFFE_PACKAGE} --hash=sha256:${CAFFE_PACKAGE_SHA256}\n")
    execute_process(
      COMMAND "${Python3_EXECUTABLE}" -m pip download --quiet --no-deps --no-binary brocolli-caffe
              --require-hashes -r "${_downloads}/requirements.txt" -d "${_downloads}"
      RESULT_VARIABLE _failed ERROR_VARIABLE _error)
    if(_failed OR NOT EXISTS "${_archive}")
      message(FATAL_ERROR "Caffe's sources were not found. CAFFE_SOURCE_DIR is not set, ${_archive} does not exist, "
        "and pip download ${CAFFE_PACKAGE} failed:\n"
        "${_error}\n"
        "Give a folder or an archive of them: make CAFFE_SOURCE_DIR=PATH. ${_way_out}")
    endif()
  endif()
  file(SHA256 "${_archive}" _sha256)
  if(NOT _sha256 STREQUAL CAFFE_PACKAGE_SHA256)
    message(FATAL_ERROR "${_archive} is damaged: its SHA-256 is ${_sha256}, not ${CAFFE_PACKAGE_SHA256}. "
      "Remove it and configure again.")
  endif()
  caffe_unpack("${_archive}" "${CAFFE_SOURCE}")
endif()

file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/source.sha256" _known)
set(_wrong "")
foreach(_file IN LISTS CAFFE_KNOWN_FILES)
  if(NOT EXISTS "${CAFFE_SOURCE}/${_file}")
    list(APPEND _wrong "${_file} is missing")
  else()
    file(SHA256 "${CAFFE_SOURCE}/${_file}" _sha256)
    if(NOT "${_sha256}  ${_file}" IN_LIST _known)
      list(APPEND _wrong "${_file} has another content")
    endif()
  endif()
endforeach()
if(_wrong)
  list(LENGTH _wrong _count)
  list(GET _wrong 0 _first)
  message(FATAL_ERROR "${CAFFE_SOURCE} is not the source tree of BVLC Caffe 1.0 at commit 9b89154: ${_first} "
    "(files that are missing or differ: ${_count}). ${_way_out}")
endif()
file(CREATE_LINK "${CAFFE_SOURCE}" "${_caffe}/source" SYMBOLIC)
