// WeightedMean against loops that know nothing of it, its gradient against differences, and a net
// that learns through it.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "caffe/layer_factory.hpp"
#include "caffe/sgd_solvers.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/test/test_gradient_check_util.hpp"
#include "caffe/util/io.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "weighted_mean.pb.h"
#include "weighted_mean_layer.hpp"

namespace caffe {

namespace {

LayerParameter Parse(const string& parameters) {
  LayerParameter param;
  CHECK(google::protobuf::TextFormat::ParseFromString(
      "name: 'mean' type: 'WeightedMean' " + parameters, &param))
      << parameters;
  return param;
}

}  // namespace

template <typename TypeParam>
class WeightedMeanLayerTest : public MultiDeviceTest<TypeParam> {
  typedef typename TypeParam::Dtype Dtype;

 protected:
  // 3 samples, 2 channels, maps of 4 x 5. The second sample has no weight at all.
  WeightedMeanLayerTest() : maps_(3, 2, 4, 5), weights_(3, 1, 4, 5) {
    for (int i = 0; i < maps_.count(); ++i) {
      maps_.mutable_cpu_data()[i] = static_cast<Dtype>(std::sin(1 + 2.3 * i));
    }
    for (int i = 0; i < weights_.count(); ++i) {
      weights_.mutable_cpu_data()[i] = i / 20 == 1 ? 0 : static_cast<Dtype>(1 + std::cos(0.7 * i));
    }
    bottom_ = {&maps_, &weights_};
    top_ = {&means_};
  }

  void Compare(const string& parameters, double min_sum) {
    WeightedMeanLayer<Dtype> layer(Parse(parameters));
    layer.SetUp(bottom_, top_);
    layer.Forward(bottom_, top_);
    ASSERT_EQ(means_.shape(), (vector<int>{maps_.shape(0), maps_.shape(1)}));
    for (int n = 0; n < maps_.shape(0); ++n) {
      for (int c = 0; c < maps_.shape(1); ++c) {
        double sum = 0, weight = 0;
        for (int y = 0; y < maps_.shape(2); ++y) {
          for (int x = 0; x < maps_.shape(3); ++x) {
            // The weights may have other axes.
            const int place = (n * maps_.shape(2) + y) * maps_.shape(3) + x;
            sum += 1. * weights_.cpu_data()[place] * maps_.data_at(n, c, y, x);
            weight += weights_.cpu_data()[place];
          }
        }
        EXPECT_NEAR(means_.cpu_data()[n * maps_.shape(1) + c], sum / std::max(weight, min_sum),
                    1e-6);
      }
    }
  }

  Blob<Dtype> maps_, weights_, means_;
  vector<Blob<Dtype>*> bottom_, top_;
};

TYPED_TEST_CASE(WeightedMeanLayerTest, TestDtypesAndDevices);

TYPED_TEST(WeightedMeanLayerTest, IsRegistered) {
  EXPECT_STREQ(LayerRegistry<typename TypeParam::Dtype>::CreateLayer(Parse(""))->type(),
               "WeightedMean");
}

TYPED_TEST(WeightedMeanLayerTest, IsTheMeanByHand) {
  this->Compare("", 1e-6);
  this->Compare("[caffe.weighted_mean_param] { min_sum: 30 }", 30);
}

TYPED_TEST(WeightedMeanLayerTest, OfOtherShapes) {
  this->maps_.Reshape({1, 1, 2, 3});
  this->weights_.Reshape({1, 6});
  this->Compare("", 1e-6);
}

TYPED_TEST(WeightedMeanLayerTest, AMaskChoosesPositions) {
  typedef typename TypeParam::Dtype Dtype;
  for (int i = 0; i < 60; ++i) {
    this->weights_.mutable_cpu_data()[i] = i % 20 == 7;
  }
  WeightedMeanLayer<Dtype> layer(Parse(""));
  layer.SetUp(this->bottom_, this->top_);
  layer.Forward(this->bottom_, this->top_);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(this->means_.cpu_data()[i], this->maps_.cpu_data()[i * 20 + 7]);
  }
}

TYPED_TEST(WeightedMeanLayerTest, Gradient) {
  typedef typename TypeParam::Dtype Dtype;
  // A min_sum between the sums, and none near its kink.
  WeightedMeanLayer<Dtype> layer(Parse("[caffe.weighted_mean_param] { min_sum: 0.5 }"));
  GradientChecker<Dtype> checker(1e-2, 1e-3);
  checker.CheckGradientExhaustive(&layer, this->bottom_, this->top_);
}

TYPED_TEST(WeightedMeanLayerTest, AValueThatIsNoNumberReachesItsMeanAlone) {
  typedef typename TypeParam::Dtype Dtype;
  this->maps_.mutable_cpu_data()[20 + 3] = std::numeric_limits<Dtype>::quiet_NaN();
  WeightedMeanLayer<Dtype> layer(Parse(""));
  layer.SetUp(this->bottom_, this->top_);
  layer.Forward(this->bottom_, this->top_);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(std::isnan(this->means_.cpu_data()[i]), i == 1) << i;
  }
}

TEST(WeightedMeanDeathTest, Errors) {
  Blob<float> maps(2, 3, 4, 5), weights(2, 1, 4, 4), means;
  EXPECT_DEATH(WeightedMeanLayer<float>(Parse("")).SetUp({&maps, &weights}, {&means}),
               "layer 'mean': the maps are 2 3 4 5 .120. and the weights 2 1 4 4 .32.;");
  weights.Reshape(2, 1, 4, 5);
  for (const string value : {"0", "-1", "nan", "inf"}) {
    EXPECT_DEATH(
        WeightedMeanLayer<float>(Parse("[caffe.weighted_mean_param] { min_sum: " + value + " }"))
            .SetUp({&maps, &weights}, {&means}),
        "min_sum is .*; it must be positive");
  }
}

// Attention has to find the one position that the target is taken from: line 1, column 2 of 5.
TEST(WeightedMeanTest, ANetLearnsThroughIt) {
  Caffe::set_mode(Caffe::CPU);
  SolverParameter param;
  ASSERT_TRUE(ReadProtoFromTextFile("examples/own_layer/solver.prototxt", &param));
  SGDSolver<float> solver(param);
  const Blob<float>& loss = *solver.net()->blob_by_name("loss");
  const Blob<float>& weights = *solver.net()->blob_by_name("weights");
  solver.Step(1);
  const float first = loss.cpu_data()[0];
  EXPECT_FLOAT_EQ(weights.data_at({0, 7}), 0.05f);
  solver.Step(99);
  EXPECT_LT(loss.cpu_data()[0], 0.1 * first);
  EXPECT_GT(weights.data_at({7, 7}), 0.9);
  // The parameters travel with the weights.
  NetParameter net;
  solver.net()->ToProto(&net);
  for (const LayerParameter& layer : net.layer()) {
    if (layer.type() == "WeightedMean") {
      EXPECT_FLOAT_EQ(layer.GetExtension(weighted_mean_param).min_sum(), 0.01f);
    }
  }
}

}  // namespace caffe
