// What every multi-label loss must do, as type-parameterized tests. A loss is described by a class
// template over a device (CPUDevice<float>, ...) and instantiates both test cases of this file:
//
//   template <typename Device>
//   struct Occurrences : Device {
//     typedef typename Device::Dtype Dtype;
//     typedef MultiLabelSigmoidCrossEntropyLossLayer<Dtype> LayerType;
//     static double Unknown();                     // the label that means unknown
//     static double Value(int i, double spread);   // values and labels that look random, with
//     static double Label(int i);                  // all kinds of labels among the first 20
//     // The definition of one term in doubles; `param` has what else it depends on.
//     static double Term(const LayerParameter& param, double x, double label, double weight);
//     static string Weights(const string& values); // prototxt that sets w to this
//     static string WeightName();                  // its parameter's name
//     static string ValueName();                   // what messages call a value
//     static vector<float> WrongLabels();          // besides NaN
//   };
#ifndef TESTS_CPP_MULTI_LABEL_LOSS_FIXTURE_HPP_
#define TESTS_CPP_MULTI_LABEL_LOSS_FIXTURE_HPP_

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layer_factory.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/test/test_gradient_check_util.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "values.hpp"

namespace caffe {

const int kSamples = 5;
const int kClasses = 4;

// A loss on every device with every type, in the order of TestDtypesAndDevices.
template <template <typename> class Loss>
struct OnDevices {
#ifdef CPU_ONLY
  typedef ::testing::Types<Loss<CPUDevice<float> >, Loss<CPUDevice<double> > > types;
#else
  typedef ::testing::Types<Loss<CPUDevice<float> >, Loss<CPUDevice<double> >,
                           Loss<GPUDevice<float> >, Loss<GPUDevice<double> > >
      types;
#endif
};

inline LayerParameter LossParam(const string& text) {
  LayerParameter param;
  CHECK(google::protobuf::TextFormat::ParseFromString("name: 'cost' " + text, &param)) << text;
  return param;
}

template <typename Loss>
class MultiLabelLossTest : public MultiDeviceTest<Loss> {
 protected:
  typedef typename Loss::Dtype Dtype;
  typedef typename Loss::LayerType LayerType;

  MultiLabelLossTest()
      : values_(vector<int>{kSamples, kClasses}), labels_(vector<int>{kSamples, kClasses}) {
    bottom_ = {&values_, &labels_};
    top_ = {&loss_};
    Fill(3);
  }

  void Fill(double spread) {
    for (int i = 0; i < values_.count(); ++i) {
      values_.mutable_cpu_data()[i] = static_cast<Dtype>(Loss::Value(i, spread));
      labels_.mutable_cpu_data()[i] = static_cast<Dtype>(Loss::Label(i));
    }
  }

  // One sample with these values and labels.
  void SetOneSample(const vector<double>& values, const vector<double>& labels) {
    const vector<int> shape = {1, static_cast<int>(values.size())};
    values_.Reshape(shape);
    labels_.Reshape(shape);
    std::copy(values.begin(), values.end(), values_.mutable_cpu_data());
    std::copy(labels.begin(), labels.end(), labels_.mutable_cpu_data());
  }

  static vector<double> Doubles(const Blob<Dtype>& blob) {
    return vector<double>(blob.cpu_data(), blob.cpu_data() + blob.count());
  }

  int Known() const {
    const vector<double> labels = Doubles(labels_);
    return labels.size() - std::count(labels.begin(), labels.end(), Loss::Unknown());
  }

  // The loss with Z = divisor. weights has one value for each class.
  double NaiveLoss(const LayerParameter& param, const vector<double>& values,
                   const vector<double>& weights, double divisor) const {
    const vector<double> labels = Doubles(labels_);
    double sum = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      if (labels[i] != Loss::Unknown()) {
        sum += Loss::Term(param, values[i], labels[i], weights[i % weights.size()]);
      }
    }
    return sum / divisor;
  }

  // Its gradient by central differences.
  vector<double> NaiveGradient(const LayerParameter& param, const vector<double>& weights,
                               double divisor) const {
    const double step = 1e-5;
    vector<double> values = Doubles(values_), gradient(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      const double value = values[i];
      values[i] = value + step;
      const double above = NaiveLoss(param, values, weights, divisor);
      values[i] = value - step;
      gradient[i] = (above - NaiveLoss(param, values, weights, divisor)) / (2 * step);
      values[i] = value;
    }
    return gradient;
  }

  // Forward, and backward unless told otherwise. Returns what Forward does.
  double Run(const string& text, bool backward = true) {
    LayerType layer(LossParam(text));
    layer.SetUp(bottom_, top_);
    const double weighted = layer.Forward(bottom_, top_);
    if (backward) {
      layer.Backward(top_, {true, false}, bottom_);
    }
    return weighted;
  }

  // Runs forward and backward and holds both to the definition.
  void CompareWithFormula(const string& text, double divisor, double loss_weight = 1,
                          const vector<double>& weights = {1, 1, 1, 1}) {
    SCOPED_TRACE(text);
    const LayerParameter param = LossParam(text);
    const double weighted = Run(text);
    const double loss = NaiveLoss(param, Doubles(values_), weights, divisor);
    EXPECT_NEAR(loss_.cpu_data()[0], loss, 1e-5 * std::abs(loss));
    EXPECT_NEAR(weighted, loss_weight * loss, 1e-5 * std::abs(loss_weight * loss));
    vector<double> gradient = NaiveGradient(param, weights, divisor);
    for (double& value : gradient) {
      value *= loss_weight;
    }
    ExpectNear(gradient.size(), gradient.data(), values_.cpu_diff(), 1e-6, "gradient");
    for (int i = 0; i < labels_.count(); ++i) {
      if (labels_.cpu_data()[i] == Loss::Unknown()) {
        EXPECT_EQ(values_.cpu_diff()[i], 0) << i;
      }
    }
  }

  // Ours on the values and labels against one of Caffe's own layers on the values and `targets`.
  template <typename StockLayer>
  void CompareWithCaffesLayer(const string& text, Blob<Dtype>* targets) {
    SCOPED_TRACE(text);
    const double loss = Run(text);
    const vector<double> gradient(values_.cpu_diff(), values_.cpu_diff() + values_.count());
    Blob<Dtype> stock_loss;
    const vector<Blob<Dtype>*> bottom = {&values_, targets}, top = {&stock_loss};
    StockLayer stock(LossParam(text));
    stock.SetUp(bottom, top);
    EXPECT_NEAR(stock.Forward(bottom, top), loss, 1e-5 * std::abs(loss));
    stock.Backward(top, {true, false}, bottom);
    ExpectNear(gradient.size(), gradient.data(), values_.cpu_diff(), 1e-6, "gradient");
  }

  // Caffe's own check, for each of these parameters.
  void CheckGradients(const vector<string>& texts) {
    for (const string& text : texts) {
      SCOPED_TRACE(text);
      LayerType layer(LossParam(text));
      GradientChecker<Dtype> checker(1e-2, 1e-2, 1701);
      checker.CheckGradientExhaustive(&layer, bottom_, top_, 0);
    }
  }

  Blob<Dtype> values_, labels_, loss_;
  vector<Blob<Dtype>*> bottom_, top_;
};

TYPED_TEST_CASE_P(MultiLabelLossTest);

TYPED_TEST_P(MultiLabelLossTest, IsRegistered) {
  typedef typename TypeParam::Dtype Dtype;
  const typename TypeParam::LayerType layer((LayerParameter()));
  EXPECT_STREQ(
      LayerRegistry<Dtype>::CreateLayer(LossParam(string("type: '") + layer.type() + "'"))->type(),
      layer.type());
}

TYPED_TEST_P(MultiLabelLossTest, Normalizations) {
  const int known = this->Known();
  ASSERT_GT(known, 0);
  ASSERT_LT(known, kSamples * kClasses);
  this->CompareWithFormula("", kSamples);
  this->CompareWithFormula("loss_param { normalization: BATCH_SIZE }", kSamples);
  this->CompareWithFormula("loss_param { normalization: VALID }", known);
  this->CompareWithFormula("loss_param { normalization: FULL }", kSamples * kClasses);
  this->CompareWithFormula("loss_param { normalization: NONE }", 1);
  this->CompareWithFormula("loss_param { normalize: true }", known);
  this->CompareWithFormula("loss_param { normalize: false }", kSamples);
  this->CompareWithFormula("loss_param { normalize: true normalization: NONE }", 1);
}

TYPED_TEST_P(MultiLabelLossTest, LossWeights) {
  const string valid = " loss_param { normalization: VALID }";
  this->CompareWithFormula("loss_weight: 3.7", kSamples, 3.7);
  this->CompareWithFormula("loss_weight: 0.01", kSamples, 0.01);
  this->CompareWithFormula("loss_weight: -2", kSamples, -2);
  this->CompareWithFormula("loss_weight: 5" + valid, this->Known(), 5);
  this->CompareWithFormula("loss_weight: -2" + valid, this->Known(), -2);
}

TYPED_TEST_P(MultiLabelLossTest, Weights) {
  const string each = TypeParam::Weights("[0.5, 1, 2, 4]");
  this->CompareWithFormula(TypeParam::Weights("2.5"), kSamples, 1, {2.5, 2.5, 2.5, 2.5});
  this->CompareWithFormula(each, kSamples, 1, {0.5, 1, 2, 4});
  // A weight makes a label count more, not more often.
  this->CompareWithFormula(each + " loss_param { normalization: VALID }", this->Known(), 1,
                           {0.5, 1, 2, 4});
}

TYPED_TEST_P(MultiLabelLossTest, Gradient) {
  this->CheckGradients({"", "loss_weight: 3.7", "loss_param { normalization: VALID }",
                        "loss_param { normalization: FULL }", "loss_param { normalization: NONE }",
                        "loss_weight: 0.2 " + TypeParam::Weights("[0.5, 1, 2, 4]"),
                        "loss_param { normalization: NONE } " + TypeParam::Weights("3")});
}

TYPED_TEST_P(MultiLabelLossTest, TrailingAxes) {
  const double flat = this->Run("");
  this->values_.Reshape(vector<int>{kSamples, kClasses, 1, 1});
  EXPECT_EQ(this->Run(""), flat);
}

TYPED_TEST_P(MultiLabelLossTest, ShapesMayChange) {
  typename TypeParam::LayerType layer(LossParam(""));
  layer.SetUp(this->bottom_, this->top_);
  const double flat = layer.Forward(this->bottom_, this->top_);
  this->values_.Reshape(vector<int>{kSamples, kClasses, 1, 1});
  EXPECT_EQ(layer.Forward(this->bottom_, this->top_), flat);
  const int samples = 2 * kSamples + 1;
  this->values_.Reshape(vector<int>{samples, kClasses});
  this->labels_.Reshape(vector<int>{samples, kClasses});
  this->Fill(2);
  layer.Forward(this->bottom_, this->top_);
  const double loss =
      this->NaiveLoss(LossParam(""), this->Doubles(this->values_), {1, 1, 1, 1}, samples);
  EXPECT_NEAR(this->loss_.cpu_data()[0], loss, 1e-5 * loss);
}

TYPED_TEST_P(MultiLabelLossTest, AllUnknown) {
  typedef typename TypeParam::Dtype Dtype;
  caffe_set(this->labels_.count(), Dtype(TypeParam::Unknown()), this->labels_.mutable_cpu_data());
  for (const char* mode : {"BATCH_SIZE", "VALID", "FULL", "NONE"}) {
    SCOPED_TRACE(mode);
    caffe_set(this->values_.count(), Dtype(9), this->values_.mutable_cpu_diff());
    EXPECT_EQ(this->Run(string("loss_param { normalization: ") + mode + " }"), 0);
    EXPECT_EQ(this->loss_.cpu_data()[0], 0);
    for (int i = 0; i < this->values_.count(); ++i) {
      EXPECT_EQ(this->values_.cpu_diff()[i], 0) << i;
    }
  }
}

TYPED_TEST_P(MultiLabelLossTest, WithoutPropagateDownTheDiffStays) {
  typedef typename TypeParam::Dtype Dtype;
  typename TypeParam::LayerType layer(LossParam(""));
  layer.SetUp(this->bottom_, this->top_);
  layer.Forward(this->bottom_, this->top_);
  caffe_set(this->values_.count(), Dtype(7), this->values_.mutable_cpu_diff());
  layer.Backward(this->top_, {false, false}, this->bottom_);
  EXPECT_EQ(this->values_.cpu_diff()[0], 7);
}

REGISTER_TYPED_TEST_CASE_P(MultiLabelLossTest, IsRegistered, Normalizations, LossWeights, Weights,
                           Gradient, TrailingAxes, ShapesMayChange, AllUnknown,
                           WithoutPropagateDownTheDiffStays);

// What stops a run: 2 x 3 values on the CPU.
template <typename Loss>
class MultiLabelLossDeathTest : public ::testing::Test {
 protected:
  MultiLabelLossDeathTest() : values_(vector<int>{2, 3}), labels_(vector<int>{2, 3}) {
    Caffe::set_mode(Caffe::CPU);
    ::testing::FLAGS_gtest_death_test_style = "threadsafe";
    bottom_ = {&values_, &labels_};
    top_ = {&loss_};
    caffe_set(6, 0.5f, values_.mutable_cpu_data());
    caffe_set(6, 1.f, labels_.mutable_cpu_data());
  }

  void Run(const string& text) {
    typename Loss::LayerType layer(LossParam(text));
    layer.SetUp(bottom_, top_);
    layer.Forward(bottom_, top_);
  }

  Blob<float> values_, labels_, loss_;
  vector<Blob<float>*> bottom_, top_;
};

TYPED_TEST_CASE_P(MultiLabelLossDeathTest);

TYPED_TEST_P(MultiLabelLossDeathTest, WrongLabels) {
  const string message = "layer 'cost': the label of sample 1, class 2 is ";
  for (float label : TypeParam::WrongLabels()) {
    this->labels_.mutable_cpu_data()[5] = label;
    std::ostringstream written;
    written << label;
    EXPECT_DEATH(this->Run(""), message + written.str() + "; labels are ");
  }
  this->labels_.mutable_cpu_data()[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_DEATH(this->Run(""), message + "-?nan; labels are ");
}

TYPED_TEST_P(MultiLabelLossDeathTest, WrongShapes) {
  const string value = TypeParam::ValueName();
  const string message = "layer 'cost': every " + value + " needs one label, but the " + value;
  this->labels_.Reshape({2, 4});
  EXPECT_DEATH(this->Run(""), message + "s are 2 3 .6. and the labels 2 4 .8.");
  this->labels_.Reshape({3, 2});
  EXPECT_DEATH(this->Run(""), message + "s are 2 3 .6. and the labels 3 2 .6.");
  this->labels_.Reshape(vector<int>());
  EXPECT_DEATH(this->Run(""), "layer 'cost': the labels have no batch axis");
  this->values_.Reshape(vector<int>());
  EXPECT_DEATH(this->Run(""), "layer 'cost': the " + value + "s have no batch axis");
}

TYPED_TEST_P(MultiLabelLossDeathTest, WrongWeights) {
  const string name = TypeParam::WeightName();
  EXPECT_DEATH(this->Run(TypeParam::Weights("[1, 2]")), "2 values of " + name + " for 3 classes");
  EXPECT_DEATH(this->Run(TypeParam::Weights("[1, 0, 1]")), "'cost': " + name + " 1 is 0; it must");
  EXPECT_DEATH(this->Run(TypeParam::Weights("-1")), name + " 0 is -1");
  EXPECT_DEATH(this->Run(TypeParam::Weights("nan")), name + " 0 is -?nan");
}

TYPED_TEST_P(MultiLabelLossDeathTest, GradientOfLabels) {
  typename TypeParam::LayerType layer(LossParam(""));
  layer.SetUp(this->bottom_, this->top_);
  layer.Forward(this->bottom_, this->top_);
  EXPECT_DEATH(layer.Backward(this->top_, {true, true}, this->bottom_),
               "cannot backpropagate to its labels");
}

REGISTER_TYPED_TEST_CASE_P(MultiLabelLossDeathTest, WrongLabels, WrongShapes, WrongWeights,
                           GradientOfLabels);

}  // namespace caffe

#endif  // TESTS_CPP_MULTI_LABEL_LOSS_FIXTURE_HPP_
