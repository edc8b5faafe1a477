# What we change in Caffe's own text: the patches in patches/, applied to copies of the files in the build tree.
set(CAFFE_PATCH_SERIES "${Python3_EXECUTABLE}" "${CMAKE_CURRENT_LIST_DIR}/patch_series.py")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/patch_series.py")

# caffe_patch(SERIES SOURCE BUILD): apply the patches in the folder SERIES to files of SOURCE, as copies below
# BUILD/patched. A copy is written only when its text changes, so that nothing is rebuilt idly.
function(caffe_patch series source build)
  file(GLOB patches "${series}/*.patch")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${series}" ${patches})
  execute_process(COMMAND ${CAFFE_PATCH_SERIES} apply "${series}" "${source}" "${build}"
    RESULT_VARIABLE failed ERROR_VARIABLE error OUTPUT_VARIABLE edited)
  if(failed)
    message(FATAL_ERROR "${error}")
  elseif(edited)
    message(WARNING "${edited}")
  endif()
endfunction()

caffe_patch("${CMAKE_CURRENT_LIST_DIR}/patches" "${CAFFE_SOURCE}" "${PROJECT_BINARY_DIR}/caffe")
set(CAFFE_PATCHED "${PROJECT_BINARY_DIR}/caffe/patched")

# caffe_file(VARIABLE FILE): the path of a file of Caffe, that of the copy if there is one.
function(caffe_file variable file)
  if(EXISTS "${CAFFE_PATCHED}/${file}")
    set(${variable} "${CAFFE_PATCHED}/${file}" PARENT_SCOPE)
  else()
    set(${variable} "${CAFFE_SOURCE}/${file}" PARENT_SCOPE)
  endif()
endfunction()
