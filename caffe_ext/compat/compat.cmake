# What a present toolchain needs of BVLC Caffe 1.0 where compile definitions serve; the rest is in patches/.

# OpenCV 4 keeps the C names in headers that these files do not include.
set(CAFFE_FILES_WITH_OPENCV_C_NAMES src/caffe/layers/window_data_layer.cpp src/caffe/test/test_io.cpp)
set(CAFFE_OPENCV_C_NAMES
  CV_LOAD_IMAGE_COLOR=cv::IMREAD_COLOR CV_LOAD_IMAGE_GRAYSCALE=cv::IMREAD_GRAYSCALE)

# WindowData reads images as all other layers do, with the checks of limits/images.hpp.
set(CAFFE_IMREAD_RENAME imread=ReadImageOrLog)

# The plain convolution waits for im2col and col2im: ours (engines/im2col.cpp) take their names, upstream's are
# kept under others as the tests' oracle.
set(CAFFE_IM2COL_RENAMES im2col_cpu=upstream_im2col_cpu col2im_cpu=upstream_col2im_cpu)

# OpenBLAS takes a factor of NaN for 0, and 0 times NaN for 0: limits/scale.cpp does not.
set(CAFFE_SCALE_RENAMES cblas_sscal=caffe_ext_sscal cblas_dscal=caffe_ext_dscal)

# caffe_source(VARIABLE FILE): the path to compile, with the definitions from above set for the calling folder.
function(caffe_source variable file)
  caffe_file(path "${file}")
  if(file IN_LIST CAFFE_FILES_WITH_OPENCV_C_NAMES)
    set(definitions ${CAFFE_OPENCV_C_NAMES})
    if(file MATCHES "window_data_layer")
      list(APPEND definitions ${CAFFE_IMREAD_RENAME})
    endif()
    set_source_files_properties("${path}" PROPERTIES COMPILE_DEFINITIONS "${definitions}")
  elseif(file STREQUAL src/caffe/util/im2col.cpp)
    set_source_files_properties("${path}" PROPERTIES COMPILE_DEFINITIONS "${CAFFE_IM2COL_RENAMES}"
                                SKIP_PRECOMPILE_HEADERS ON)
  elseif(file STREQUAL src/caffe/util/math_functions.cpp)
    set_source_files_properties("${path}" PROPERTIES COMPILE_DEFINITIONS "${CAFFE_SCALE_RENAMES}"
                                SKIP_PRECOMPILE_HEADERS ON)
  endif()
  set(${variable} "${path}" PARENT_SCOPE)
endfunction()
