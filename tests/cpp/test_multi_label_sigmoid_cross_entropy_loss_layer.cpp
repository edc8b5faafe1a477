#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layer_factory.hpp"
#include "caffe/layers/multi_label_sigmoid_cross_entropy_loss_layer.hpp"
#include "caffe/layers/sigmoid_cross_entropy_loss_layer.hpp"
#include "caffe/net.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/test/test_gradient_check_util.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace caffe {

namespace {

const int kSamples = 5;
const int kClasses = 4;

LayerParameter Parse(const string& text) {
  LayerParameter param;
  CHECK(google::protobuf::TextFormat::ParseFromString("name: 'cost' " + text, &param)) << text;
  return param;
}

// The formula as the paper writes it, in doubles: logarithms of probabilities, no care taken.
// divisor is Z; pos_weight has one value for each class.
double NaiveLoss(const vector<double>& scores, const vector<double>& labels,
                 const vector<double>& pos_weight, double divisor) {
  const int classes = static_cast<int>(pos_weight.size());
  double sum = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    const double p = 1.0 / (1.0 + std::exp(-scores[i]));
    if (labels[i] > 0) {
      sum += pos_weight[i % classes] * std::log(p);
    }
    if (labels[i] < 0) {
      sum += std::log(1.0 - p);
    }
  }
  return -sum / divisor;
}

// By central differences of the above.
double NaiveGradient(vector<double> scores, const vector<double>& labels,
                     const vector<double>& pos_weight, double divisor, int i) {
  const double step = 1e-5;
  const double score = scores[i];
  scores[i] = score + step;
  const double above = NaiveLoss(scores, labels, pos_weight, divisor);
  scores[i] = score - step;
  const double below = NaiveLoss(scores, labels, pos_weight, divisor);
  return (above - below) / (2 * step);
}

}  // namespace

template <typename TypeParam>
class MultiLabelSigmoidCrossEntropyLossLayerTest : public MultiDeviceTest<TypeParam> {
  typedef typename TypeParam::Dtype Dtype;

 protected:
  typedef MultiLabelSigmoidCrossEntropyLossLayer<Dtype> LossLayerType;

  MultiLabelSigmoidCrossEntropyLossLayerTest()
      : scores_(vector<int>{kSamples, kClasses}), labels_(vector<int>{kSamples, kClasses}) {
    bottom_ = {&scores_, &labels_};
    top_ = {&loss_};
    Fill(3);
  }

  // Scores and labels that look random, the same in every run; every third label is unknown.
  void Fill(double spread) {
    for (int i = 0; i < scores_.count(); ++i) {
      scores_.mutable_cpu_data()[i] = static_cast<Dtype>(spread * std::sin(1.0 + 2.3 * i));
      labels_.mutable_cpu_data()[i] = static_cast<Dtype>((i * i + i / 3) % 3) - 1;
    }
  }

  vector<double> Values(const Blob<Dtype>& blob) const {
    return vector<double>(blob.cpu_data(), blob.cpu_data() + blob.count());
  }

  int Known() const {
    const vector<double> labels = Values(labels_);
    return static_cast<int>(labels.size() - std::count(labels.begin(), labels.end(), 0.0));
  }

  // Runs forward and backward and holds both to the formula.
  void CompareWithFormula(const string& text, const vector<double>& pos_weight, double divisor,
                          double loss_weight = 1) {
    SCOPED_TRACE(text);
    LossLayerType layer(Parse(text));
    layer.SetUp(bottom_, top_);
    const double weighted = layer.Forward(bottom_, top_);
    const vector<double> scores = Values(scores_), labels = Values(labels_);
    const double loss = NaiveLoss(scores, labels, pos_weight, divisor);
    EXPECT_NEAR(loss_.cpu_data()[0], loss, 1e-5 * std::abs(loss));
    EXPECT_NEAR(weighted, loss_weight * loss, 1e-5 * std::abs(loss_weight * loss));
    layer.Backward(top_, {true, false}, bottom_);
    for (int i = 0; i < scores_.count(); ++i) {
      EXPECT_NEAR(scores_.cpu_diff()[i],
                  loss_weight * NaiveGradient(scores, labels, pos_weight, divisor, i), 1e-6)
          << i;
      if (labels[i] == 0) {
        EXPECT_EQ(scores_.cpu_diff()[i], 0) << i;
      }
    }
  }

  Blob<Dtype> scores_, labels_, loss_, probabilities_;
  vector<Blob<Dtype>*> bottom_, top_;
};

TYPED_TEST_CASE(MultiLabelSigmoidCrossEntropyLossLayerTest, TestDtypesAndDevices);

TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, IsRegistered) {
  typedef typename TypeParam::Dtype Dtype;
  shared_ptr<Layer<Dtype> > layer =
      LayerRegistry<Dtype>::CreateLayer(Parse("type: 'MultiLabelSigmoidCrossEntropyLoss'"));
  EXPECT_STREQ(layer->type(), "MultiLabelSigmoidCrossEntropyLoss");
}

TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, DividesByTheBatchSizeByDefault) {
  this->CompareWithFormula("", vector<double>(kClasses, 1), kSamples);
}

TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, Normalizations) {
  const vector<double> ones(kClasses, 1);
  const int known = this->Known();
  ASSERT_GT(known, 0);
  ASSERT_LT(known, kSamples * kClasses);
  this->CompareWithFormula("loss_param { normalization: BATCH_SIZE }", ones, kSamples);
  this->CompareWithFormula("loss_param { normalization: VALID }", ones, known);
  this->CompareWithFormula("loss_param { normalization: FULL }", ones, kSamples * kClasses);
  this->CompareWithFormula("loss_param { normalization: NONE }", ones, 1);
  this->CompareWithFormula("loss_param { normalize: true }", ones, known);
  this->CompareWithFormula("loss_param { normalize: false }", ones, kSamples);
  this->CompareWithFormula("loss_param { normalize: true normalization: NONE }", ones, 1);
}

TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, LossWeights) {
  const vector<double> ones(kClasses, 1);
  this->CompareWithFormula("loss_weight: 3.7", ones, kSamples, 3.7);
  this->CompareWithFormula("loss_weight: 0.01", ones, kSamples, 0.01);
  this->CompareWithFormula("loss_weight: -2", ones, kSamples, -2);
  this->CompareWithFormula("loss_weight: 5 loss_param { normalization: VALID }", ones,
                           this->Known(), 5);
}

TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, PosWeight) {
  this->CompareWithFormula("multi_label_loss_param { pos_weight: 2.5 }",
                           vector<double>(kClasses, 2.5), kSamples);
  this->CompareWithFormula("multi_label_loss_param { pos_weight: [0.5, 1, 2, 4] }", {0.5, 1, 2, 4},
                           kSamples);
  // A weight makes a label count more, not more often.
  this->CompareWithFormula(
      "loss_param { normalization: VALID } multi_label_loss_param { pos_weight: [0.5, 1, 2, 4] }",
      {0.5, 1, 2, 4}, this->Known());
}

// One positive, one negative, one unknown label, worked out by hand.
TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, ByHand) {
  typedef typename TypeParam::Dtype Dtype;
  this->scores_.Reshape({1, 3});
  this->labels_.Reshape({1, 3});
  const Dtype scores[] = {0, static_cast<Dtype>(std::log(3.0)), 7};
  const Dtype labels[] = {1, -1, 0};
  std::copy(scores, scores + 3, this->scores_.mutable_cpu_data());
  std::copy(labels, labels + 3, this->labels_.mutable_cpu_data());
  MultiLabelSigmoidCrossEntropyLossLayer<Dtype> layer(Parse(""));
  layer.SetUp(this->bottom_, this->top_);
  layer.Forward(this->bottom_, this->top_);
  EXPECT_NEAR(this->loss_.cpu_data()[0], std::log(2.0) + std::log(4.0), 1e-6);
  layer.Backward(this->top_, {true, false}, this->bottom_);
  EXPECT_NEAR(this->scores_.cpu_diff()[0], -0.5, 1e-6);
  EXPECT_NEAR(this->scores_.cpu_diff()[1], 0.75, 1e-6);
  EXPECT_EQ(this->scores_.cpu_diff()[2], 0);
}

// Without unknown labels Caffe's own layer computes the same, with absent written as 0.
TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, AgreesWithCaffesLayer) {
  typedef typename TypeParam::Dtype Dtype;
  const char* const kTexts[] = {"loss_weight: 1",
                                "loss_weight: 0.3",
                                "loss_weight: 2 loss_param { normalization: NONE }",
                                "loss_weight: 2 loss_param { normalization: FULL }",
                                "loss_weight: 2 loss_param { normalization: VALID }",
                                "loss_param { normalize: true }"};
  for (const char* text : kTexts) {
    SCOPED_TRACE(text);
    Blob<Dtype> targets(this->labels_.shape());
    for (int i = 0; i < targets.count(); ++i) {
      targets.mutable_cpu_data()[i] = i % 3 == 0;
      this->labels_.mutable_cpu_data()[i] = i % 3 == 0 ? 1 : -1;
    }
    MultiLabelSigmoidCrossEntropyLossLayer<Dtype> layer(Parse(text));
    layer.SetUp(this->bottom_, this->top_);
    const Dtype loss = layer.Forward(this->bottom_, this->top_);
    layer.Backward(this->top_, {true, false}, this->bottom_);
    const vector<double> diff(this->scores_.cpu_diff(),
                              this->scores_.cpu_diff() + this->scores_.count());

    Blob<Dtype> stock_loss;
    const vector<Blob<Dtype>*> bottom = {&this->scores_, &targets}, top = {&stock_loss};
    SigmoidCrossEntropyLossLayer<Dtype> stock(Parse(text));
    stock.SetUp(bottom, top);
    EXPECT_NEAR(stock.Forward(bottom, top), loss, 1e-5 * std::abs(loss));
    stock.Backward(top, {true, false}, bottom);
    for (int i = 0; i < this->scores_.count(); ++i) {
      EXPECT_NEAR(this->scores_.cpu_diff()[i], diff[i], 1e-6) << i;
    }
  }
}

TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, Gradient) {
  typedef typename TypeParam::Dtype Dtype;
  const char* const kTexts[] = {
      "",
      "loss_weight: 3.7",
      "loss_param { normalization: VALID }",
      "loss_param { normalization: FULL }",
      "loss_param { normalization: NONE }",
      "loss_weight: 0.2 multi_label_loss_param { pos_weight: [0.5, 1, 2, 4] }",
      "loss_param { normalization: NONE } multi_label_loss_param { pos_weight: 3 }"};
  for (const char* text : kTexts) {
    SCOPED_TRACE(text);
    MultiLabelSigmoidCrossEntropyLossLayer<Dtype> layer(Parse(text));
    GradientChecker<Dtype> checker(1e-2, 1e-2, 1701);
    checker.CheckGradientExhaustive(&layer, this->bottom_, this->top_, 0);
  }
}

TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, TrailingAxes) {
  typedef typename TypeParam::Dtype Dtype;
  MultiLabelSigmoidCrossEntropyLossLayer<Dtype> flat(Parse(""));
  flat.SetUp(this->bottom_, this->top_);
  const Dtype loss = flat.Forward(this->bottom_, this->top_);
  this->scores_.Reshape(vector<int>{kSamples, kClasses, 1, 1});
  MultiLabelSigmoidCrossEntropyLossLayer<Dtype> layer(Parse(""));
  layer.SetUp(this->bottom_, this->top_);
  EXPECT_EQ(layer.Forward(this->bottom_, this->top_), loss);
}

TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, BatchSizeMayChange) {
  typedef typename TypeParam::Dtype Dtype;
  MultiLabelSigmoidCrossEntropyLossLayer<Dtype> layer(Parse(""));
  layer.SetUp(this->bottom_, this->top_);
  layer.Forward(this->bottom_, this->top_);
  const int samples = 2 * kSamples + 1;
  this->scores_.Reshape(vector<int>{samples, kClasses});
  this->labels_.Reshape(vector<int>{samples, kClasses});
  this->Fill(2);
  layer.Forward(this->bottom_, this->top_);
  EXPECT_NEAR(this->loss_.cpu_data()[0],
              NaiveLoss(this->Values(this->scores_), this->Values(this->labels_),
                        vector<double>(kClasses, 1), samples),
              1e-5);
}

TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, ExtremeScores) {
  typedef typename TypeParam::Dtype Dtype;
  // score, label, loss, gradient
  const double kCases[][4] = {{1e4, 1, 0, 0},          {1e4, -1, 1e4, 1},      {-1e4, 1, 1e4, -1},
                              {-1e4, -1, 0, 0},        {1e4, 0, 0, 0},         {-1e4, 0, 0, 0},
                              {1e30, -1, 1e30, 1},     {-1e30, 1, 1e30, -1},   {1e30, 1, 0, 0},
                              {0, 1, 0.6931472, -0.5}, {0, -1, 0.6931472, 0.5}};
  this->scores_.Reshape({1, 1});
  this->labels_.Reshape({1, 1});
  for (const double* values : kCases) {
    this->scores_.mutable_cpu_data()[0] = static_cast<Dtype>(values[0]);
    this->labels_.mutable_cpu_data()[0] = static_cast<Dtype>(values[1]);
    MultiLabelSigmoidCrossEntropyLossLayer<Dtype> layer(Parse(""));
    layer.SetUp(this->bottom_, this->top_);
    layer.Forward(this->bottom_, this->top_);
    layer.Backward(this->top_, {true, false}, this->bottom_);
    EXPECT_NEAR(this->loss_.cpu_data()[0], values[2], 1e-6 * std::max(1.0, values[2]))
        << values[0] << " " << values[1];
    EXPECT_NEAR(this->scores_.cpu_diff()[0], values[3], 1e-6) << values[0] << " " << values[1];
  }
}

// The gradient of a confident, right answer is small, not zero: 1 - p would cancel.
TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, SmallGradientsKeepTheirDigits) {
  typedef typename TypeParam::Dtype Dtype;
  this->scores_.Reshape({1, 2});
  this->labels_.Reshape({1, 2});
  this->scores_.mutable_cpu_data()[0] = 30;
  this->labels_.mutable_cpu_data()[0] = 1;
  this->scores_.mutable_cpu_data()[1] = -30;
  this->labels_.mutable_cpu_data()[1] = -1;
  MultiLabelSigmoidCrossEntropyLossLayer<Dtype> layer(Parse(""));
  layer.SetUp(this->bottom_, this->top_);
  layer.Forward(this->bottom_, this->top_);
  layer.Backward(this->top_, {true, false}, this->bottom_);
  const double tail = std::exp(-30.0);
  EXPECT_NEAR(this->loss_.cpu_data()[0], 2 * tail, 1e-5 * tail);
  EXPECT_NEAR(this->scores_.cpu_diff()[0], -tail, 1e-5 * tail);
  EXPECT_NEAR(this->scores_.cpu_diff()[1], tail, 1e-5 * tail);
}

TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, AllUnknown) {
  typedef typename TypeParam::Dtype Dtype;
  caffe_set(this->labels_.count(), Dtype(0), this->labels_.mutable_cpu_data());
  for (const char* mode : {"BATCH_SIZE", "VALID", "FULL", "NONE"}) {
    SCOPED_TRACE(mode);
    caffe_set(this->scores_.count(), Dtype(9), this->scores_.mutable_cpu_diff());
    MultiLabelSigmoidCrossEntropyLossLayer<Dtype> layer(
        Parse(string("loss_param { normalization: ") + mode + " }"));
    layer.SetUp(this->bottom_, this->top_);
    EXPECT_EQ(layer.Forward(this->bottom_, this->top_), 0);
    EXPECT_EQ(this->loss_.cpu_data()[0], 0);
    layer.Backward(this->top_, {true, false}, this->bottom_);
    for (int i = 0; i < this->scores_.count(); ++i) {
      EXPECT_EQ(this->scores_.cpu_diff()[i], 0) << i;
    }
  }
}

TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, SecondTopHoldsProbabilities) {
  typedef typename TypeParam::Dtype Dtype;
  this->top_.push_back(&this->probabilities_);
  this->scores_.mutable_cpu_data()[0] = Dtype(1e4);
  this->scores_.mutable_cpu_data()[1] = Dtype(-1e4);
  // No weight, one for the loss, two of which the second is 0: all the same.
  for (const char* text : {"", "loss_weight: 1", "loss_weight: 1 loss_weight: 0"}) {
    SCOPED_TRACE(text);
    MultiLabelSigmoidCrossEntropyLossLayer<Dtype> layer(Parse(text));
    layer.SetUp(this->bottom_, this->top_);
    const Dtype loss = layer.Forward(this->bottom_, this->top_);
    EXPECT_EQ(loss, this->loss_.cpu_data()[0]);
    EXPECT_EQ(this->probabilities_.shape(), this->scores_.shape());
    EXPECT_EQ(this->probabilities_.cpu_data()[0], 1);
    EXPECT_EQ(this->probabilities_.cpu_data()[1], 0);
    for (int i = 2; i < this->scores_.count(); ++i) {
      EXPECT_NEAR(this->probabilities_.cpu_data()[i],
                  1.0 / (1.0 + std::exp(-static_cast<double>(this->scores_.cpu_data()[i]))), 1e-6);
    }
    // What stands in its diff is nobody's gradient.
    layer.Backward(this->top_, {true, false}, this->bottom_);
    const vector<Dtype> diff(this->scores_.cpu_diff(),
                             this->scores_.cpu_diff() + this->scores_.count());
    caffe_set(this->probabilities_.count(), Dtype(100), this->probabilities_.mutable_cpu_diff());
    layer.Backward(this->top_, {true, false}, this->bottom_);
    for (int i = 0; i < this->scores_.count(); ++i) {
      EXPECT_EQ(this->scores_.cpu_diff()[i], diff[i]);
    }
  }
}

TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, WithoutPropagateDownTheDiffStays) {
  typedef typename TypeParam::Dtype Dtype;
  MultiLabelSigmoidCrossEntropyLossLayer<Dtype> layer(Parse(""));
  layer.SetUp(this->bottom_, this->top_);
  layer.Forward(this->bottom_, this->top_);
  caffe_set(this->scores_.count(), Dtype(7), this->scores_.mutable_cpu_diff());
  layer.Backward(this->top_, {false, false}, this->bottom_);
  EXPECT_EQ(this->scores_.cpu_diff()[0], 7);
}

// In a net: the top that nobody names, the weight in the net's loss and in the gradient.
TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, InANet) {
  typedef typename TypeParam::Dtype Dtype;
  NetParameter param;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "force_backward: true "
      "layer { name: 'in' type: 'Input' top: 'scores' top: 'labels' "
      "        input_param { shape { dim: 2 dim: 3 } } } "
      "layer { name: 'half' type: 'Power' bottom: 'scores' top: 'x' power_param { scale: 0.5 } } "
      "layer { name: 'cost' type: 'MultiLabelSigmoidCrossEntropyLoss' loss_weight: 10 "
      "        bottom: 'x' bottom: 'labels' }",
      &param));
  Net<Dtype> net(param);
  const double scores[] = {2, -1, 0.5, 3, -4, 0};
  const double labels[] = {1, -1, 0, -1, 0, 1};
  std::copy(scores, scores + 6, net.blob_by_name("scores")->mutable_cpu_data());
  std::copy(labels, labels + 6, net.blob_by_name("labels")->mutable_cpu_data());
  Dtype loss;
  net.Forward(&loss);
  net.Backward();
  vector<double> halves(scores, scores + 6);
  for (double& half : halves) {
    half /= 2;
  }
  const vector<double> targets(labels, labels + 6), ones(3, 1);
  EXPECT_NEAR(loss, 10 * NaiveLoss(halves, targets, ones, 2), 1e-4);
  for (int i = 0; i < 6; ++i) {
    EXPECT_NEAR(net.blob_by_name("scores")->cpu_diff()[i],
                5 * NaiveGradient(halves, targets, ones, 2, i), 1e-5)
        << i;
  }
}

class MultiLabelSigmoidCrossEntropyLossLayerDeathTest : public ::testing::Test {
 protected:
  MultiLabelSigmoidCrossEntropyLossLayerDeathTest()
      : scores_(vector<int>{2, 3}), labels_(vector<int>{2, 3}) {
    Caffe::set_mode(Caffe::CPU);
    ::testing::FLAGS_gtest_death_test_style = "threadsafe";
    bottom_ = {&scores_, &labels_};
    top_ = {&loss_};
    caffe_set(6, 0.5f, scores_.mutable_cpu_data());
    caffe_set(6, 1.f, labels_.mutable_cpu_data());
  }

  void Run(const string& text) {
    MultiLabelSigmoidCrossEntropyLossLayer<float> layer(Parse(text));
    layer.SetUp(bottom_, top_);
    layer.Forward(bottom_, top_);
  }

  Blob<float> scores_, labels_, loss_, probabilities_;
  vector<Blob<float>*> bottom_, top_;
};

TEST_F(MultiLabelSigmoidCrossEntropyLossLayerDeathTest, WrongLabels) {
  const char* const kMessage = "layer 'cost': the label of sample 1, class 2 is ";
  labels_.mutable_cpu_data()[5] = 2;
  EXPECT_DEATH(Run(""), kMessage + string("2;"));
  labels_.mutable_cpu_data()[5] = 0.5;
  EXPECT_DEATH(Run(""), kMessage + string("0.5;"));
  labels_.mutable_cpu_data()[5] = -9;
  EXPECT_DEATH(Run(""), kMessage + string("-9;"));
  labels_.mutable_cpu_data()[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_DEATH(Run(""), kMessage + string("-?nan;"));
}

TEST_F(MultiLabelSigmoidCrossEntropyLossLayerDeathTest, WrongShapes) {
  labels_.Reshape({2, 4});
  EXPECT_DEATH(Run(""), "layer 'cost': every score needs one label, but the scores are 2 3");
  labels_.Reshape({3, 2});
  EXPECT_DEATH(Run(""), "every score needs one label");
}

TEST_F(MultiLabelSigmoidCrossEntropyLossLayerDeathTest, WrongPosWeight) {
  EXPECT_DEATH(Run("multi_label_loss_param { pos_weight: [1, 2] }"),
               "2 values of pos_weight for 3 classes");
  EXPECT_DEATH(Run("multi_label_loss_param { pos_weight: [1, 0, 1] }"), "pos_weight 1 is 0");
  EXPECT_DEATH(Run("multi_label_loss_param { pos_weight: -1 }"), "pos_weight 0 is -1");
  EXPECT_DEATH(Run("multi_label_loss_param { pos_weight: nan }"), "pos_weight 0 is -?nan");
}

TEST_F(MultiLabelSigmoidCrossEntropyLossLayerDeathTest, IgnoreLabel) {
  EXPECT_DEATH(Run("loss_param { ignore_label: -1 }"), "ignore_label may only be 0");
  EXPECT_DEATH(Run("loss_param { ignore_label: 255 }"), "ignore_label may only be 0");
  Run("loss_param { ignore_label: 0 }");
}

// 0 written for absent: 1 of every 4 labels is 1, and all others are 0.
TEST_F(MultiLabelSigmoidCrossEntropyLossLayerDeathTest, LabelsWrittenForAnotherLoss) {
  const vector<int> shape = {50, 20};
  scores_.Reshape(shape);
  labels_.Reshape(shape);
  for (int i = 0; i < 1000; ++i) {
    labels_.mutable_cpu_data()[i] = i % 4 == 0;
  }
  const auto train = [&](const string& text, int passes) {
    MultiLabelSigmoidCrossEntropyLossLayer<float> layer(Parse(text));
    layer.SetUp(bottom_, top_);
    for (int i = 0; i < passes; ++i) {
      layer.Forward(bottom_, top_);
      layer.Backward(top_, {true, false}, bottom_);
    }
  };
  // Nothing is learned from a forward pass, and a few batches prove nothing.
  train("", 9);
  EXPECT_DEATH(train("", 10),
               "layer 'cost': of the first 10000 labels, 2500 are 1, 7500 are 0 and none is -1.*"
               "label_values: ZERO_ONE.*scale: 2 shift: -1.*ignore_label: 0");
  MultiLabelSigmoidCrossEntropyLossLayer<float> layer(Parse(""));
  layer.SetUp(bottom_, top_);
  for (int i = 0; i < 30; ++i) {
    layer.Forward(bottom_, top_);
  }
  // A test goes on.
  train("phase: TEST", 30);
  train("loss_param { ignore_label: 0 }", 30);
  // One absent label in a whole batch shows what the others mean.
  labels_.mutable_cpu_data()[998] = -1;
  train("", 30);
  labels_.mutable_cpu_data()[998] = 0;
  // Only positive ones are known, without doubt; and nothing at all is known.
  caffe_set(1000, 1.f, labels_.mutable_cpu_data());
  train("", 30);
  caffe_set(1000, 0.f, labels_.mutable_cpu_data());
  train("", 30);
  // A few known labels among many prove nothing.
  caffe_set(3, 1.f, labels_.mutable_cpu_data());
  train("", 33);
  EXPECT_DEATH(train("", 34), "of the first 34000 labels, 102 are 1, 33898 are 0");
}

TEST_F(MultiLabelSigmoidCrossEntropyLossLayerDeathTest, WeightOnProbabilities) {
  top_.push_back(&probabilities_);
  EXPECT_DEATH(Run("loss_weight: 1 loss_weight: 1"), "its loss_weight must be 0");
}

TEST_F(MultiLabelSigmoidCrossEntropyLossLayerDeathTest, GradientOfLabels) {
  MultiLabelSigmoidCrossEntropyLossLayer<float> layer(Parse(""));
  layer.SetUp(bottom_, top_);
  layer.Forward(bottom_, top_);
  EXPECT_DEATH(layer.Backward(top_, {true, true}, bottom_), "cannot backpropagate to its labels");
}

}  // namespace caffe
