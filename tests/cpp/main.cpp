// The main program of our tests and of upstream's: each test draws the same random numbers in every
// run and order, and those that run on a GPU are left out where there is none.
#include <cstdlib>
#include <iostream>
#include <string>

#include "caffe/common.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "gtest/gtest.h"

#ifndef CPU_ONLY
namespace caffe {
cudaDeviceProp CAFFE_TEST_CUDA_PROP;
}  // namespace caffe
#endif

namespace {

class Seeder : public ::testing::EmptyTestEventListener {
  virtual void OnTestStart(const ::testing::TestInfo&) { caffe::Caffe::set_random_seed(1701); }
};

#ifndef CPU_ONLY
// Takes the GPU of this number, or the first one.
void ChooseGpu(const char* number) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::cout << "No GPU here: the cases that run on one are left out." << std::endl;
    const std::string filter = ::testing::GTEST_FLAG(filter);
    ::testing::GTEST_FLAG(filter) = filter + (filter.find('-') == std::string::npos ? "-" : ":") +
                                    "*GPU*:*/2.*:*/3.*:Im2colKernelTest*";
    return;
  }
  CUDA_CHECK(cudaSetDevice(number ? std::atoi(number) : 0));
  int device;
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaGetDeviceProperties(&caffe::CAFFE_TEST_CUDA_PROP, device));
  std::cout << "GPU " << device << " of " << devices << ": " << caffe::CAFFE_TEST_CUDA_PROP.name
            << std::endl;
}
#endif

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  caffe::GlobalInit(&argc, &argv);
  ::testing::UnitTest::GetInstance()->listeners().Append(new Seeder);
#ifndef CPU_ONLY
  ChooseGpu(argc > 1 ? argv[1] : NULL);
#endif
  return RUN_ALL_TESTS();
}
