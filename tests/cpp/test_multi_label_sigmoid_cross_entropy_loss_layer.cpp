#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "caffe/layers/multi_label_sigmoid_cross_entropy_loss_layer.hpp"
#include "caffe/layers/sigmoid_cross_entropy_loss_layer.hpp"
#include "caffe/net.hpp"
#include "multi_label_loss_fixture.hpp"

namespace caffe {

template <typename Device>
struct Occurrences : Device {
  typedef MultiLabelSigmoidCrossEntropyLossLayer<typename Device::Dtype> LayerType;

  static double Unknown() { return 0; }
  static double Value(int i, double spread) { return spread * std::sin(1.0 + 2.3 * i); }
  // Every third one is unknown.
  static double Label(int i) { return (i * i + i / 3) % 3 - 1; }
  // As the paper writes it: logarithms of probabilities, no care taken.
  static double Term(const LayerParameter&, double x, double label, double weight) {
    const double p = 1.0 / (1.0 + std::exp(-x));
    return label > 0 ? -weight * std::log(p) : -std::log(1.0 - p);
  }
  static string Weights(const string& values) {
    return "multi_label_loss_param { pos_weight: " + values + " }";
  }
  static string WeightName() { return "pos_weight"; }
  static string ValueName() { return "score"; }
  static vector<float> WrongLabels() { return {2.f, 0.5f, -9.f}; }
};

INSTANTIATE_TYPED_TEST_CASE_P(Sigmoid, MultiLabelLossTest, OnDevices<Occurrences>::types);
INSTANTIATE_TYPED_TEST_CASE_P(Sigmoid, MultiLabelLossDeathTest, Occurrences<CPUDevice<float> >);

template <typename Loss>
class MultiLabelSigmoidCrossEntropyLossLayerTest : public MultiLabelLossTest<Loss> {
 protected:
  Blob<typename Loss::Dtype> probabilities_;
};
TYPED_TEST_CASE(MultiLabelSigmoidCrossEntropyLossLayerTest, OnDevices<Occurrences>::types);

// One positive, one negative, one unknown label, worked out by hand.
TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, ByHand) {
  this->SetOneSample({0, std::log(3.0), 7}, {1, -1, 0});
  this->Run("");
  EXPECT_NEAR(this->loss_.cpu_data()[0], std::log(2.0) + std::log(4.0), 1e-6);
  const double gradients[] = {-0.5, 0.75, 0};
  ExpectNear(3, gradients, this->values_.cpu_diff(), 1e-6, "gradient");
  EXPECT_EQ(this->values_.cpu_diff()[2], 0);
}

// Without unknown labels Caffe's own layer computes the same, with absent written as 0.
TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, AgreesWithCaffesLayer) {
  typedef typename TypeParam::Dtype Dtype;
  Blob<Dtype> targets(this->labels_.shape());
  for (int i = 0; i < targets.count(); ++i) {
    targets.mutable_cpu_data()[i] = i % 3 == 0;
    this->labels_.mutable_cpu_data()[i] = i % 3 == 0 ? 1 : -1;
  }
  for (const char* text :
       {"loss_weight: 1", "loss_weight: 0.3", "loss_weight: 2 loss_param { normalization: NONE }",
        "loss_weight: 2 loss_param { normalization: FULL }",
        "loss_weight: 2 loss_param { normalization: VALID }", "loss_param { normalize: true }"}) {
    this->template CompareWithCaffesLayer<SigmoidCrossEntropyLossLayer<Dtype> >(text, &targets);
  }
}

TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, ExtremeScores) {
  const auto check = [this](double score, double label, double loss, double gradient) {
    SCOPED_TRACE(std::to_string(score) + " " + std::to_string(label));
    this->SetOneSample({score}, {label});
    this->Run("");
    EXPECT_NEAR(this->loss_.cpu_data()[0], loss, 1e-6 * std::max(1.0, loss));
    EXPECT_NEAR(this->values_.cpu_diff()[0], gradient, 1e-6);
  };
  check(1e4, 1, 0, 0);
  check(1e4, -1, 1e4, 1);
  check(-1e4, 1, 1e4, -1);
  check(-1e4, -1, 0, 0);
  check(1e4, 0, 0, 0);
  check(-1e4, 0, 0, 0);
  check(1e30, -1, 1e30, 1);
  check(-1e30, 1, 1e30, -1);
  check(1e30, 1, 0, 0);
  check(0, 1, 0.6931472, -0.5);
  check(0, -1, 0.6931472, 0.5);
}

// The gradient of a confident, right answer is small, not zero: 1 - p would cancel.
TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, SmallGradientsKeepTheirDigits) {
  this->SetOneSample({30, -30}, {1, -1});
  this->Run("");
  const double tail = std::exp(-30.0);
  EXPECT_NEAR(this->loss_.cpu_data()[0], 2 * tail, 1e-5 * tail);
  EXPECT_NEAR(this->values_.cpu_diff()[0], -tail, 1e-5 * tail);
  EXPECT_NEAR(this->values_.cpu_diff()[1], tail, 1e-5 * tail);
}

TYPED_TEST(MultiLabelSigmoidCrossEntropyLossLayerTest, SecondTopHoldsProbabilities) {
  typedef typename TypeParam::Dtype Dtype;
  this->top_.push_back(&this->probabilities_);
  this->values_.mutable_cpu_data()[0] = Dtype(1e4);
  this->values_.mutable_cpu_data()[1] = Dtype(-1e4);
  // No weight, one for the loss, two of which the second is 0: all the same.
  for (const char* text : {"", "loss_weight: 1", "loss_weight: 1 loss_weight: 0"}) {
    SCOPED_TRACE(text);
    MultiLabelSigmoidCrossEntropyLossLayer<Dtype> layer(LossParam(text));
    layer.SetUp(this->bottom_, this->top_);
    const Dtype loss = layer.Forward(this->bottom_, this->top_);
    EXPECT_EQ(loss, this->loss_.cpu_data()[0]);
    EXPECT_EQ(this->probabilities_.shape(), this->values_.shape());
    EXPECT_EQ(this->probabilities_.cpu_data()[0], 1);
    EXPECT_EQ(this->probabilities_.cpu_data()[1], 0);
    for (int i = 2; i < this->values_.count(); ++i) {
      EXPECT_NEAR(this->probabilities_.cpu_data()[i],
                  1.0 / (1.0 + std::exp(-static_cast<double>(this->values_.cpu_data()[i]))), 1e-6);
    }
    // What stands in its diff is nobody's gradient.
    layer.Backward(this->top_, {true, false}, this->bottom_);
    const vector<Dtype> diff(this->values_.cpu_diff(),
                             this->values_.cpu_diff() + this->values_.count());
    caffe_set(this->probabilities_.count(), Dtype(100), this->probabilities_.mutable_cpu_diff());
    layer.Backward(this->top_, {true, false}, this->bottom_);
    for (int i = 0; i < this->values_.count(); ++i) {
      EXPECT_EQ(this->values_.cpu_diff()[i], diff[i]);
    }
  }
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
  // The loss of the halves, and its gradient by them.
  this->values_.Reshape({2, 3});
  this->labels_.Reshape({2, 3});
  for (int i = 0; i < 6; ++i) {
    this->values_.mutable_cpu_data()[i] = scores[i] / 2;
    this->labels_.mutable_cpu_data()[i] = labels[i];
  }
  const vector<double> ones(3, 1);
  const LayerParameter plain = LossParam("");
  EXPECT_NEAR(loss, 10 * this->NaiveLoss(plain, this->Doubles(this->values_), ones, 2), 1e-4);
  const vector<double> gradient = this->NaiveGradient(plain, ones, 2);
  for (int i = 0; i < 6; ++i) {
    EXPECT_NEAR(net.blob_by_name("scores")->cpu_diff()[i], 5 * gradient[i], 1e-5) << i;
  }
}

typedef MultiLabelLossDeathTest<Occurrences<CPUDevice<float> > >
    MultiLabelSigmoidCrossEntropyLossLayerDeathTest;

TEST_F(MultiLabelSigmoidCrossEntropyLossLayerDeathTest, IgnoreLabel) {
  EXPECT_DEATH(Run("loss_param { ignore_label: -1 }"), "ignore_label may only be 0");
  EXPECT_DEATH(Run("loss_param { ignore_label: 255 }"), "ignore_label may only be 0");
  Run("loss_param { ignore_label: 0 }");
}

// 0 written for absent: 1 of every 4 labels is 1, and all others are 0.
TEST_F(MultiLabelSigmoidCrossEntropyLossLayerDeathTest, LabelsWrittenForAnotherLoss) {
  const vector<int> shape = {50, 20};
  values_.Reshape(shape);
  labels_.Reshape(shape);
  for (int i = 0; i < 1000; ++i) {
    labels_.mutable_cpu_data()[i] = i % 4 == 0;
  }
  const auto train = [this](const string& text, int passes) {
    MultiLabelSigmoidCrossEntropyLossLayer<float> layer(LossParam(text));
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
  MultiLabelSigmoidCrossEntropyLossLayer<float> layer(LossParam(""));
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
  Blob<float> probabilities;
  top_.push_back(&probabilities);
  EXPECT_DEATH(Run("loss_weight: 1 loss_weight: 1"), "its loss_weight must be 0");
}

}  // namespace caffe
