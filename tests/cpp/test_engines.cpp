// The parts of upstream that our own code replaces, against upstream's and against plain loops.
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <random>
#include <thread>  // NOLINT(build/c++11)
#include <vector>

#include "caffe/syncedmem.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/util/im2col.hpp"
#include "engines/upstream.hpp"
#include "gtest/gtest.h"

namespace caffe {

template <typename Dtype>
class EnginesTest : public ::testing::Test {
 protected:
  std::vector<Dtype> Random(size_t size) {
    std::normal_distribution<Dtype> normal;
    std::vector<Dtype> values(size);
    for (Dtype& value : values) value = normal(generator_);
    return values;
  }

  std::mt19937 generator_{1};
};

TYPED_TEST_CASE(EnginesTest, TestDtypes);

// A window of a 2-D convolution over images of kChannels channels.
struct Window {
  int height, width, kernel_h, kernel_w, pad_h, pad_w, stride_h, stride_w, dilation_h, dilation_w;

  static int Out(int in, int kernel, int pad, int stride, int dilation) {
    return (in + 2 * pad - (dilation * (kernel - 1) + 1)) / stride + 1;
  }
  // Values of the image, and of its column matrix.
  size_t ImageSize() const { return kChannels * height * width; }
  size_t ColSize() const {
    const int out_h = Out(height, kernel_h, pad_h, stride_h, dilation_h);
    const int out_w = Out(width, kernel_w, pad_w, stride_w, dilation_w);
    return out_h <= 0 || out_w <= 0 ? 0 : kChannels * kernel_h * kernel_w * out_h * out_w;
  }

  // Calls im2col_cpu, col2im_cpu or upstream's with this window.
  template <typename Dtype>
  using Copy = void (*)(const Dtype*, int, int, int, int, int, int, int, int, int, int, int,
                        Dtype*);
  template <typename Dtype>
  std::vector<Dtype> Run(Copy<Dtype> copy, const std::vector<Dtype>& from, size_t size) const {
    // A value that neither gives: what is left unwritten shows.
    std::vector<Dtype> to(size, 1e9);
    copy(from.data(), kChannels, height, width, kernel_h, kernel_w, pad_h, pad_w, stride_h,
         stride_w, dilation_h, dilation_w, to.data());
    return to;
  }

  static const int kChannels = 3;
};

const Window kWindows[] = {
    {9, 12, 3, 3, 0, 0, 1, 1, 1, 1},
    {9, 12, 3, 5, 1, 2, 1, 1, 1, 1},
    {9, 12, 5, 3, 2, 1, 2, 3, 1, 1},
    {10, 7, 3, 2, 0, 1, 1, 2, 2, 3},
    {4, 5, 1, 1, 0, 0, 1, 1, 1, 1},
    {3, 3, 3, 3, 4, 4, 1, 1, 1, 1},
    {5, 6, 3, 3, 7, 5, 3, 2, 1, 1},
    {1, 8, 1, 4, 0, 3, 1, 3, 1, 1},
    {12, 11, 4, 4, 3, 2, 4, 5, 1, 2},
    {3, 9, 4, 3, 0, 0, 2, 1, 1, 1},  // a kernel larger than the image, but one output
    {0, 4, 1, 2, 1, 1, 1, 1, 1, 1},  // padding alone
};

// Runs a function with so many threads of OpenMP.
template <typename Function>
void WithThreads(int threads, const Function& function) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(threads);
  function();
  omp_set_num_threads(before);
}

TYPED_TEST(EnginesTest, TestIm2ColIsUpstreamsToTheBit) {
  for (const Window& w : kWindows) {
    const std::vector<TypeParam> image = this->Random(w.ImageSize());
    const auto upstream = w.Run(&upstream_im2col_cpu<TypeParam>, image, w.ColSize());
    for (int threads : {1, 2, 5}) {
      WithThreads(threads, [&] {
        EXPECT_EQ(w.Run(&im2col_cpu<TypeParam>, image, w.ColSize()), upstream)
            << "window " << (&w - kWindows) << ", threads " << threads;
      });
    }
  }
}

TYPED_TEST(EnginesTest, TestCol2ImIsUpstreamsToTheBit) {
  for (const Window& w : kWindows) {
    const std::vector<TypeParam> col = this->Random(w.ColSize());
    const auto upstream = w.Run(&upstream_col2im_cpu<TypeParam>, col, w.ImageSize());
    for (int threads : {1, 2, 5}) {
      WithThreads(threads, [&] {
        EXPECT_EQ(w.Run(&col2im_cpu<TypeParam>, col, w.ImageSize()), upstream)
            << "window " << (&w - kWindows) << ", threads " << threads;
      });
    }
  }
}

// Upstream would count its outputs down from below zero, so there is nothing to compare with.
TYPED_TEST(EnginesTest, TestKernelFarLargerThanTheImage) {
  for (const Window& w :
       {Window{3, 9, 6, 3, 0, 0, 1, 1, 1, 1}, Window{9, 3, 3, 6, 0, 0, 1, 1, 1, 1},
        Window{3, 3, 6, 6, 0, 0, 2, 2, 1, 1}}) {
    ASSERT_EQ(w.ColSize(), 0);
    const std::vector<TypeParam> image = this->Random(w.ImageSize()), untouched(1, 1e9);
    std::vector<TypeParam> nothing = w.Run(&im2col_cpu<TypeParam>, image, 1);
    EXPECT_EQ(nothing, untouched);
    EXPECT_EQ(w.Run(&col2im_cpu<TypeParam>, nothing, w.ImageSize()),
              std::vector<TypeParam>(w.ImageSize(), 0));
  }
}

// Nets in several threads share nothing in here.
TYPED_TEST(EnginesTest, TestSeveralCallersAtOnce) {
  const Window& w = kWindows[2];
  const std::vector<TypeParam> image = this->Random(w.ImageSize());
  const auto expected_col = w.Run(&upstream_im2col_cpu<TypeParam>, image, w.ColSize());
  const auto expected_image = w.Run(&upstream_col2im_cpu<TypeParam>, expected_col, w.ImageSize());
  std::atomic<int> wrong(0);
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      for (int k = 0; k < 50; ++k) {
        const auto col = w.Run(&im2col_cpu<TypeParam>, image, w.ColSize());
        wrong += col != expected_col;
        wrong += w.Run(&col2im_cpu<TypeParam>, col, w.ImageSize()) != expected_image;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

// Where a huge page can begin, and as any blob's memory: zero, and the caller's to write.
TEST(LargeBlobTest, BeginsAtAHugePage) {
  const size_t kHugePage = 2 << 20, kBytes = (8 << 20) + 4;
  SyncedMemory memory(kBytes);
  char* const values = static_cast<char*>(memory.mutable_cpu_data());
  EXPECT_EQ(reinterpret_cast<size_t>(values) % kHugePage, 0);
  EXPECT_EQ(std::count(values, values + kBytes, 0), kBytes);
  std::fill_n(values, kBytes, 1);
  EXPECT_EQ(static_cast<const char*>(memory.cpu_data())[kBytes - 1], 1);
}

}  // namespace caffe
