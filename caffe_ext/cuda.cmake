# The GPU path, -DUSE_CUDA=ON: nvcc, CUDA's runtime, cuBLAS, cuRAND, and NCCL for `caffe train -gpu all`.
# CUDA 11.8 to 13. cuBLAS, cuRAND and NCCL come from the toolkit, the distribution or pip's nvidia-* packages
# (tools/cuda_libraries.sh). cuDNN is not used: upstream's code for it does not build with cuDNN 8 or newer.

set(CUDA_DIR "" CACHE PATH "CUDA toolkit; empty: the one whose nvcc is found")
set(CUDA_ARCH "" CACHE STRING "Compute capabilities to compile for, such as 75;80;90; empty: those the compiler knows of the last years")
option(USE_NCCL "Several GPUs at once, through NCCL" OFF)

find_program(CMAKE_CUDA_COMPILER nvcc HINTS "${CUDA_DIR}/bin" PATHS /usr/local/cuda/bin)
if(NOT CMAKE_CUDA_COMPILER)
  message(FATAL_ERROR "USE_CUDA needs nvcc, which is not on PATH. Install the CUDA toolkit (11.8 to 13), or name its "
    "folder: -DCUDA_DIR=/usr/local/cuda (make USE_CUDA=1 CUDA_DIR=/usr/local/cuda).")
endif()
execute_process(COMMAND "${CMAKE_CUDA_COMPILER}" --version OUTPUT_VARIABLE _nvcc RESULT_VARIABLE _failed)
if(_failed OR NOT _nvcc MATCHES "release ([0-9]+\\.[0-9]+)")
  message(FATAL_ERROR "${CMAKE_CUDA_COMPILER} --version does not say which release it is; set CUDA_DIR to a CUDA toolkit.")
endif()
set(CUDA_RELEASE "${CMAKE_MATCH_1}")
if(CUDA_RELEASE VERSION_LESS 11.8)
  message(FATAL_ERROR "CUDA ${CUDA_RELEASE} is too old; 11.8 or newer is needed.")
endif()

# Caffe's own form of CUDA_ARCH (-gencode arch=compute_80,code=sm_80 ...) is understood as well, and CMake's 80-real.
string(REGEX MATCHALL "[0-9]+[0-9a-z]*(-real|-virtual)?" _numbers "${CUDA_ARCH}")
list(REMOVE_DUPLICATES _numbers)
set(CMAKE_CUDA_ARCHITECTURES "${_numbers}")
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 86-real 89-real 90)
  if(CUDA_RELEASE VERSION_LESS 13)
    list(INSERT CMAKE_CUDA_ARCHITECTURES 0 60-real 70-real)
  endif()
  if(CUDA_RELEASE VERSION_GREATER_EQUAL 12.8)
    list(APPEND CMAKE_CUDA_ARCHITECTURES 100-real 120)
  endif()
endif()
# C++17: CUDA 13's own headers ask for it, and 11.8 knows it.
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)

# cuda_library(NAME HEADER SONAMES): where header and library of NAME are, as NAME_INCLUDE_DIR and NAME_LIBRARY.
# pip puts them below site-packages/nvidia/ (cu13/ since CUDA 13, a folder per library before); its libraries have no
# name without a version.
function(cuda_library name header sonames)
  string(TOLOWER "${name}" _folder)
  file(GLOB _pip "${Python3_SITELIB}/nvidia/cu[0-9]*" "${Python3_SITELIB}/nvidia/${_folder}")
  find_path(${name}_INCLUDE_DIR ${header} HINTS ${CUDAToolkit_INCLUDE_DIRS} ${_pip} PATH_SUFFIXES include)
  find_library(${name}_LIBRARY NAMES ${sonames} HINTS "${CUDAToolkit_LIBRARY_DIR}" ${_pip} PATH_SUFFIXES lib lib64)
  if(NOT ${name}_INCLUDE_DIR OR NOT ${name}_LIBRARY)
    message(FATAL_ERROR "${header} and its library were not found, neither in ${CUDAToolkit_LIBRARY_DIR} nor below "
      "${Python3_SITELIB}/nvidia. tools/cuda_libraries.sh fetches them with pip (make USE_CUDA=1 does so by itself).")
  endif()
endfunction()

cuda_library(CUBLAS cublas_v2.h "libcublas.so;libcublas.so.13;libcublas.so.12;libcublas.so.11")
cuda_library(CURAND curand.h "libcurand.so;libcurand.so.10")
add_library(caffe_cuda INTERFACE)
target_include_directories(caffe_cuda SYSTEM INTERFACE
  ${CUDAToolkit_INCLUDE_DIRS} "${CUBLAS_INCLUDE_DIR}" "${CURAND_INCLUDE_DIR}")
target_link_libraries(caffe_cuda INTERFACE CUDA::cudart "${CUBLAS_LIBRARY}" "${CURAND_LIBRARY}")
if(USE_NCCL)
  cuda_library(NCCL nccl.h "libnccl.so;libnccl.so.2")
  target_include_directories(caffe_cuda SYSTEM INTERFACE "${NCCL_INCLUDE_DIR}")
  target_link_libraries(caffe_cuda INTERFACE "${NCCL_LIBRARY}")
  target_compile_definitions(caffe_cuda INTERFACE USE_NCCL)
endif()
list(JOIN CMAKE_CUDA_ARCHITECTURES " " _shown)
message(STATUS "GPU path: CUDA ${CUDA_RELEASE}, compute capabilities ${_shown}, without cuDNN, NCCL ${USE_NCCL}")
