# The target caffe_parallel, which the tool `caffe` alone links: only this folder is compiled anew where USE_MPI changes.
option(USE_MPI "Let mpirun start caffe train on several machines (Open MPI or MPICH)" OFF)
add_library(caffe_parallel OBJECT)
target_link_libraries(caffe_parallel PUBLIC caffe_settings OpenMP::OpenMP_CXX)
target_compile_options(caffe_parallel PRIVATE -Wall -Wextra -Wno-unused-parameter)
add_dependencies(caffe_parallel caffe_messages)
if(USE_MPI)
  find_package(MPI REQUIRED COMPONENTS CXX)
  # What names the engine and its version.
  execute_process(COMMAND "${MPIEXEC_EXECUTABLE}" --version OUTPUT_VARIABLE MPI_ENGINE ERROR_QUIET)
  if(MPI_ENGINE MATCHES "HYDRA.*Version: +([0-9.]+)")
    set(MPI_ENGINE "MPICH ${CMAKE_MATCH_1}")
  endif()
  string(REGEX REPLACE "\n.*" "" MPI_ENGINE "${MPI_ENGINE}")
  message(STATUS "Data parallelism: ${MPI_ENGINE}")
  target_sources(caffe_parallel PRIVATE
    "${CMAKE_CURRENT_LIST_DIR}/buckets.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/gradient_sum.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/member.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/ranks.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/training.cpp")
  target_link_libraries(caffe_parallel PUBLIC MPI::MPI_CXX)
  # Nothing here uses the bindings for C++ that MPI has dropped.
  target_compile_definitions(caffe_parallel PRIVATE OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)
else()
  target_sources(caffe_parallel PRIVATE "${CMAKE_CURRENT_LIST_DIR}/training_alone.cpp")
endif()
target_link_libraries(caffe.bin PRIVATE caffe_parallel)
