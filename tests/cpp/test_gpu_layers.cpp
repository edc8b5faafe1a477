// Our layers on the GPU against the same layers on the CPU, on drawn configurations. (Against the
// definitions they are held by the GPUDevice cases of each layer's own test.)
#ifndef CPU_ONLY

#include <algorithm>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layers/locally_connected_layer.hpp"
#include "caffe/layers/multi_label_counts_layer.hpp"
#include "caffe/layers/multi_label_euclidean_loss_layer.hpp"
#include "caffe/layers/multi_label_sigmoid_cross_entropy_loss_layer.hpp"
#include "caffe/layers/region_layer.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "locally_connected_reference.hpp"
#include "region_reference.hpp"

namespace caffe {

template <typename Dtype>
vector<Dtype> Values(const Blob<Dtype>& blob, bool diff) {
  const Dtype* values = diff ? blob.cpu_diff() : blob.cpu_data();
  return vector<Dtype>(values, values + blob.count());
}

// What a layer leaves behind: tops, gradients of the bottoms, blobs and their gradients.
template <typename Dtype>
struct Outcome {
  vector<string> names;
  vector<vector<Dtype> > values;

  void Add(const string& name, const vector<Dtype>& found) {
    names.push_back(name);
    values.push_back(found);
  }
};

template <typename Dtype>
class GPULayerTest : public GPUDeviceTest<Dtype> {
 protected:
  typedef vector<shared_ptr<Blob<Dtype> > > Blobs;

  // Two passes of a layer of this type over `inputs`, the second one on what the first one left in
  // parameters and their gradients. Of the bottoms, those marked get a gradient.
  template <typename LayerType>
  static Outcome<Dtype> Run(Caffe::Brew mode, const LayerParameter& param, const Blobs& parameters,
                            const Blobs& inputs, const vector<bool>& propagate_down,
                            const vector<bool>& learned) {
    Caffe::set_mode(mode);
    LayerType layer(param);
    Blobs bottoms;
    vector<Blob<Dtype>*> bottom, top;
    for (const shared_ptr<Blob<Dtype> >& input : inputs) {
      bottoms.push_back(shared_ptr<Blob<Dtype> >(new Blob<Dtype>()));
      bottoms.back()->CopyFrom(*input, false, true);
      bottom.push_back(bottoms.back().get());
    }
    Blob<Dtype> first, second;
    top.push_back(&first);
    if (param.type() == "MultiLabelSigmoidCrossEntropyLoss" ||
        param.region_param().group_sparsity() > 0 || param.top_size() > 1) {
      top.push_back(&second);
    }
    layer.SetUp(bottom, top);
    for (size_t i = 0; i < parameters.size(); ++i) {
      layer.blobs()[i]->CopyFrom(*parameters[i], false, true);
      FillDiff(1, layer.blobs()[i].get());
      layer.set_param_propagate_down(i, learned[i]);
    }
    Outcome<Dtype> outcome;
    for (int pass = 0; pass < 2; ++pass) {
      layer.Forward(bottom, top);
      if (param.type() != "MultiLabelSigmoidCrossEntropyLoss" &&
          param.type() != "MultiLabelEuclideanLoss") {
        FillDiff(2 + pass, &first);
      }
      layer.Backward(top, propagate_down, bottom);
      for (size_t i = 0; i < top.size(); ++i) {
        outcome.Add("top", Values(*top[i], false));
      }
      for (size_t i = 0; i < bottom.size(); ++i) {
        if (propagate_down[i]) {
          outcome.Add("diff of the bottom", Values(*bottom[i], true));
        }
      }
      for (const shared_ptr<Blob<Dtype> >& blob : layer.blobs()) {
        outcome.Add("blob", Values(*blob, false));
        outcome.Add("diff of a blob", Values(*blob, true));
      }
    }
    return outcome;
  }

  template <typename LayerType>
  static void ExpectSame(const LayerParameter& param, const Blobs& parameters, const Blobs& inputs,
                         const vector<bool>& propagate_down, const vector<bool>& learned) {
    const Outcome<Dtype> cpu =
        Run<LayerType>(Caffe::CPU, param, parameters, inputs, propagate_down, learned);
    const Outcome<Dtype> gpu =
        Run<LayerType>(Caffe::GPU, param, parameters, inputs, propagate_down, learned);
    ASSERT_EQ(cpu.names, gpu.names);
    for (size_t i = 0; i < cpu.names.size(); ++i) {
      ASSERT_EQ(cpu.values[i].size(), gpu.values[i].size());
      // Sums on both sides, in different orders.
      ExpectNear(cpu.values[i].size(), cpu.values[i].data(), gpu.values[i].data(),
                 5 * Tolerance<Dtype>(), cpu.names[i]);
    }
    // The GPU's sums have one order: again is the same, bit by bit.
    const Outcome<Dtype> again =
        Run<LayerType>(Caffe::GPU, param, parameters, inputs, propagate_down, learned);
    EXPECT_TRUE(gpu.values == again.values) << "two runs differ";
  }

  // A layer of this type on drawn values, and labels that label() gives: a sample, and as many as
  // need several blocks, of which the last is not full.
  template <typename LayerType, typename Label>
  void CompareOnLabels(const string& text, int classes, const Label& label,
                       bool has_gradient = true) {
    for (const int samples : {1, 977}) {
      SCOPED_TRACE(text);
      LayerParameter param;
      ASSERT_TRUE(
          google::protobuf::TextFormat::ParseFromString("name: 'compared' " + text, &param));
      param.set_type(LayerType(param).type());
      Blobs inputs(2);
      for (shared_ptr<Blob<Dtype> >& input : inputs) {
        input.reset(new Blob<Dtype>(vector<int>{samples, classes}));
      }
      FillGaussian(0, 4, inputs[0].get());
      for (int i = 0; i < inputs[1]->count(); ++i) {
        inputs[1]->mutable_cpu_data()[i] = label();
      }
      ExpectSame<LayerType>(param, {}, inputs, {has_gradient, false}, {});
    }
  }

  static void FillDiff(int seed, Blob<Dtype>* blob) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    Dtype* diff = blob->mutable_cpu_diff();
    for (int i = 0; i < blob->count(); ++i) {
      diff[i] = normal(random);
    }
  }

  int Draw(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  bool Flip() { return Draw(0, 1) == 1; }

  std::mt19937 random_{20160626};
};

TYPED_TEST_CASE(GPULayerTest, TestDtypes);

TYPED_TEST(GPULayerTest, TestRegion) {
  Caffe::set_random_seed(1701);
  for (int draw = 0; draw < 40; ++draw) {
    const int channels = this->Draw(1, draw % 8 == 0 ? 40 : 6);
    const int height = this->Draw(1, 19);
    const int width = this->Draw(1, 23);
    std::ostringstream text;
    const bool identity = this->Flip();
    const bool bias_term = this->Flip();
    const bool batch_norm = this->Draw(0, 3) != 0;
    const bool affine = batch_norm && this->Flip();
    text << "grid_h: " << this->Draw(1, std::min(5, height))
         << " grid_w: " << this->Draw(1, std::min(5, width))
         << " kernel_size: " << 2 * this->Draw(0, 2) + 1 << " bias_term: " << bias_term
         << " batch_norm: " << batch_norm << " affine: " << affine << " identity: " << identity;
    if (!identity) {
      text << " num_output: " << this->Draw(1, draw % 8 == 1 ? 40 : 6);
    }
    if (this->Draw(0, 2) == 0) {
      text << " use_global_stats: " << this->Flip();
    }
    const bool sparse = this->Draw(0, 2) == 0;
    if (sparse) {
      text << " group_sparsity: 20";
    }
    const LayerParameter param = RegionParam(text.str(), this->Draw(0, 3) ? TRAIN : TEST);
    typename TestFixture::Blobs inputs(1);
    inputs[0].reset(new Blob<TypeParam>(vector<int>{this->Draw(1, 5), channels, height, width}));
    FillGaussian(.5, 2, inputs[0].get());
    SCOPED_TRACE(text.str() + ", bottom " + inputs[0]->shape_string());

    Blob<TypeParam> top, term;
    RegionLayer<TypeParam> layer(param);
    vector<Blob<TypeParam>*> tops(1, &top);
    if (sparse) {
      tops.push_back(&term);
    }
    layer.SetUp({inputs[0].get()}, tops);
    RandomizeBlobs(param, &layer);
    vector<bool> learned;
    for (size_t i = 0; i < layer.blobs().size(); ++i) {
      learned.push_back(this->Draw(0, 4) != 0);
    }
    this->template ExpectSame<RegionLayer<TypeParam> >(param, layer.blobs(), inputs,
                                                       {this->Draw(0, 4) != 0}, learned);
  }
}

// More columns than one tile has, and images that are cut into shares for the weight's gradient.
TYPED_TEST(GPULayerTest, TestRegionOfManyTiles) {
  const LayerParameter param = RegionParam("grid_h: 2 grid_w: 2 affine: true");
  typename TestFixture::Blobs inputs(1);
  inputs[0].reset(new Blob<TypeParam>(vector<int>{7, 33, 17, 20}));
  FillGaussian(.5, 2, inputs[0].get());
  Blob<TypeParam> top;
  RegionLayer<TypeParam> layer(param);
  layer.SetUp({inputs[0].get()}, {&top});
  RandomizeBlobs(param, &layer);
  this->template ExpectSame<RegionLayer<TypeParam> >(param, layer.blobs(), inputs, {true},
                                                     vector<bool>(7, true));
}

TYPED_TEST(GPULayerTest, TestLocallyConnected) {
  Caffe::set_random_seed(1701);
  for (int draw = 0; draw < 40; ++draw) {
    const int height = this->Draw(1, 9);
    const int width = this->Draw(1, 11);
    const int pad_h = this->Draw(0, 2);
    const int pad_w = this->Draw(0, 2);
    std::ostringstream text;
    // Tiles are 16 outputs or channels, and 8, 16 or 32 images.
    text << "num_output: " << this->Draw(1, draw % 8 == 0 ? 40 : 6)
         << " kernel_h: " << this->Draw(1, std::min(5, height + 2 * pad_h))
         << " kernel_w: " << this->Draw(1, std::min(5, width + 2 * pad_w))
         << " stride_h: " << this->Draw(1, 3) << " stride_w: " << this->Draw(1, 3)
         << " pad_h: " << pad_h << " pad_w: " << pad_w << " bias_term: " << this->Flip();
    const LayerParameter param = LocallyConnectedParam(text.str());
    typename TestFixture::Blobs inputs(1);
    inputs[0].reset(
        new Blob<TypeParam>(vector<int>{this->Draw(1, draw % 4 == 0 ? 40 : 16),
                                        this->Draw(1, draw % 8 == 1 ? 40 : 6), height, width}));
    FillGaussian(.5, 1, inputs[0].get());
    SCOPED_TRACE(text.str() + ", bottom " + inputs[0]->shape_string());

    Blob<TypeParam> top;
    LocallyConnectedLayer<TypeParam> layer(param);
    layer.SetUp({inputs[0].get()}, {&top});
    vector<bool> learned;
    for (const shared_ptr<Blob<TypeParam> >& blob : layer.blobs()) {
      FillGaussian(.1, .4, blob.get());
      learned.push_back(this->Draw(0, 4) != 0);
    }
    this->template ExpectSame<LocallyConnectedLayer<TypeParam> >(param, layer.blobs(), inputs,
                                                                 {this->Draw(0, 4) != 0}, learned);
  }
}

TYPED_TEST(GPULayerTest, TestMultiLabelLoss) {
  const auto label = [this] { return this->Draw(-1, 1); };
  for (const char* text :
       {"", "loss_param { normalization: VALID }",
        "loss_param { normalization: FULL } loss_weight: -2", "loss_param { normalization: NONE }",
        "multi_label_loss_param { pos_weight: [0.5, 1, 4] }"}) {
    this->template CompareOnLabels<MultiLabelSigmoidCrossEntropyLossLayer<TypeParam> >(text, 3,
                                                                                       label);
  }
}

TYPED_TEST(GPULayerTest, TestMultiLabelEuclideanLoss) {
  const auto label = [this] {
    const int level = this->Draw(0, 6);
    return level == 6 ? 9 : level;
  };
  for (const char* text : {"", "loss_param { normalization: VALID } loss_weight: -2",
                           "multi_label_euclidean_loss_param { weight: [0.5, 1, 4] }",
                           "multi_label_euclidean_loss_param { delta: 1.5 }"}) {
    this->template CompareOnLabels<MultiLabelEuclideanLossLayer<TypeParam> >(text, 3, label);
  }
}

TYPED_TEST(GPULayerTest, TestMultiLabelCounts) {
  const auto label = [this] { return this->Draw(-1, 1); };
  for (const char* text :
       {"", "multi_label_counts_param { threshold: 0.3 }", "top: 'counts' top: 'moments'"}) {
    this->template CompareOnLabels<MultiLabelCountsLayer<TypeParam> >(text, 13, label, false);
  }
}

// A label that is none leaves its class without counts and moments, and no other class.
TYPED_TEST(GPULayerTest, TestMultiLabelCountsOfWrongLabels) {
  Caffe::set_mode(Caffe::GPU);
  Blob<TypeParam> scores({300, 3}), labels({300, 3}), counts, moments;
  caffe_set(scores.count(), TypeParam(.5), scores.mutable_cpu_data());
  caffe_set(labels.count(), TypeParam(1), labels.mutable_cpu_data());
  labels.mutable_cpu_data()[290 * 3 + 1] = 2;
  const vector<Blob<TypeParam>*> bottom = {&scores, &labels}, top = {&counts, &moments};
  const TypeParam expected[] = {150, 75, 0, 0};  // 300 positives of score 0.5
  MultiLabelCountsLayer<TypeParam> layer((LayerParameter()));
  layer.SetUp(bottom, top);
  layer.Forward(bottom, top);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(counts.cpu_data()[i], i == 0 ? 300 : 0);
    EXPECT_TRUE(std::isnan(counts.cpu_data()[4 + i]));
    EXPECT_EQ(counts.cpu_data()[8 + i], i == 0 ? 300 : 0);
    EXPECT_EQ(moments.cpu_data()[i], expected[i]);
    EXPECT_TRUE(std::isnan(moments.cpu_data()[4 + i]));
    EXPECT_EQ(moments.cpu_data()[8 + i], expected[i]);
  }
}

// A label that is none: the loss is NaN, and the run stops before a gradient is made of it.
template <typename LossLayer>
class GPULossDeathTest : public ::testing::Test {
 protected:
  GPULossDeathTest() : scores_({400, 3}), labels_({400, 3}), layer_(Parameter()) {
    Caffe::set_mode(Caffe::GPU);
    ::testing::FLAGS_gtest_death_test_style = "threadsafe";
    caffe_set(scores_.count(), .5f, scores_.mutable_cpu_data());
    caffe_set(labels_.count(), 1.f, labels_.mutable_cpu_data());
    layer_.SetUp(bottom_, top_);
  }

  static LayerParameter Parameter() {
    LayerParameter param;
    param.set_name("cost");
    return param;
  }

  void ForwardAndBackward() {
    layer_.Forward(bottom_, top_);
    layer_.Backward(top_, {true, false}, bottom_);
  }

  void ForwardTwice() {
    layer_.Forward(bottom_, top_);
    layer_.Forward(bottom_, top_);
  }

  Blob<float> scores_, labels_, loss_;
  const vector<Blob<float>*> bottom_ = {&scores_, &labels_}, top_ = {&loss_};
  LossLayer layer_;
};

typedef ::testing::Types<MultiLabelSigmoidCrossEntropyLossLayer<float>,
                         MultiLabelEuclideanLossLayer<float> >
    LossLayers;
TYPED_TEST_CASE(GPULossDeathTest, LossLayers);

TYPED_TEST(GPULossDeathTest, TestWrongLabels) {
  const string message = "layer 'cost': the label of sample 390, class 2 is ";
  this->labels_.mutable_cpu_data()[390 * 3 + 2] = 7;
  this->labels_.mutable_cpu_data()[399 * 3 + 1] = 8;  // a later one
  EXPECT_DEATH(this->ForwardAndBackward(), message + "7;");
  EXPECT_DEATH(this->ForwardTwice(), message + "7;");
  this->labels_.mutable_cpu_data()[390 * 3 + 2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_DEATH(this->ForwardAndBackward(), message + "-?nan;");
  this->layer_.Forward(this->bottom_, this->top_);
  EXPECT_TRUE(std::isnan(this->loss_.cpu_data()[0]));
}

// Intensities of 0 and 1 are what they seem to be; only occurrences are watched.
typedef GPULossDeathTest<MultiLabelSigmoidCrossEntropyLossLayer<float> > GPUOccurrenceLossDeathTest;

// 400 x 3 labels, every other one 1 and the rest 0, nine times.
TEST_F(GPUOccurrenceLossDeathTest, TestLabelsWrittenForAnotherLoss) {
  for (int i = 0; i < labels_.count(); i += 2) {
    labels_.mutable_cpu_data()[i] = 0;
  }
  const auto train = [this]() {
    for (int i = 0; i < 9; ++i) {
      labels_.mutable_gpu_data();  // as new ones come
      ForwardAndBackward();
    }
  };
  EXPECT_DEATH(train(), "layer 'cost': of the first 10800 labels, 5400 are 1, 5400 are 0 and none");
  labels_.mutable_cpu_data()[1198] = -1;
  train();
}

}  // namespace caffe

#endif  // CPU_ONLY
