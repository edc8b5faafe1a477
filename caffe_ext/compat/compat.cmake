# What a present toolchain needs of BVLC Caffe 1.0: one entry, one reason each.
# caffe_substitute works on copies in the build tree and fails when its anchor is missing.

# OpenCV 4 keeps the C names in headers that these files do not include.
set(CAFFE_FILES_WITH_OPENCV_C_NAMES
  src/caffe/layers/window_data_layer.cpp src/caffe/util/io.cpp src/caffe/test/test_io.cpp)
set(CAFFE_OPENCV_C_NAMES
  CV_LOAD_IMAGE_COLOR=cv::IMREAD_COLOR CV_LOAD_IMAGE_GRAYSCALE=cv::IMREAD_GRAYSCALE)

# The packaged net.cpp reads every weight file as a binary proto: HDF5 weights must load as well.
caffe_substitute(src/caffe/net.cpp
  "CopyTrainedLayersFromBinaryProto(trained_filename);"
  "#ifdef USE_HDF5
  if (H5Fis_hdf5(trained_filename.c_str()) > 0) {
    CopyTrainedLayersFromHDF5(trained_filename);
    return;
  }
#endif
  CopyTrainedLayersFromBinaryProto(trained_filename);")

# The packaged io.cpp reads no message of more than 512 MB: LCN's weights are 565 MB. Upstream's limit, which the file
# still names, is 2 GB.
caffe_substitute(src/caffe/util/io.cpp
  "coded_input->SetTotalBytesLimit(536870912);" "coded_input->SetTotalBytesLimit(kProtoReadBytesLimit);")

# NumPy 2 dropped tostring and fromstring.
caffe_substitute(python/caffe/io.py "arr.tostring()" "arr.tobytes()")
caffe_substitute(python/caffe/io.py
  "np.fromstring(datum.data, dtype=np.uint8)" "np.frombuffer(datum.data, dtype=np.uint8).copy()")
# scikit-image 0.19 dropped as_grey.
caffe_substitute(python/caffe/io.py "as_grey=" "as_gray=")

# The plain convolution waits for im2col and col2im: ours (engines/im2col.cpp) take their names, upstream's are
# kept under others as the tests' oracle.
set(CAFFE_IM2COL_RENAMES im2col_cpu=upstream_im2col_cpu col2im_cpu=upstream_col2im_cpu)

# A thread asks this of itself, and may do so before whoever started it has stored thread_: a data race.
caffe_substitute(src/caffe/internal_thread.cpp
  "return thread_ && thread_->interruption_requested();" "return boost::this_thread::interruption_requested();")

# Adam's update is eight passes with a pow() over every parameter on one thread: engines/adam.cpp makes one.
caffe_include(src/caffe/solvers/adam_solver.cpp caffe/sgd_solvers.hpp engines/adam.hpp)
caffe_substitute(src/caffe/solvers/adam_solver.cpp
  "case Caffe::CPU: {"
  "case Caffe::CPU: {
    caffe_ext::AdamUpdate<Dtype>(N, beta1, beta2, eps_hat, local_rate * correction,
        val_m->mutable_cpu_data(), val_v->mutable_cpu_data(),
        net_params[param_id]->mutable_cpu_diff());
    break;")

# CUDA 13 dropped three fields of cudaDeviceProp that are only printed; every CUDA tells them as attributes.
caffe_substitute(include/caffe/util/device_alternate.hpp
  "#include <driver_types.h>  // cuda driver types"
  "#include <driver_types.h>  // cuda driver types
namespace caffe {
inline int CurrentDeviceAttribute(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&value, attribute, device);
  return value;
}
}  // namespace caffe")
foreach(_field "clockRate cudaDevAttrClockRate" "deviceOverlap cudaDevAttrGpuOverlap"
    "kernelExecTimeoutEnabled cudaDevAttrKernelExecTimeout")
  string(REPLACE " " ";" _field "${_field}")
  list(GET _field 0 _old)
  list(GET _field 1 _attribute)
  caffe_substitute(src/caffe/common.cpp "prop.${_old}" "CurrentDeviceAttribute(${_attribute})")
  caffe_substitute(src/caffe/test/test_platform.cpp "CAFFE_TEST_CUDA_PROP.${_old}" "CurrentDeviceAttribute(${_attribute})")
endforeach()

# A build for GPUs is tested on machines without one, too: what runs on the CPU is.
caffe_substitute(src/caffe/test/test_caffe_main.cpp
  "  int device;
  cudaGetDeviceCount(&device);"
  "  int device = 0;
  if (cudaGetDeviceCount(&device) != cudaSuccess || device == 0) {
    cout << \"No GPU here: the cases that run on one are left out.\" << endl;
    const std::string filter = ::testing::GTEST_FLAG(filter);
    ::testing::GTEST_FLAG(filter) = filter + (filter.find('-') == std::string::npos ? \"-\" : \":\") +
        \"*GPU*:*/2.*:*/3.*:Im2colKernelTest*:PlatformTest*\";
    return RUN_ALL_TESTS();
  }")

# A test draws the same numbers in every run and in every order of the tests; upstream's take the clock's. And a machine
# that is busy sleeps longer than 300 ms.
caffe_substitute(src/caffe/test/test_caffe_main.cpp
  "int main(int argc, char** argv) {"
  "class Seeder : public ::testing::EmptyTestEventListener {
  virtual void OnTestStart(const ::testing::TestInfo&) { caffe::Caffe::set_random_seed(1701); }
};

int main(int argc, char** argv) {")
caffe_substitute(src/caffe/test/test_caffe_main.cpp
  "  caffe::GlobalInit(&argc, &argv);"
  "  caffe::GlobalInit(&argc, &argv);
  ::testing::UnitTest::GetInstance()->listeners().Append(new Seeder);")
caffe_substitute(src/caffe/test/test_benchmark.cpp
  "kMillisecondsThreshold = 30;" "kMillisecondsThreshold = 250;")

# caffe_source(VARIABLE FILE): the path to compile, with the definitions from above set for the calling folder.
function(caffe_source variable file)
  caffe_file(path "${file}")
  if(file IN_LIST CAFFE_FILES_WITH_OPENCV_C_NAMES)
    set_source_files_properties("${path}" PROPERTIES COMPILE_DEFINITIONS "${CAFFE_OPENCV_C_NAMES}")
  elseif(file STREQUAL src/caffe/util/im2col.cpp)
    set_source_files_properties("${path}" PROPERTIES COMPILE_DEFINITIONS "${CAFFE_IM2COL_RENAMES}"
                                SKIP_PRECOMPILE_HEADERS ON)
  elseif(file IN_LIST CAFFE_FILES_WITH_DEBUG_CHECKS)  # limits/hooks.cmake
    set_source_files_properties("${path}" PROPERTIES COMPILE_OPTIONS -UNDEBUG SKIP_PRECOMPILE_HEADERS ON)
  endif()
  set(${variable} "${path}" PARENT_SCOPE)
endfunction()
