// What the tests of the CPU engine share.
#ifndef DRML_TESTS_ENGINE_FIXTURE_HPP_
#define DRML_TESTS_ENGINE_FIXTURE_HPP_

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layer.hpp"
#include "caffe/layer_factory.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "engines/switch.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace caffe {

/// Values are equal to within `tolerance` of the largest expected one.
inline void ExpectClose(const float* actual, const float* expected, int count, const string& what,
                        double tolerance = 1e-4) {
  double largest = 1e-2;  // below it, what is left of sums that cancel
  for (int i = 0; i < count; ++i) {
    largest = std::max<double>(largest, std::abs(expected[i]));
  }
  int wrong = 0;
  for (int i = 0; i < count; ++i) {
    // Written so that NaN is wrong.
    if (!(std::abs(actual[i] - expected[i]) <= tolerance * largest) && ++wrong <= 3) {
      ADD_FAILURE() << what << " element " << i << ": " << actual[i] << ", expected "
                    << expected[i];
    }
  }
  EXPECT_EQ(wrong, 0) << what << ", of " << count;
}

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() { Caffe::set_mode(Caffe::CPU); }
  virtual void SetUp() { caffe_ext::SetEngineEnabled(true); }
  virtual void TearDown() { caffe_ext::SetEngineEnabled(true); }

  void Fill(int count, float* values) {
    std::normal_distribution<float> normal;
    for (int i = 0; i < count; ++i) {
      values[i] = normal(generator_);
    }
  }
  void FillBlob(Blob<float>* blob) { Fill(blob->count(), blob->mutable_cpu_data()); }

  static shared_ptr<Layer<float> > Create(const LayerParameter& param, bool engine) {
    caffe_ext::SetEngineEnabled(engine);
    shared_ptr<Layer<float> > layer = LayerRegistry<float>::CreateLayer(param);
    caffe_ext::SetEngineEnabled(true);
    return layer;
  }

  std::mt19937 generator_{7};
};

inline LayerParameter ParseLayer(const string& text) {
  LayerParameter param;
  CHECK(google::protobuf::TextFormat::ParseFromString("name: 'layer' " + text, &param)) << text;
  if (!param.has_phase()) {
    param.set_phase(TRAIN);
  }
  return param;
}

}  // namespace caffe

#endif  // DRML_TESTS_ENGINE_FIXTURE_HPP_
