#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "caffe/layers/euclidean_loss_layer.hpp"
#include "caffe/layers/multi_label_euclidean_loss_layer.hpp"
#include "caffe/net.hpp"
#include "multi_label_loss_fixture.hpp"

namespace caffe {

template <typename Device>
struct Intensities : Device {
  typedef MultiLabelEuclideanLossLayer<typename Device::Dtype> LayerType;

  static double Unknown() { return 9; }
  static double Value(int i, double spread) { return 2 + spread * std::sin(1.0 + 2.3 * i); }
  // All levels, and unknown ones.
  static double Label(int i) {
    const double levels[] = {0, 9, 3, 1, 5, 0, 9, 2, 4, 2.5, 0};
    return levels[i % 11];
  }
  // Half the square, or, from delta on, the tangent there.
  static double Term(const LayerParameter& param, double x, double label, double weight) {
    const double delta = param.multi_label_euclidean_loss_param().delta();
    const double d = std::abs(x - label);
    const double tangent = delta * delta / 2 + delta * (d - delta);
    return weight * (delta == 0 || d < delta ? d * d / 2 : tangent);
  }
  static string Weights(const string& values) {
    return "multi_label_euclidean_loss_param { weight: " + values + " }";
  }
  static string WeightName() { return "weight"; }
  static string ValueName() { return "estimate"; }
  static vector<float> WrongLabels() {
    return {-1.f, 5.5f, 6.f, -.25f, 10.f, std::numeric_limits<float>::infinity()};
  }
};

INSTANTIATE_TYPED_TEST_CASE_P(Euclidean, MultiLabelLossTest, OnDevices<Intensities>::types);
INSTANTIATE_TYPED_TEST_CASE_P(Euclidean, MultiLabelLossDeathTest, Intensities<CPUDevice<float> >);

template <typename Loss>
class MultiLabelEuclideanLossLayerTest : public MultiLabelLossTest<Loss> {};
TYPED_TEST_CASE(MultiLabelEuclideanLossLayerTest, OnDevices<Intensities>::types);

TYPED_TEST(MultiLabelEuclideanLossLayerTest, Delta) {
  const string weighted = "weight: [0.5, 1, 2, 4] ";
  for (double delta : {0.5, 1.0, 2.25, 100.0}) {
    const string huber = "delta: " + std::to_string(delta) + " ";
    this->CompareWithFormula("multi_label_euclidean_loss_param { " + huber + "}", kSamples);
    this->CompareWithFormula(
        "loss_weight: 0.3 loss_param { normalization: VALID } "
        "multi_label_euclidean_loss_param { " +
            weighted + huber + "}",
        this->Known(), 0.3, {0.5, 1, 2, 4});
  }
  this->CheckGradients(
      {"loss_weight: 0.2 multi_label_euclidean_loss_param { " + weighted + "delta: 0.8 }",
       "loss_param { normalization: NONE } multi_label_euclidean_loss_param { delta: 2 }"});
}

// A near, a far and an unknown label, worked out by hand with delta 1.
TYPED_TEST(MultiLabelEuclideanLossLayerTest, ByHand) {
  this->SetOneSample({2.5, -1, 7, 4}, {3, 2, 9, 0});
  this->Run("multi_label_euclidean_loss_param { delta: 1 }");
  EXPECT_NEAR(this->loss_.cpu_data()[0], 0.125 + 2.5 + 3.5, 1e-6);
  const double gradients[] = {-0.5, -1, 0, 1};
  ExpectNear(4, gradients, this->values_.cpu_diff(), 1e-6, "gradient");
}

// Without unknown labels, Caffe's own layer computes the same.
TYPED_TEST(MultiLabelEuclideanLossLayerTest, AgreesWithCaffesLayer) {
  typedef EuclideanLossLayer<typename TypeParam::Dtype> StockLayer;
  for (int i = 0; i < this->labels_.count(); ++i) {
    this->labels_.mutable_cpu_data()[i] = i % 6;
  }
  this->template CompareWithCaffesLayer<StockLayer>("", &this->labels_);
  this->template CompareWithCaffesLayer<StockLayer>("loss_weight: 1", &this->labels_);
  this->template CompareWithCaffesLayer<StockLayer>("loss_weight: 0.3", &this->labels_);
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

typedef MultiLabelLossDeathTest<Intensities<CPUDevice<float> > >
    MultiLabelEuclideanLossLayerDeathTest;

TEST_F(MultiLabelEuclideanLossLayerDeathTest, WrongParameters) {
  EXPECT_DEATH(Run("multi_label_euclidean_loss_param { delta: -1 }"), "delta is -1");
  EXPECT_DEATH(Run("multi_label_euclidean_loss_param { delta: inf }"), "delta is inf");
  EXPECT_DEATH(Run("multi_label_euclidean_loss_param { delta: nan }"), "delta is -?nan");
  EXPECT_DEATH(Run("loss_param { ignore_label: 9 }"), "ignore_label is not supported");
}

}  // namespace caffe
