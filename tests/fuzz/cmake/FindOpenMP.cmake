# The fuzzers are built without OpenMP: see stand_in/omp.h.
if(NOT TARGET OpenMP::OpenMP_CXX)
  add_library(OpenMP::OpenMP_CXX INTERFACE IMPORTED)
endif()
set(OpenMP_FOUND TRUE)
set(OpenMP_CXX_FOUND TRUE)
