# The libraries that Caffe stands on, from the distribution or from conda-forge. Versions are the oldest that work; newer
# ones that moved or dropped something are noted where they are looked for.

# Boost names its Python library after Python's version since 1.67, and Boost.System is headers only since 1.69: 1.89 has
# no component of that name. CMake 3.30 has given up its own module for Boost's package.
if(POLICY CMP0167)
  cmake_policy(SET CMP0167 NEW)
endif()
find_package(Boost 1.69 REQUIRED COMPONENTS thread filesystem python${Python3_VERSION_MAJOR}${Python3_VERSION_MINOR})
if(PORTABLE OR STATIC_HDF5)  # by its own package: CMake's module takes the distribution's wherever that is installed
  find_package(ZLIB REQUIRED)  # HDF5 1.14 names CMake's target; older ones the file
  find_package(HDF5 CONFIG REQUIRED COMPONENTS C HL static)
  set(HDF5_INCLUDE_DIRS "${HDF5_INCLUDE_DIR}")
  set(HDF5_C_LIBRARIES hdf5-static)
  set(HDF5_C_HL_LIBRARIES hdf5_hl-static)
else()
  find_package(HDF5 REQUIRED COMPONENTS C HL)
endif()
# The names used are those of OpenCV 4; 5 has kept them.
find_package(OpenCV REQUIRED COMPONENTS core imgproc imgcodecs)
if(OpenCV_VERSION VERSION_LESS 4)
  message(FATAL_ERROR "OpenCV ${OpenCV_VERSION} is too old (${OpenCV_DIR}); 4 or newer is needed. -DOpenCV_DIR=DIR names another.")
endif()
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(gflags REQUIRED IMPORTED_TARGET gflags)
pkg_check_modules(lmdb REQUIRED IMPORTED_TARGET lmdb)
find_library(LEVELDB_LIBRARY leveldb REQUIRED)

# protobuf's own package knows that 22 and newer link Abseil; CMake's module, for older ones, does not.
find_package(Protobuf CONFIG QUIET)
if(NOT Protobuf_FOUND)
  find_package(Protobuf 3.12 REQUIRED)
endif()
set(PROTOBUF_LIBRARY_VERSION "${Protobuf_VERSION}")
# The headers of glog 0.7 need definitions that only its target carries.
find_package(glog 0.7 CONFIG QUIET)
if(glog_FOUND)
  set(GLOG_TARGET glog::glog)
else()
  pkg_check_modules(glog REQUIRED IMPORTED_TARGET libglog)
  set(GLOG_TARGET PkgConfig::glog)
endif()

# Any CBLAS serves (OpenBLAS here): BLAS_INCLUDE and BLAS_LIB name a folder each, as in Caffe's Makefile.config.
# OpenBLAS over OpenMP first: it shares one pool of threads with our own loops, which its own pool would fight. Debian has it
# in a folder of its own, and Fedora as libopenblaso.
find_package(OpenMP REQUIRED)
find_path(CBLAS_INCLUDE_DIR cblas.h REQUIRED HINTS ${BLAS_INCLUDE} PATH_SUFFIXES openblas-openmp openblas)
find_library(CBLAS_LIBRARY NAMES openblaso openblas REQUIRED HINTS ${BLAS_LIB} PATH_SUFFIXES openblas-openmp)
if(NOT CMAKE_CROSSCOMPILING)
  try_run(OPENBLAS_THREADS _compiled "${PROJECT_BINARY_DIR}/openblas_threads" "${CMAKE_CURRENT_LIST_DIR}/compat/openblas_threads.c"
    LINK_LIBRARIES "${CBLAS_LIBRARY}")
  if(_compiled AND OPENBLAS_THREADS EQUAL 0)
    message(WARNING "${CBLAS_LIBRARY} is an OpenBLAS that computes on one thread. Fully connected layers and the plain engine will use "
      "a single core. Install the OpenBLAS built with OpenMP (Debian: libopenblas-openmp-dev; Fedora: openblas-openmp), or name its "
      "folder with BLAS_LIB.")
  endif()
endif()

include("${CMAKE_CURRENT_LIST_DIR}/onednn.cmake")
