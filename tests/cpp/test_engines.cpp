// The parts of upstream that our own code replaces, against upstream's and against plain loops.
#include <cmath>
#include <random>
#include <vector>

#include "caffe/test/test_caffe_main.hpp"
#include "caffe/util/im2col.hpp"
#include "engines/adam.hpp"
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

// height, width, kernel h and w, pad h and w, stride h and w, dilation h and w
struct Window {
  int height, width, kernel_h, kernel_w, pad_h, pad_w, stride_h, stride_w, dilation_h, dilation_w;
};

const Window kWindows[] = {
    {9, 12, 3, 3, 0, 0, 1, 1, 1, 1},  {9, 12, 3, 5, 1, 2, 1, 1, 1, 1},
    {9, 12, 5, 3, 2, 1, 2, 3, 1, 1},  {10, 7, 3, 2, 0, 1, 1, 2, 2, 3},
    {4, 5, 1, 1, 0, 0, 1, 1, 1, 1},   {3, 3, 3, 3, 4, 4, 1, 1, 1, 1},
    {5, 6, 3, 3, 7, 5, 3, 2, 1, 1},   {1, 8, 1, 4, 0, 3, 1, 3, 1, 1},
    {12, 11, 4, 4, 3, 2, 4, 5, 1, 2},
};

TYPED_TEST(EnginesTest, TestIm2ColIsUpstreamsToTheBit) {
  const int channels = 3;
  for (const Window& w : kWindows) {
    const int out_h =
        (w.height + 2 * w.pad_h - (w.dilation_h * (w.kernel_h - 1) + 1)) / w.stride_h + 1;
    const int out_w =
        (w.width + 2 * w.pad_w - (w.dilation_w * (w.kernel_w - 1) + 1)) / w.stride_w + 1;
    const std::vector<TypeParam> image = this->Random(channels * w.height * w.width);
    const size_t size = channels * w.kernel_h * w.kernel_w * out_h * out_w;
    // What is left unwritten differs between the two.
    std::vector<TypeParam> ours(size, 7), upstream(size, 8);
    im2col_cpu(image.data(), channels, w.height, w.width, w.kernel_h, w.kernel_w, w.pad_h, w.pad_w,
               w.stride_h, w.stride_w, w.dilation_h, w.dilation_w, ours.data());
    upstream_im2col_cpu(image.data(), channels, w.height, w.width, w.kernel_h, w.kernel_w, w.pad_h,
                        w.pad_w, w.stride_h, w.stride_w, w.dilation_h, w.dilation_w,
                        upstream.data());
    EXPECT_EQ(ours, upstream) << "window " << (&w - kWindows);
  }
}

TYPED_TEST(EnginesTest, TestCol2ImIsUpstreamsToTheBit) {
  const int channels = 3;
  for (const Window& w : kWindows) {
    const int out_h =
        (w.height + 2 * w.pad_h - (w.dilation_h * (w.kernel_h - 1) + 1)) / w.stride_h + 1;
    const int out_w =
        (w.width + 2 * w.pad_w - (w.dilation_w * (w.kernel_w - 1) + 1)) / w.stride_w + 1;
    const std::vector<TypeParam> col =
        this->Random(channels * w.kernel_h * w.kernel_w * out_h * out_w);
    const size_t size = channels * w.height * w.width;
    std::vector<TypeParam> ours(size, 7), upstream(size, 8);
    col2im_cpu(col.data(), channels, w.height, w.width, w.kernel_h, w.kernel_w, w.pad_h, w.pad_w,
               w.stride_h, w.stride_w, w.dilation_h, w.dilation_w, ours.data());
    upstream_col2im_cpu(col.data(), channels, w.height, w.width, w.kernel_h, w.kernel_w, w.pad_h,
                        w.pad_w, w.stride_h, w.stride_w, w.dilation_h, w.dilation_w,
                        upstream.data());
    EXPECT_EQ(ours, upstream) << "window " << (&w - kWindows);
  }
}

TYPED_TEST(EnginesTest, TestAdamFollowsThePaper) {
  const int n = 1003;
  const double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, rate = 0.01;
  std::vector<TypeParam> m(n), v(n);
  std::vector<double> expected_m(n), expected_v(n);
  for (int step = 1; step <= 5; ++step) {
    std::vector<TypeParam> diff = this->Random(n);
    diff[0] = 0;
    std::vector<double> expected(diff.begin(), diff.end());
    for (int i = 0; i < n; ++i) {
      expected_m[i] = beta1 * expected_m[i] + (1 - beta1) * expected[i];
      expected_v[i] = beta2 * expected_v[i] + (1 - beta2) * expected[i] * expected[i];
      expected[i] = rate * expected_m[i] / (std::sqrt(expected_v[i]) + eps);
    }
    caffe_ext::AdamUpdate<TypeParam>(n, beta1, beta2, eps, rate, m.data(), v.data(), diff.data());
    for (int i = 0; i < n; ++i) {
      EXPECT_NEAR(diff[i], expected[i], 1e-4 * std::abs(expected[i]) + 1e-9) << "element " << i;
      EXPECT_NEAR(m[i], expected_m[i], 1e-5 * std::abs(expected_m[i]) + 1e-7);
      // 1 - beta2 loses digits in float.
      EXPECT_NEAR(v[i], expected_v[i], 1e-4 * expected_v[i]);
    }
  }
}

}  // namespace caffe
