// Blobs of drawn values, and values against others.
#ifndef TESTS_CPP_VALUES_HPP_
#define TESTS_CPP_VALUES_HPP_

#include <algorithm>
#include <cmath>
#include <string>

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/filler.hpp"
#include "gtest/gtest.h"

namespace caffe {

template <typename Dtype>
void FillGaussian(double mean, double std, Blob<Dtype>* blob) {
  FillerParameter param;
  param.set_mean(mean);
  param.set_std(std);
  GaussianFiller<Dtype>(param).Fill(blob);
}

// |a - b| within a tolerance that scales with the largest value around.
template <typename A, typename B>
void ExpectNear(int count, const A* expected, const B* actual, double tolerance,
                const string& what) {
  double scale = 1;
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(std::isfinite(static_cast<double>(expected[i]))) << what << ": element " << i;
    scale = std::max(scale, std::fabs(static_cast<double>(expected[i])));
  }
  int wrong = 0;
  for (int i = 0; i < count; ++i) {
    // Written so that NaN is wrong, too.
    if (!(std::fabs(static_cast<double>(expected[i]) - actual[i]) <= tolerance * scale)) {
      if (++wrong == 1) {
        ADD_FAILURE() << what << ": element " << i << " is " << actual[i] << ", expected "
                      << expected[i];
      }
    }
  }
  EXPECT_EQ(wrong, 0) << what << ": " << wrong << " of " << count << " elements";
}

template <typename Dtype>
double Tolerance() {
  return sizeof(Dtype) == sizeof(float) ? 2e-5 : 1e-12;
}

}  // namespace caffe

#endif  // TESTS_CPP_VALUES_HPP_
