# The engine's kernels, compiled once per instruction set and chosen at run time: engines/isa.hpp tells how to add one.
set(CAFFE_KERNELS
  "${CMAKE_CURRENT_LIST_DIR}/engines/kernels/few_images.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/engines/kernels/fft.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/engines/kernels/max_pooling.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/engines/kernels/region_passes.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/engines/kernels/update.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/engines/kernels/winograd.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/engines/kernels/winograd_tiles.cpp")

# What engines/isa.cpp asks the processor for.
set(_v3_flags -mavx2 -mfma -mbmi -mbmi2)
set(_v4_flags ${_v3_flags} -mavx512f -mavx512bw -mavx512cd -mavx512dq -mavx512vl -mprefer-vector-width=512)

# caffe_add_kernels(SET LANES FLAG...): all kernels for one set.
function(caffe_add_kernels set lanes)
  caffe_add_objects(caffe_kernels_${set} ${CAFFE_KERNELS})
  # Without the last one, GCC copies the rest of an unrolled loop for every answer to a question in it.
  target_compile_options(caffe_kernels_${set} PRIVATE -fno-math-errno ${ARGN} $<$<CXX_COMPILER_ID:GNU>:-fno-thread-jumps>)
  # GCC 13 and newer leave a product and the sum it goes into apart where sums depend on each other, which is slower here, and
  # differs from kernel to kernel in the last bit.
  target_compile_options(caffe_kernels_${set} PRIVATE $<$<CXX_COMPILER_ID:GNU>:--param=avoid-fma-max-bits=0>)
  # The fuzzers look for faults in what reads files; with their sanitizers, the kernels would take ten minutes to compile.
  target_compile_options(caffe_kernels_${set} PRIVATE $<$<CONFIG:Fuzz>:-fno-sanitize=all>)
  target_compile_definitions(caffe_kernels_${set} PRIVATE CAFFE_EXT_ISA=${set} CAFFE_EXT_LANES=${lanes})
  set(CAFFE_KERNEL_OBJECTS ${CAFFE_KERNEL_OBJECTS} $<TARGET_OBJECTS:caffe_kernels_${set}> PARENT_SCOPE)
endfunction()

# Vectors wider than a register are never passed from function to function.
caffe_add_kernels(generic 8 -Wno-psabi)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  caffe_add_kernels(v3 8 ${_v3_flags})
  caffe_add_kernels(v4 16 ${_v4_flags})
endif()
