# Layers of a user's own, compiled into the library beside ours: docs/own_layers.md.
set(EXTRA_LAYERS "" CACHE STRING "Folders with layers of your own, separated by semicolons: docs/own_layers.md")

# caffe_layer_objects(NAME FOLDER): the layers of a folder as an object library: its .cpp files, its .cu files in a build
# for GPUs, and its .proto files. Sets NAME_MESSAGES to what those become in C++, and NAME_DESCRIPTORS to what Python reads
# of them. Files test_*.cpp are left out.
function(caffe_layer_objects name folder)
  file(GLOB sources CONFIGURE_DEPENDS "${folder}/*.cpp")
  list(FILTER sources EXCLUDE REGEX "/test_[^/]*$")
  file(GLOB kernels CONFIGURE_DEPENDS "${folder}/*.cu")
  file(GLOB messages CONFIGURE_DEPENDS "${folder}/*.proto")
  if(NOT sources)
    message(FATAL_ERROR "EXTRA_LAYERS: ${folder} is not a folder with .cpp files of layers.")
  endif()
  if(NOT USE_CUDA)
    set(kernels "")
  endif()
  set(generated "${PROJECT_BINARY_DIR}/caffe/${name}")
  file(MAKE_DIRECTORY "${generated}")
  set(generated_sources "")
  set(descriptors "")
  foreach(file IN LISTS messages)
    get_filename_component(stem "${file}" NAME_WE)
    add_custom_command(
      OUTPUT "${generated}/${stem}.pb.cc" "${generated}/${stem}.pb.h" "${generated}/${stem}.desc"
      COMMAND protobuf::protoc "--proto_path=${folder}" "--proto_path=${CAFFE_GENERATED}" "--cpp_out=${generated}"
              "--descriptor_set_out=${generated}/${stem}.desc" "${file}"
      DEPENDS "${file}" "${CAFFE_GENERATED}/caffe.proto" COMMENT "Generating the messages of ${file}")
    list(APPEND generated_sources "${generated}/${stem}.pb.cc")
    set_source_files_properties("${generated}/${stem}.pb.cc" PROPERTIES COMPILE_OPTIONS -w)
    list(APPEND descriptors "${generated}/${stem}.desc")
  endforeach()
  add_library(${name} OBJECT ${sources} ${kernels} ${generated_sources})
  target_link_libraries(${name} PRIVATE caffe_settings OpenMP::OpenMP_CXX)
  # The generated files include those of the messages that they extend by this name: "caffe.pb.h".
  target_include_directories(${name} PUBLIC "${folder}")
  target_include_directories(${name} SYSTEM PUBLIC "${generated}" "${CAFFE_GENERATED}/caffe/proto")
  target_compile_options(${name} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:-Wall>" "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall>")
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  add_dependencies(${name} caffe_messages)
  set(${name}_MESSAGES "${generated_sources}" PARENT_SCOPE)
  set(${name}_DESCRIPTORS "${descriptors}" PARENT_SCOPE)
endfunction()

# What `import caffe` reads beside caffe.desc, written anew so that none is left over.
set(_for_python "${PYCAFFE_DIR}/caffe/proto/extra")
file(REMOVE_RECURSE "${_for_python}")
set(CAFFE_EXTRA_LAYERS "")  # names and folders by turns, for the tests
foreach(_folder IN LISTS EXTRA_LAYERS)
  get_filename_component(_folder "${_folder}" ABSOLUTE BASE_DIR "${PROJECT_SOURCE_DIR}")
  get_filename_component(_name "${_folder}" NAME)
  string(MAKE_C_IDENTIFIER "${_name}" _name)
  caffe_layer_objects(${_name} "${_folder}")
  target_sources(caffe PRIVATE $<TARGET_OBJECTS:${_name}>)
  foreach(_file IN LISTS ${_name}_DESCRIPTORS)
    add_custom_command(TARGET pycaffe POST_BUILD
      COMMAND "${CMAKE_COMMAND}" -E make_directory "${_for_python}"
      COMMAND "${CMAKE_COMMAND}" -E copy "${_file}" "${_for_python}")
  endforeach()
  add_dependencies(pycaffe ${_name})
  list(APPEND CAFFE_EXTRA_LAYERS ${_name} "${_folder}")
  message(STATUS "Layers of your own: ${_folder}")
endforeach()
