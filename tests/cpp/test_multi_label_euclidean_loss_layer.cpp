#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layer_factory.hpp"
#include "caffe/layers/euclidean_loss_layer.hpp"
#include "caffe/layers/multi_label_euclidean_loss_layer.hpp"
#include "caffe/net.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/test/test_gradient_check_util.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace caffe {

namespace {

const int kSamples = 5;
const int kClasses = 4;
const double kUnknown = 9;

LayerParameter Parse(const string& text) {
  LayerParameter param;
  CHECK(google::protobuf::TextFormat::ParseFromString("name: 'cost' " + text, &param)) << text;
  return param;
}

// The formula, in doubles: half the square, or, from delta on, the tangent there. divisor is Z;
// weight has one value for each class.
double NaiveLoss(const vector<double>& estimates, const vector<double>& labels,
                 const vector<double>& weight, double delta, double divisor) {
  double sum = 0;
  for (size_t i = 0; i < estimates.size(); ++i) {
    if (labels[i] == kUnknown) {
      continue;
    }
    const double d = std::abs(estimates[i] - labels[i]);
    const double tangent = delta * delta / 2 + delta * (d - delta);
    sum += weight[i % weight.size()] * (delta == 0 || d < delta ? d * d / 2 : tangent);
  }
  return sum / divisor;
}

// By central differences of the above.
double NaiveGradient(vector<double> estimates, const vector<double>& labels,
                     const vector<double>& weight, double delta, double divisor, int i) {
  const double step = 1e-5;
  const double estimate = estimates[i];
  estimates[i] = estimate + step;
  const double above = NaiveLoss(estimates, labels, weight, delta, divisor);
  estimates[i] = estimate - step;
  const double below = NaiveLoss(estimates, labels, weight, delta, divisor);
  return (above - below) / (2 * step);
}

}  // namespace

template <typename TypeParam>
class MultiLabelEuclideanLossLayerTest : public MultiDeviceTest<TypeParam> {
  typedef typename TypeParam::Dtype Dtype;

 protected:
  typedef MultiLabelEuclideanLossLayer<Dtype> LossLayerType;

  MultiLabelEuclideanLossLayerTest()
      : estimates_(vector<int>{kSamples, kClasses}), labels_(vector<int>{kSamples, kClasses}) {
    bottom_ = {&estimates_, &labels_};
    top_ = {&loss_};
    Fill(3);
  }

  // Estimates and labels that look random, the same in every run: all levels, and unknown ones.
  void Fill(double spread) {
    const double levels[] = {0, kUnknown, 3, 1, 5, 0, kUnknown, 2, 4, 2.5, 0};
    for (int i = 0; i < estimates_.count(); ++i) {
      estimates_.mutable_cpu_data()[i] = static_cast<Dtype>(2 + spread * std::sin(1.0 + 2.3 * i));
      labels_.mutable_cpu_data()[i] = static_cast<Dtype>(levels[i % 11]);
    }
  }

  vector<double> Values(const Blob<Dtype>& blob) const {
    return vector<double>(blob.cpu_data(), blob.cpu_data() + blob.count());
  }

  int Known() const {
    const vector<double> labels = Values(labels_);
    return static_cast<int>(labels.size() - std::count(labels.begin(), labels.end(), kUnknown));
  }

  // Runs forward and backward and holds both to the formula.
  void CompareWithFormula(const string& text, const vector<double>& weight, double divisor,
                          double loss_weight = 1, double delta = 0) {
    SCOPED_TRACE(text);
    LossLayerType layer(Parse(text));
    layer.SetUp(bottom_, top_);
    const double weighted = layer.Forward(bottom_, top_);
    const vector<double> estimates = Values(estimates_), labels = Values(labels_);
    const double loss = NaiveLoss(estimates, labels, weight, delta, divisor);
    EXPECT_NEAR(loss_.cpu_data()[0], loss, 1e-5 * std::abs(loss));
    EXPECT_NEAR(weighted, loss_weight * loss, 1e-5 * std::abs(loss_weight * loss));
    layer.Backward(top_, {true, false}, bottom_);
    for (int i = 0; i < estimates_.count(); ++i) {
      EXPECT_NEAR(estimates_.cpu_diff()[i],
                  loss_weight * NaiveGradient(estimates, labels, weight, delta, divisor, i), 2e-5)
          << i;
      if (labels[i] == kUnknown) {
        EXPECT_EQ(estimates_.cpu_diff()[i], 0) << i;
      }
    }
  }

  Blob<Dtype> estimates_, labels_, loss_;
  vector<Blob<Dtype>*> bottom_, top_;
};

TYPED_TEST_CASE(MultiLabelEuclideanLossLayerTest, TestDtypesAndDevices);

TYPED_TEST(MultiLabelEuclideanLossLayerTest, IsRegistered) {
  typedef typename TypeParam::Dtype Dtype;
  shared_ptr<Layer<Dtype> > layer =
      LayerRegistry<Dtype>::CreateLayer(Parse("type: 'MultiLabelEuclideanLoss'"));
  EXPECT_STREQ(layer->type(), "MultiLabelEuclideanLoss");
}

TYPED_TEST(MultiLabelEuclideanLossLayerTest, Normalizations) {
  const vector<double> ones(kClasses, 1);
  const int known = this->Known();
  ASSERT_GT(known, 0);
  ASSERT_LT(known, kSamples * kClasses);
  this->CompareWithFormula("", ones, kSamples);
  this->CompareWithFormula("loss_param { normalization: BATCH_SIZE }", ones, kSamples);
  this->CompareWithFormula("loss_param { normalization: VALID }", ones, known);
  this->CompareWithFormula("loss_param { normalization: FULL }", ones, kSamples * kClasses);
  this->CompareWithFormula("loss_param { normalization: NONE }", ones, 1);
  this->CompareWithFormula("loss_param { normalize: true }", ones, known);
  this->CompareWithFormula("loss_param { normalize: false }", ones, kSamples);
}

TYPED_TEST(MultiLabelEuclideanLossLayerTest, WeightsAndDelta) {
  const vector<double> ones(kClasses, 1), weights = {0.5, 1, 2, 4};
  const string weighted = "weight: [0.5, 1, 2, 4] ";
  this->CompareWithFormula("loss_weight: 3.7", ones, kSamples, 3.7);
  this->CompareWithFormula("loss_weight: -2 loss_param { normalization: VALID }", ones,
                           this->Known(), -2);
  this->CompareWithFormula("multi_label_euclidean_loss_param { weight: 2.5 }",
                           vector<double>(kClasses, 2.5), kSamples);
  this->CompareWithFormula("multi_label_euclidean_loss_param { " + weighted + "}", weights,
                           kSamples);
  for (double delta : {0.5, 1.0, 2.25, 100.0}) {
    const string huber = "delta: " + std::to_string(delta) + " ";
    this->CompareWithFormula("multi_label_euclidean_loss_param { " + huber + "}", ones, kSamples, 1,
                             delta);
    this->CompareWithFormula(
        "loss_weight: 0.3 loss_param { normalization: VALID } "
        "multi_label_euclidean_loss_param { " +
            weighted + huber + "}",
        weights, this->Known(), 0.3, delta);
  }
}

// A near, a far and an unknown label, worked out by hand with delta 1.
TYPED_TEST(MultiLabelEuclideanLossLayerTest, ByHand) {
  typedef typename TypeParam::Dtype Dtype;
  this->estimates_.Reshape({1, 4});
  this->labels_.Reshape({1, 4});
  const Dtype estimates[] = {2.5, -1, 7, 4};
  const Dtype labels[] = {3, 2, 9, 0};
  std::copy(estimates, estimates + 4, this->estimates_.mutable_cpu_data());
  std::copy(labels, labels + 4, this->labels_.mutable_cpu_data());
  MultiLabelEuclideanLossLayer<Dtype> layer(Parse("multi_label_euclidean_loss_param { delta: 1 }"));
  layer.SetUp(this->bottom_, this->top_);
  layer.Forward(this->bottom_, this->top_);
  EXPECT_NEAR(this->loss_.cpu_data()[0], 0.125 + 2.5 + 3.5, 1e-6);
  layer.Backward(this->top_, {true, false}, this->bottom_);
  const double gradients[] = {-0.5, -1, 0, 1};
  for (int i = 0; i < 4; ++i) {
    EXPECT_NEAR(this->estimates_.cpu_diff()[i], gradients[i], 1e-6) << i;
  }
}

// Without unknown labels, Caffe's own layer computes the same.
TYPED_TEST(MultiLabelEuclideanLossLayerTest, AgreesWithCaffesLayer) {
  typedef typename TypeParam::Dtype Dtype;
  for (const char* text : {"", "loss_weight: 1", "loss_weight: 0.3"}) {
    SCOPED_TRACE(text);
    for (int i = 0; i < this->labels_.count(); ++i) {
      this->labels_.mutable_cpu_data()[i] = i % 6;
    }
    MultiLabelEuclideanLossLayer<Dtype> layer(Parse(text));
    layer.SetUp(this->bottom_, this->top_);
    const Dtype loss = layer.Forward(this->bottom_, this->top_);
    layer.Backward(this->top_, {true, false}, this->bottom_);
    const vector<double> diff(this->estimates_.cpu_diff(),
                              this->estimates_.cpu_diff() + this->estimates_.count());
    EuclideanLossLayer<Dtype> stock(Parse(text));
    stock.SetUp(this->bottom_, this->top_);
    EXPECT_NEAR(stock.Forward(this->bottom_, this->top_), loss, 1e-5 * std::abs(loss));
    stock.Backward(this->top_, {true, false}, this->bottom_);
    for (int i = 0; i < this->estimates_.count(); ++i) {
      EXPECT_NEAR(this->estimates_.cpu_diff()[i], diff[i], 1e-6) << i;
    }
  }
}

TYPED_TEST(MultiLabelEuclideanLossLayerTest, Gradient) {
  typedef typename TypeParam::Dtype Dtype;
  for (const char* text :
       {"", "loss_weight: 3.7", "loss_param { normalization: VALID }",
        "loss_weight: 0.2 multi_label_euclidean_loss_param { weight: [0.5, 1, 2, 4] delta: 0.8 }",
        "loss_param { normalization: NONE } multi_label_euclidean_loss_param { delta: 2 }"}) {
    SCOPED_TRACE(text);
    MultiLabelEuclideanLossLayer<Dtype> layer(Parse(text));
    GradientChecker<Dtype> checker(1e-2, 1e-2, 1701);
    checker.CheckGradientExhaustive(&layer, this->bottom_, this->top_, 0);
  }
}

TYPED_TEST(MultiLabelEuclideanLossLayerTest, ShapesMayChange) {
  typedef typename TypeParam::Dtype Dtype;
  MultiLabelEuclideanLossLayer<Dtype> layer(Parse(""));
  layer.SetUp(this->bottom_, this->top_);
  const Dtype flat = layer.Forward(this->bottom_, this->top_);
  this->estimates_.Reshape(vector<int>{kSamples, kClasses, 1, 1});
  EXPECT_EQ(layer.Forward(this->bottom_, this->top_), flat);
  const int samples = 2 * kSamples + 1;
  this->estimates_.Reshape(vector<int>{samples, kClasses});
  this->labels_.Reshape(vector<int>{samples, kClasses});
  this->Fill(2);
  layer.Forward(this->bottom_, this->top_);
  const double loss = NaiveLoss(this->Values(this->estimates_), this->Values(this->labels_),
                                vector<double>(kClasses, 1), 0, samples);
  EXPECT_NEAR(this->loss_.cpu_data()[0], loss, 1e-5 * loss);
}

TYPED_TEST(MultiLabelEuclideanLossLayerTest, AllUnknown) {
  typedef typename TypeParam::Dtype Dtype;
  caffe_set(this->labels_.count(), Dtype(kUnknown), this->labels_.mutable_cpu_data());
  for (const char* mode : {"BATCH_SIZE", "VALID", "FULL", "NONE"}) {
    SCOPED_TRACE(mode);
    caffe_set(this->estimates_.count(), Dtype(9), this->estimates_.mutable_cpu_diff());
    MultiLabelEuclideanLossLayer<Dtype> layer(
        Parse(string("loss_param { normalization: ") + mode + " }"));
    layer.SetUp(this->bottom_, this->top_);
    EXPECT_EQ(layer.Forward(this->bottom_, this->top_), 0);
    layer.Backward(this->top_, {true, false}, this->bottom_);
    for (int i = 0; i < this->estimates_.count(); ++i) {
      EXPECT_EQ(this->estimates_.cpu_diff()[i], 0) << i;
    }
  }
}

TYPED_TEST(MultiLabelEuclideanLossLayerTest, WithoutPropagateDownTheDiffStays) {
  typedef typename TypeParam::Dtype Dtype;
  MultiLabelEuclideanLossLayer<Dtype> layer(Parse(""));
  layer.SetUp(this->bottom_, this->top_);
  layer.Forward(this->bottom_, this->top_);
  caffe_set(this->estimates_.count(), Dtype(7), this->estimates_.mutable_cpu_diff());
  layer.Backward(this->top_, {false, false}, this->bottom_);
  EXPECT_EQ(this->estimates_.cpu_diff()[0], 7);
}

// Occurrences and intensities of one net: a Slice layer cuts the labels for two losses.
TYPED_TEST(MultiLabelEuclideanLossLayerTest, BesideTheOccurrenceLoss) {
  typedef typename TypeParam::Dtype Dtype;
  NetParameter param;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "force_backward: true "
      "layer { name: 'in' type: 'Input' top: 'x' top: 'y' top: 'labels' "
      "        input_param { shape { dim: 2 dim: 2 } shape { dim: 2 dim: 1 } "
      "                      shape { dim: 2 dim: 3 } } } "
      "layer { name: 'cut' type: 'Slice' bottom: 'labels' top: 'occurrence' top: 'intensity' "
      "        slice_param { slice_point: 2 } } "
      "layer { name: 'first' type: 'MultiLabelSigmoidCrossEntropyLoss' "
      "        bottom: 'x' bottom: 'occurrence' } "
      "layer { name: 'second' type: 'MultiLabelEuclideanLoss' loss_weight: 10 "
      "        bottom: 'y' bottom: 'intensity' }",
      &param));
  Net<Dtype> net(param);
  const double scores[] = {2, -1, 0.5, 3}, estimates[] = {1.5, 3};
  const double labels[] = {1, -1, 4, 0, 1, 9};
  std::copy(scores, scores + 4, net.blob_by_name("x")->mutable_cpu_data());
  std::copy(estimates, estimates + 2, net.blob_by_name("y")->mutable_cpu_data());
  std::copy(labels, labels + 6, net.blob_by_name("labels")->mutable_cpu_data());
  Dtype loss;
  net.Forward(&loss);
  net.Backward();
  const double occurrence =
      (std::log1p(std::exp(-2.0)) + std::log1p(std::exp(-1.0)) + std::log1p(std::exp(-3.0))) / 2;
  EXPECT_NEAR(loss, occurrence + 10 * 2.5 * 2.5 / 2 / 2, 1e-4);
  EXPECT_NEAR(net.blob_by_name("y")->cpu_diff()[0], 10 * -2.5 / 2, 1e-5);
  EXPECT_EQ(net.blob_by_name("y")->cpu_diff()[1], 0);
}

class MultiLabelEuclideanLossLayerDeathTest : public ::testing::Test {
 protected:
  MultiLabelEuclideanLossLayerDeathTest()
      : estimates_(vector<int>{2, 3}), labels_(vector<int>{2, 3}) {
    Caffe::set_mode(Caffe::CPU);
    ::testing::FLAGS_gtest_death_test_style = "threadsafe";
    bottom_ = {&estimates_, &labels_};
    top_ = {&loss_};
    caffe_set(6, 0.5f, estimates_.mutable_cpu_data());
    caffe_set(6, 1.f, labels_.mutable_cpu_data());
  }

  void Run(const string& text) {
    MultiLabelEuclideanLossLayer<float> layer(Parse(text));
    layer.SetUp(bottom_, top_);
    layer.Forward(bottom_, top_);
  }

  Blob<float> estimates_, labels_, loss_;
  vector<Blob<float>*> bottom_, top_;
};

TEST_F(MultiLabelEuclideanLossLayerDeathTest, WrongLabels) {
  const string message = "layer 'cost': the label of sample 1, class 2 is ";
  const std::pair<float, const char*> wrong[] = {
      {-1.f, "-1;"},     {5.5f, "5.5;"}, {6.f, "6;"},
      {-.25f, "-0.25;"}, {10.f, "10;"},  {std::numeric_limits<float>::infinity(), "inf;"}};
  for (const auto& one : wrong) {
    labels_.mutable_cpu_data()[5] = one.first;
    EXPECT_DEATH(Run(""), message + one.second);
  }
  labels_.mutable_cpu_data()[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_DEATH(Run(""), message + "-?nan;");
}

TEST_F(MultiLabelEuclideanLossLayerDeathTest, WrongShapes) {
  labels_.Reshape({2, 4});
  EXPECT_DEATH(Run(""), "layer 'cost': every estimate needs one label, but the estimates are 2 3");
  labels_.Reshape({3, 2});
  EXPECT_DEATH(Run(""), "every estimate needs one label");
}

TEST_F(MultiLabelEuclideanLossLayerDeathTest, WrongParameters) {
  EXPECT_DEATH(Run("multi_label_euclidean_loss_param { weight: [1, 2] }"),
               "2 values of weight for 3 classes");
  EXPECT_DEATH(Run("multi_label_euclidean_loss_param { weight: [1, 0, 1] }"), "weight 1 is 0");
  EXPECT_DEATH(Run("multi_label_euclidean_loss_param { weight: nan }"), "weight 0 is -?nan");
  EXPECT_DEATH(Run("multi_label_euclidean_loss_param { delta: -1 }"), "delta is -1");
  EXPECT_DEATH(Run("multi_label_euclidean_loss_param { delta: inf }"), "delta is inf");
  EXPECT_DEATH(Run("multi_label_euclidean_loss_param { delta: nan }"), "delta is -?nan");
  EXPECT_DEATH(Run("loss_param { ignore_label: 9 }"), "ignore_label is not supported");
}

TEST_F(MultiLabelEuclideanLossLayerDeathTest, GradientOfLabels) {
  MultiLabelEuclideanLossLayer<float> layer(Parse(""));
  layer.SetUp(bottom_, top_);
  layer.Forward(bottom_, top_);
  EXPECT_DEATH(layer.Backward(top_, {true, true}, bottom_), "cannot backpropagate to its labels");
}

}  // namespace caffe
