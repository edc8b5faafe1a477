# BVLC Caffe with our layers inside, as targets: caffe::caffe (library), the tools, pycaffe.
# The sources are those of one commit (source.cmake), adapted in the build tree (patches.cmake, compat/, proto/).

find_package(Python3 REQUIRED COMPONENTS Interpreter Development NumPy)
include("${CMAKE_CURRENT_LIST_DIR}/files.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/source.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/patches.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/compat/compat.cmake")

option(PORTABLE "For tools/portable_wheel: no libpython, and static libraries, which are hidden" OFF)
option(STATIC_HDF5 "For tools/gpu_kit: the static HDF5 of the package in HDF5_DIR" OFF)
include("${CMAKE_CURRENT_LIST_DIR}/libraries.cmake")

option(USE_CUDA "Build for NVIDIA GPUs as well" OFF)
if(USE_CUDA)
  include("${CMAKE_CURRENT_LIST_DIR}/cuda.cmake")
endif()

# --- The messages, for C++ and for Python: Caffe's with our fields, and behind them ours.
set(CAFFE_GENERATED "${PROJECT_BINARY_DIR}/caffe/generated")
file(MAKE_DIRECTORY "${CAFFE_GENERATED}/caffe/proto")
caffe_file(_upstream_proto src/caffe/proto/caffe.proto)
set(_our_proto "${CMAKE_CURRENT_LIST_DIR}/proto/messages.proto")
set(_join "${CMAKE_CURRENT_LIST_DIR}/proto/join.py")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${_upstream_proto}" "${_our_proto}" "${_join}")
execute_process(COMMAND "${Python3_EXECUTABLE}" "${_join}" "${_upstream_proto}" "${_our_proto}"
  OUTPUT_VARIABLE _joined ERROR_VARIABLE _error RESULT_VARIABLE _failed)
if(_failed)
  message(FATAL_ERROR "${_error}")
endif()
set(_proto "${CAFFE_GENERATED}/caffe.proto")
file(GENERATE OUTPUT "${_proto}" CONTENT "${_joined}")
add_custom_command(
  OUTPUT "${CAFFE_GENERATED}/caffe/proto/caffe.pb.cc" "${CAFFE_GENERATED}/caffe/proto/caffe.pb.h"
         "${CAFFE_GENERATED}/caffe/proto/caffe.desc"
  COMMAND protobuf::protoc "--proto_path=${CAFFE_GENERATED}" "--cpp_out=${CAFFE_GENERATED}/caffe/proto"
          "--descriptor_set_out=${CAFFE_GENERATED}/caffe/proto/caffe.desc" "${_proto}"
  DEPENDS "${_proto}" COMMENT "Generating Caffe's messages")
# The untouched messages, for the test that stock Caffe reads what we write.
add_custom_command(
  OUTPUT "${CAFFE_GENERATED}/caffe/proto/stock_caffe.desc"
  COMMAND protobuf::protoc "--proto_path=${CAFFE_SOURCE}/src/caffe/proto"
          "--descriptor_set_out=${CAFFE_GENERATED}/caffe/proto/stock_caffe.desc" "${CAFFE_SOURCE}/src/caffe/proto/caffe.proto"
  DEPENDS "${CAFFE_SOURCE}/src/caffe/proto/caffe.proto" COMMENT "Generating stock Caffe's messages")
add_custom_target(caffe_messages DEPENDS "${CAFFE_GENERATED}/caffe/proto/stock_caffe.desc" "${CAFFE_GENERATED}/caffe/proto/caffe.pb.h")

# --- What every file of Caffe and of ours is compiled with: caffe_common on any device, caffe_settings for this build's.
add_library(caffe_common INTERFACE)
target_include_directories(caffe_common SYSTEM INTERFACE
  "${CAFFE_PATCHED}/include" "${CAFFE_SOURCE}/include" "${CAFFE_GENERATED}" "${CBLAS_INCLUDE_DIR}" ${HDF5_INCLUDE_DIRS} ${OpenCV_INCLUDE_DIRS})
# boost/bind's global placeholders and deprecated Boost headers announce themselves once per file.
target_compile_definitions(caffe_common INTERFACE
  USE_OPENCV USE_LMDB USE_LEVELDB USE_HDF5 CAFFE_VERSION=1.0.0
  BOOST_BIND_GLOBAL_PLACEHOLDERS BOOST_ALLOW_DEPRECATED_HEADERS)
target_link_libraries(caffe_common INTERFACE
  protobuf::libprotobuf "${GLOG_TARGET}" PkgConfig::gflags PkgConfig::lmdb "${LEVELDB_LIBRARY}"
  "${CBLAS_LIBRARY}" ${HDF5_C_HL_LIBRARIES} ${HDF5_C_LIBRARIES} ${OpenCV_LIBS}
  Boost::thread Boost::filesystem Threads::Threads)
# Files of the engine find each other from this folder: "engines/update.hpp".
target_include_directories(caffe_common INTERFACE "${CMAKE_CURRENT_LIST_DIR}" "${PROJECT_SOURCE_DIR}/include")
add_library(caffe_settings INTERFACE)
target_link_libraries(caffe_settings INTERFACE caffe_common)
if(USE_CUDA)
  target_link_libraries(caffe_settings INTERFACE caffe_cuda)
else()
  target_compile_definitions(caffe_settings INTERFACE CPU_ONLY)
endif()
# For the `Python` layer and pycaffe. An interpreter itself has what libpython has, and often comes without one: a portable
# build takes those symbols from the process that loads it, and its programs are modules that Python runs (drml.io.shipped).
set(CAFFE_PYTHON_LIBRARIES Boost::python${Python3_VERSION_MAJOR}${Python3_VERSION_MINOR})
if(PORTABLE)
  list(APPEND CAFFE_PYTHON_LIBRARIES Python3::Module)
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
  add_link_options(LINKER:--exclude-libs,ALL)
else()
  list(APPEND CAFFE_PYTHON_LIBRARIES Python3::Python)
endif()

# --- The library. Our layers join it as objects (caffe_add_objects), so that the layer registry knows all.
add_library(caffe_proto OBJECT "${CAFFE_GENERATED}/caffe/proto/caffe.pb.cc" "${CAFFE_GENERATED}/caffe/proto/caffe.pb.h")
target_compile_options(caffe_proto PRIVATE -w)
target_link_libraries(caffe_proto PRIVATE caffe_common)
set_target_properties(caffe_proto PROPERTIES POSITION_INDEPENDENT_CODE ON)
add_library(caffe SHARED $<TARGET_OBJECTS:caffe_proto>)
add_dependencies(caffe_proto caffe_messages)
add_dependencies(caffe caffe_messages)
add_library(caffe::caffe ALIAS caffe)
foreach(_source IN LISTS CAFFE_LIBRARY_SOURCES)
  caffe_source(_path "${_source}")
  target_sources(caffe PRIVATE "${_path}")
endforeach()
# The code of 2017 warns under the compilers of today; it is not ours to change.
target_compile_options(caffe PRIVATE -w)
target_compile_definitions(caffe PRIVATE WITH_PYTHON_LAYER)
target_link_libraries(caffe PUBLIC caffe_settings PRIVATE ${CAFFE_PYTHON_LIBRARIES} OpenMP::OpenMP_CXX)
set_target_properties(caffe PROPERTIES VERSION 1.0.0 SOVERSION 1.0)
# caffe_with_our_headers(TARGET): compiles TARGET's files, which are upstream's, behind calls.hpp and members.hpp.
set(CAFFE_EXT "${CMAKE_CURRENT_LIST_DIR}")
function(caffe_with_our_headers target)
  # Half of a file's compile time goes into Caffe's headers. The other half goes into what these leave behind in every file, so
  # several files are compiled as one.
  target_precompile_headers(${target} PRIVATE "<caffe/caffe.hpp>" "${CAFFE_EXT}/calls.hpp")
  # GCC forgets that a member is specialised if a precompiled header declares it, and then compiles upstream's definition.
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_CODE_BEFORE_INCLUDE "#include \"members.hpp\"")
endfunction()
caffe_with_our_headers(caffe)
# limits/ending.hpp: what follows the start of the logging.
target_compile_definitions(caffe PRIVATE InitGoogleLogging=InitCaffeProgram)

if(USE_CUDA)
  # Upstream's tests launch kernels of the library's im2col.cu. Since CUDA 13, nvcc hides kernels unless it is told not to.
  set(CAFFE_SHARED_KERNELS "")
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
    set(CAFFE_SHARED_KERNELS -static-global-template-stub=false -device-entity-has-hidden-visibility=false)
  endif()
  add_library(caffe_kernels OBJECT)
  foreach(_source IN LISTS CAFFE_CUDA_SOURCES)
    caffe_file(_path "${_source}")
    target_sources(caffe_kernels PRIVATE "${_path}")
    if(_source MATCHES "util/im2col.cu$")
      set_source_files_properties("${_path}" PROPERTIES COMPILE_OPTIONS "${CAFFE_SHARED_KERNELS}")
    endif()
  endforeach()
  target_link_libraries(caffe_kernels PRIVATE caffe_settings)
  target_compile_options(caffe_kernels PRIVATE -w -Xcompiler=-w)
  set_target_properties(caffe_kernels PROPERTIES POSITION_INDEPENDENT_CODE ON)
  add_dependencies(caffe_kernels caffe_messages)
  target_sources(caffe PRIVATE $<TARGET_OBJECTS:caffe_kernels>)
endif()

# caffe_add_objects(NAME SOURCE...): compile sources of ours with all warnings and put them into the library.
function(caffe_add_objects name)
  add_library(${name} OBJECT ${ARGN})
  target_link_libraries(${name} PRIVATE caffe_settings OpenMP::OpenMP_CXX)
  target_compile_options(${name} PRIVATE
    "$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wno-unused-parameter>"
    "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall>")
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  add_dependencies(${name} caffe_messages)
  target_sources(caffe PRIVATE $<TARGET_OBJECTS:${name}>)
endfunction()

# What the engine is without oneDNN.
set(CAFFE_ENGINE_SOURCES
  "${CMAKE_CURRENT_LIST_DIR}/engines/blocked_tensor.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/engines/factored_gradient.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/engines/factory.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/engines/few_images_product.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/engines/gemm_math.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/engines/gpu_convolution.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/engines/im2col.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/engines/isa.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/engines/large_memory.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/engines/private_memory.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/engines/solver_update.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/engines/switch.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/engines/update.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/engines/zeros.cpp")
caffe_add_objects(caffe_engines ${CAFFE_ENGINE_SOURCES})
if(ONEDNN_FOUND)
  target_sources(caffe_engines PRIVATE
    "${CMAKE_CURRENT_LIST_DIR}/engines/convolution.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/engines/convolution_transforms.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/engines/fft/choice.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/engines/fft/correlation.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/engines/fft/tiles.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/engines/fft/weight_gradient.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/engines/inner_product.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/engines/lrn.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/engines/onednn.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/engines/pooling.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/engines/region.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/engines/region_winograd.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/engines/relu.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/engines/winograd/choice.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/engines/winograd/correlation.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/engines/winograd/tiling.cpp"
    "${CMAKE_CURRENT_LIST_DIR}/engines/winograd/weight_gradient.cpp")
  target_compile_definitions(caffe_settings INTERFACE USE_ONEDNN)
  target_include_directories(caffe_settings SYSTEM INTERFACE "${ONEDNN_INCLUDE_DIR}")
  target_link_libraries(caffe_settings INTERFACE "${ONEDNN_LIBRARY}")
endif()
include("${CMAKE_CURRENT_LIST_DIR}/kernels.cmake")

# Exact resume, whole files, and the watch over the loss.
set(CAFFE_TRAINING_SOURCES
  "${CMAKE_CURRENT_LIST_DIR}/training/data_layers.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/training/hdf5_data_layer.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/training/hdf5_in_memory.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/training/snapshot_files.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/training/solver.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/training/solver_state.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/training/solver_threads.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/training/test_pass.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/training/watch.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/training/whole_file.cpp")
caffe_add_objects(caffe_training ${CAFFE_TRAINING_SOURCES})
# Checks of what a file or a prototxt asks for, and how programs end.
set(CAFFE_LIMITS_SOURCES
  "${CMAKE_CURRENT_LIST_DIR}/limits/blob_shapes.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/check_bottoms.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/check_files.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/check_net.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/check_values.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/databases.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/ending.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/file_kinds.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/hdf5_values.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/host_memory.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/image_end.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/images.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/io.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/layer_pass.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/list_file.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/lmdb_pages.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/nan_layers.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/orientation.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/scale.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/tools.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/upgrade_nets.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/limits/upgraded_net.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/compat/log_date.cpp")
caffe_add_objects(caffe_limits ${CAFFE_LIMITS_SOURCES})
# The recipe of a net, and its files of weights.
set(CAFFE_RECIPE_SOURCES
  "${CMAKE_CURRENT_LIST_DIR}/recipe/net_recipe.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/recipe/recipe.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/recipe/weights.cpp")
caffe_add_objects(caffe_recipe ${CAFFE_RECIPE_SOURCES})

# --- The tools: caffe, extract_features, compute_image_mean, convert_imageset, upgrade_*.
add_custom_target(caffe_tools)
foreach(_tool IN LISTS CAFFE_TOOLS)
  set(_target "${_tool}")
  if(_tool STREQUAL caffe)
    set(_target caffe.bin)
  endif()
  caffe_file(_path "tools/${_tool}.cpp")
  set(_sources "${_path}" "${CMAKE_CURRENT_LIST_DIR}/limits/program.cpp")
  if(PORTABLE)
    add_library(${_target} MODULE ${_sources})
    set_target_properties(${_target} PROPERTIES PREFIX "")
  else()
    add_executable(${_target} ${_sources})
  endif()
  target_compile_options(${_target} PRIVATE -w "SHELL:-include limits/tools.hpp")
  target_compile_definitions(${_target} PRIVATE InitGoogleLogging=InitCaffeProgram)
  target_link_libraries(${_target} PRIVATE caffe::caffe)
  target_link_options(${_target} PRIVATE LINKER:--wrap=main)
  add_dependencies(caffe_tools ${_target})
  set_target_properties(${_target} PROPERTIES OUTPUT_NAME "${_tool}" RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
endforeach()
# limits/tools.hpp: what these two call instead.
target_compile_definitions(compute_image_mean PRIVATE GetDB=GetImageDB)
target_compile_definitions(upgrade_solver_proto_text PRIVATE
  SolverNeedsTypeUpgrade=SolverNeedsUpgrade UpgradeSolverAsNeeded=UpgradeSolverAndNets)
target_compile_definitions(caffe.bin PRIVATE WITH_PYTHON_LAYER)
target_compile_options(caffe.bin PRIVATE "SHELL:-include parallel/training.hpp")
target_link_libraries(caffe.bin PRIVATE ${CAFFE_PYTHON_LIBRARIES})
include("${CMAKE_CURRENT_LIST_DIR}/parallel/parallel.cmake")

# --- pycaffe: the package `caffe` in build/python.
set(PYCAFFE_DIR "${PROJECT_BINARY_DIR}/python")
caffe_file(_path python/caffe/_caffe.cpp)
add_library(pycaffe MODULE "${_path}" "${CMAKE_CURRENT_LIST_DIR}/pycaffe/start.cpp")
target_compile_options(pycaffe PRIVATE -w "SHELL:-include limits/upgraded_net.hpp")
target_compile_definitions(pycaffe PRIVATE InitGoogleLogging=InitCaffeModule)
target_link_libraries(pycaffe PRIVATE caffe::caffe Python3::Module Python3::NumPy
  Boost::python${Python3_VERSION_MAJOR}${Python3_VERSION_MINOR})
set_target_properties(pycaffe PROPERTIES PREFIX "" OUTPUT_NAME _caffe
  LIBRARY_OUTPUT_DIRECTORY "${PYCAFFE_DIR}/caffe")
foreach(_file IN LISTS CAFFE_PYTHON_FILES CAFFE_PYTHON_TESTS)
  caffe_file(_path "python/${_file}")
  configure_file("${_path}" "${PYCAFFE_DIR}/${_file}" COPYONLY)
endforeach()
file(WRITE "${PYCAFFE_DIR}/caffe/proto/__init__.py" "")
configure_file("${CMAKE_CURRENT_LIST_DIR}/pycaffe/caffe_pb2.py" "${PYCAFFE_DIR}/caffe/proto/caffe_pb2.py" COPYONLY)
foreach(_file io.py upgrade.py)
  configure_file("${CMAKE_CURRENT_LIST_DIR}/pycaffe/${_file}" "${PYCAFFE_DIR}/caffe/${_file}" COPYONLY)
endforeach()
configure_file("${CMAKE_CURRENT_LIST_DIR}/pycaffe/conftest.py" "${PYCAFFE_DIR}/caffe/test/conftest.py" COPYONLY)
add_dependencies(pycaffe caffe_messages)
# What `drml --version` tells of the library.
file(GENERATE OUTPUT "${PYCAFFE_DIR}/caffe/build.json" CONTENT "{
  \"caffe\": \"1.0.0 (BVLC 9b89154)\",
  \"compiler\": \"${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}, ${CMAKE_BUILD_TYPE}\",
  \"oneDNN\": \"${ONEDNN_VERSION}\",
  \"CUDA\": \"${CMAKE_CUDA_COMPILER_VERSION}\",
  \"MPI\": \"${MPI_ENGINE}\",
  \"BLAS\": \"${CBLAS_LIBRARY}\",
  \"Boost\": \"${Boost_VERSION_STRING}\",
  \"OpenCV (library)\": \"${OpenCV_VERSION}\",
  \"protobuf (library)\": \"${PROTOBUF_LIBRARY_VERSION}\",
  \"HDF5 (library)\": \"${HDF5_VERSION}\",
  \"LMDB (library)\": \"${lmdb_VERSION}\"
}
")
add_custom_command(TARGET pycaffe POST_BUILD COMMAND "${CMAKE_COMMAND}" -E copy_if_different
  "${CAFFE_GENERATED}/caffe/proto/caffe.desc" "${CAFFE_GENERATED}/caffe/proto/stock_caffe.desc" "${PYCAFFE_DIR}/caffe/proto")
