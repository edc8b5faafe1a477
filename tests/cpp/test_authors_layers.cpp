// Box, Splice, Batch and the other type names of the authors' prototxts: each by its definition,
// and together against Region.
#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layer_factory.hpp"
#include "caffe/layers/batch_layer.hpp"
#include "caffe/layers/batch_norm_layer.hpp"
#include "caffe/layers/box_layer.hpp"
#include "caffe/layers/region_layer.hpp"
#include "caffe/layers/splice_layer.hpp"
#include "caffe/net.hpp"
#include "caffe/sgd_solvers.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/test/test_gradient_check_util.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "region_reference.hpp"

namespace caffe {

namespace {

template <typename Message>
Message Parse(const string& text) {
  Message message;
  CHECK(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

// Blobs that a layer's tops or bottoms may be.
template <typename Dtype>
struct Blobs {
  vector<shared_ptr<Blob<Dtype> > > owned;
  vector<Blob<Dtype>*> all;

  void Add(const vector<int>& shape) {
    owned.push_back(shared_ptr<Blob<Dtype> >(new Blob<Dtype>(shape)));
    all.push_back(owned.back().get());
  }
  explicit Blobs(int count = 0) {
    for (int i = 0; i < count; ++i) {
      Add(vector<int>());
    }
  }
};

const int kNum = 3, kChannels = 2, kHeight = 7, kWidth = 9;
// Overlapping ones, one at each border, and pixels that are in none.
const char kBoxes[] =
    "name: 'cut' box_param { width: 4 height: 3 xcoord: [0, 5, 2] ycoord: [4, 0, 2] }";
const int kBoxX[] = {0, 5, 2}, kBoxY[] = {4, 0, 2};

// A map of 5 x 7 in four parts of four sizes, out of order.
const char kSplices[] = "name: 'join' splice_param { xcoord: [4, 0, 0, 4] ycoord: [2, 0, 2, 0] }";
const int kSpliceX[] = {4, 0, 0, 4}, kSpliceY[] = {2, 0, 2, 0};

template <typename Dtype>
Blobs<Dtype> SpliceBottoms() {
  Blobs<Dtype> bottoms;
  bottoms.Add({kNum, kChannels, 3, 3});
  bottoms.Add({kNum, kChannels, 2, 4});
  bottoms.Add({kNum, kChannels, 3, 4});
  bottoms.Add({kNum, kChannels, 2, 3});
  for (Blob<Dtype>* bottom : bottoms.all) {
    FillGaussian(0, 1, bottom);
  }
  return bottoms;
}

}  // namespace

template <typename TypeParam>
class AuthorsLayersTest : public MultiDeviceTest<TypeParam> {
  typedef typename TypeParam::Dtype Dtype;

 protected:
  AuthorsLayersTest() : map_(vector<int>{kNum, kChannels, kHeight, kWidth}) {
    Caffe::set_random_seed(1701);
    FillGaussian(.5, 2, &map_);
  }

  Blob<Dtype> map_;
};

TYPED_TEST_CASE(AuthorsLayersTest, TestDtypesAndDevices);

TYPED_TEST(AuthorsLayersTest, AreRegistered) {
  typedef typename TypeParam::Dtype Dtype;
  for (const char* type : {"Box", "Splice", "Batch"}) {
    LayerParameter param;
    param.set_type(type);
    EXPECT_STREQ(LayerRegistry<Dtype>::CreateLayer(param)->type(), type);
  }
  const vector<string> types = LayerRegistry<Dtype>::LayerTypeList();
  for (const char* type : {"MultiSigmoidCrossEntropyLoss", "MultilabelImageData"}) {
    EXPECT_EQ(std::count(types.begin(), types.end(), type), 1) << type;
  }
}

TYPED_TEST(AuthorsLayersTest, BoxCutsPatches) {
  typedef typename TypeParam::Dtype Dtype;
  Blobs<Dtype> tops(3);
  BoxLayer<Dtype> layer(Parse<LayerParameter>(kBoxes));
  layer.SetUp({&this->map_}, tops.all);
  layer.Forward({&this->map_}, tops.all);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(tops.all[i]->shape(), (vector<int>{kNum, kChannels, 3, 4}));
    for (int n = 0; n < kNum; ++n)
      for (int c = 0; c < kChannels; ++c)
        for (int y = 0; y < 3; ++y)
          for (int x = 0; x < 4; ++x)
            ASSERT_EQ(tops.all[i]->data_at(n, c, y, x),
                      this->map_.data_at(n, c, kBoxY[i] + y, kBoxX[i] + x))
                << i << ": " << n << " " << c << " " << y << " " << x;
  }
}

TYPED_TEST(AuthorsLayersTest, BoxAddsGradients) {
  typedef typename TypeParam::Dtype Dtype;
  Blobs<Dtype> tops(3);
  BoxLayer<Dtype> layer(Parse<LayerParameter>(kBoxes));
  layer.SetUp({&this->map_}, tops.all);
  layer.Forward({&this->map_}, tops.all);
  vector<double> expected(this->map_.count(), 0);
  for (int i = 0; i < 3; ++i) {
    FillGaussian(0, 1, tops.all[i]);
    caffe_copy(tops.all[i]->count(), tops.all[i]->cpu_data(), tops.all[i]->mutable_cpu_diff());
    for (int n = 0; n < kNum; ++n)
      for (int c = 0; c < kChannels; ++c)
        for (int y = 0; y < 3; ++y)
          for (int x = 0; x < 4; ++x)
            expected[this->map_.offset(n, c, kBoxY[i] + y, kBoxX[i] + x)] +=
                tops.all[i]->diff_at(n, c, y, x);
  }
  caffe_set(this->map_.count(), Dtype(9), this->map_.mutable_cpu_diff());
  layer.Backward(tops.all, {false}, {&this->map_});
  EXPECT_EQ(this->map_.cpu_diff()[0], 9) << "nobody asked for it";
  layer.Backward(tops.all, {true}, {&this->map_});
  ExpectNear(this->map_.count(), expected.data(), this->map_.cpu_diff(), Tolerance<Dtype>(),
             "diff");
}

// The gradient checker takes each pair of values: small maps will do.
TYPED_TEST(AuthorsLayersTest, BoxGradient) {
  typedef typename TypeParam::Dtype Dtype;
  this->map_.Reshape(2, 2, 3, 5);
  FillGaussian(0, 1, &this->map_);
  Blobs<Dtype> tops(2);
  BoxLayer<Dtype> layer(
      Parse<LayerParameter>("box_param { width: 3 height: 2 xcoord: [0, 2] ycoord: [1, 0] }"));
  GradientChecker<Dtype> checker(1e-2, 1e-3);
  checker.CheckGradientExhaustive(&layer, {&this->map_}, tops.all);
}

TYPED_TEST(AuthorsLayersTest, SplicePutsPatchesTogether) {
  typedef typename TypeParam::Dtype Dtype;
  Blobs<Dtype> bottoms = SpliceBottoms<Dtype>();
  Blob<Dtype> top;
  SpliceLayer<Dtype> layer(Parse<LayerParameter>(kSplices));
  layer.SetUp(bottoms.all, {&top});
  layer.Forward(bottoms.all, {&top});
  ASSERT_EQ(top.shape(), (vector<int>{kNum, kChannels, 5, 7}));
  for (int i = 0; i < top.count(); ++i) {
    top.mutable_cpu_diff()[i] = i;
  }
  layer.Backward({&top}, {true, true, false, true}, bottoms.all);
  for (int i = 0; i < 4; ++i) {
    const Blob<Dtype>& patch = *bottoms.all[i];
    for (int n = 0; n < kNum; ++n)
      for (int c = 0; c < kChannels; ++c)
        for (int y = 0; y < patch.shape(2); ++y)
          for (int x = 0; x < patch.shape(3); ++x) {
            const vector<int> at = {n, c, kSpliceY[i] + y, kSpliceX[i] + x};
            ASSERT_EQ(top.data_at(at), patch.data_at(n, c, y, x)) << i;
            ASSERT_EQ(patch.diff_at(n, c, y, x), i == 2 ? 0 : top.diff_at(at)) << i;
          }
  }
}

TYPED_TEST(AuthorsLayersTest, SpliceGradient) {
  typedef typename TypeParam::Dtype Dtype;
  Blobs<Dtype> bottoms;
  bottoms.Add({2, 2, 2, 1});
  bottoms.Add({2, 2, 1, 2});
  bottoms.Add({2, 2, 1, 1});
  bottoms.Add({2, 2, 2, 2});
  for (Blob<Dtype>* bottom : bottoms.all) {
    FillGaussian(0, 1, bottom);
  }
  Blob<Dtype> top;
  SpliceLayer<Dtype> layer(
      Parse<LayerParameter>("splice_param { xcoord: [2, 0, 2, 0] ycoord: [1, 0, 0, 1] }"));
  GradientChecker<Dtype> checker(1e-2, 1e-3);
  checker.CheckGradientExhaustive(&layer, bottoms.all, {&top});
}

TYPED_TEST(AuthorsLayersTest, ShapesMayChange) {
  typedef typename TypeParam::Dtype Dtype;
  Blobs<Dtype> tops(3);
  BoxLayer<Dtype> layer(Parse<LayerParameter>(kBoxes));
  layer.SetUp({&this->map_}, tops.all);
  Blob<Dtype> other(vector<int>{5, 4, 8, 11});
  FillGaussian(0, 1, &other);
  layer.Forward({&other}, tops.all);
  EXPECT_EQ(tops.all[1]->shape(), (vector<int>{5, 4, 3, 4}));
  EXPECT_EQ(tops.all[1]->data_at(4, 3, 2, 1), other.data_at(4, 3, 2, 6));
}

// Batch is BatchNorm: the same tops, blobs and gradients, in every mode of it.
TYPED_TEST(AuthorsLayersTest, BatchIsBatchNorm) {
  typedef typename TypeParam::Dtype Dtype;
  for (Phase phase : {TRAIN, TEST}) {
    for (const char* text :
         {"", "use_global_stats: false", "use_global_stats: true",
          "moving_average_fraction: 0.5 eps: 0.25", "use_global_stats: false eps: 0.1"}) {
      SCOPED_TRACE(text);
      LayerParameter ours = Parse<LayerParameter>(string("batch_param {") + text + "}");
      LayerParameter theirs = Parse<LayerParameter>(string("batch_norm_param {") + text + "}");
      ours.set_phase(phase);
      theirs.set_phase(phase);
      BatchLayer<Dtype> batch(ours);
      BatchNormLayer<Dtype> batch_norm(theirs);
      Layer<Dtype>* const layers[] = {&batch, &batch_norm};
      Blob<Dtype> tops[2], bottoms[2];
      for (int i = 0; i < 2; ++i) {
        bottoms[i].CopyFrom(this->map_, false, true);
        layers[i]->SetUp({&bottoms[i]}, {&tops[i]});
        ASSERT_EQ(layers[i]->blobs().size(), 3);
        for (int b = 0; b < 3; ++b) {
          caffe_set(layers[i]->blobs()[b]->count(), Dtype(1 + b),
                    layers[i]->blobs()[b]->mutable_cpu_data());
        }
        layers[i]->Forward({&bottoms[i]}, {&tops[i]});
        caffe_copy(this->map_.count(), this->map_.cpu_data(), tops[i].mutable_cpu_diff());
        layers[i]->Backward({&tops[i]}, {true}, {&bottoms[i]});
      }
      for (int i = 0; i < tops[0].count(); ++i) {
        ASSERT_EQ(tops[0].cpu_data()[i], tops[1].cpu_data()[i]);
        ASSERT_EQ(bottoms[0].cpu_diff()[i], bottoms[1].cpu_diff()[i]);
      }
      for (int b = 0; b < 3; ++b) {
        for (int i = 0; i < batch.blobs()[b]->count(); ++i) {
          ASSERT_EQ(batch.blobs()[b]->cpu_data()[i], batch_norm.blobs()[b]->cpu_data()[i]);
        }
      }
      EXPECT_FALSE(batch.layer_param().has_batch_norm_param());
    }
  }
}

TYPED_TEST(AuthorsLayersTest, BatchGradient) {
  typedef typename TypeParam::Dtype Dtype;
  this->map_.Reshape(2, 2, 3, 4);
  FillGaussian(.5, 2, &this->map_);
  Blob<Dtype> top;
  BatchLayer<Dtype> layer(Parse<LayerParameter>("batch_param { use_global_stats: false }"));
  GradientChecker<Dtype> checker(1e-2, 1e-3);
  checker.CheckGradientExhaustive(&layer, {&this->map_}, {&top});
}

// The authors' loss is ours, with the batch size as the divisor.
TYPED_TEST(AuthorsLayersTest, LossIsOurs) {
  typedef typename TypeParam::Dtype Dtype;
  Blob<Dtype> scores(vector<int>{4, 3}), labels(vector<int>{4, 3, 1, 1}), losses[2];
  vector<vector<Dtype> > diffs;
  FillGaussian(0, 2, &scores);
  for (int i = 0; i < 12; ++i) {
    labels.mutable_cpu_data()[i] = i % 3 - 1;
  }
  for (int i = 0; i < 2; ++i) {
    LayerParameter param;
    param.set_type(i ? "MultiSigmoidCrossEntropyLoss" : "MultiLabelSigmoidCrossEntropyLoss");
    shared_ptr<Layer<Dtype> > layer = LayerRegistry<Dtype>::CreateLayer(param);
    layer->SetUp({&scores, &labels}, {&losses[i]});
    layer->Forward({&scores, &labels}, {&losses[i]});
    layer->Backward({&losses[i]}, {true, false}, {&scores, &labels});
    diffs.push_back(vector<Dtype>(scores.cpu_diff(), scores.cpu_diff() + 12));
  }
  EXPECT_GT(losses[0].cpu_data()[0], 0);
  EXPECT_EQ(losses[0].cpu_data()[0], losses[1].cpu_data()[0]);
  EXPECT_TRUE(diffs[0] == diffs[1]);
}

namespace {

// A net in the authors' way: conv1 -> Box -> Batch, ReLU, Convolution each -> Splice -> + conv1 ->
// ReLU -> fc8 -> loss, on maps of `side` pixels in grid x grid patches, from random inputs.
string AuthorsNet(int num, int channels, int side, int grid) {
  std::ostringstream net;
  const int patch = side / grid;
  net << "name: 'authors' force_backward: true "
      << "layer { name: 'in' type: 'Input' top: 'data' top: 'label' input_param { "
      << "  shape { dim: [" << num << ", " << channels << ", " << side << ", " << side << "] } "
      << "  shape { dim: [" << num << ", 3] } } } "
      << "layer { name: 'conv1' type: 'Convolution' bottom: 'data' top: 'conv1' "
      << "  convolution_param { num_output: 4 kernel_size: 3 pad: 1 "
      << "    weight_filler { type: 'gaussian' std: 0.3 } } } ";
  std::ostringstream coordinates, outs, results;
  for (int i = 0; i < grid * grid; ++i) {
    coordinates << " xcoord: " << i % grid * patch << " ycoord: " << i / grid * patch;
    outs << " top: 'out" << i + 1 << "'";
    results << " bottom: 'res1_" << i + 1 << "'";
  }
  net << "layer { name: 'clipping' type: 'Box' bottom: 'conv1'" << outs.str()
      << "  box_param { width: " << patch << " height: " << patch << coordinates.str() << " } } ";
  for (int i = 1; i <= grid * grid; ++i) {
    net << "layer { type: 'Batch' name: 'bn1_" << i << "' bottom: 'out" << i << "' top: 'bn1_" << i
        << "' batch_param { use_global_stats: false } "
        << "  param { lr_mult: 0 } param { lr_mult: 0 } param { lr_mult: 0 } } "
        << "layer { type: 'ReLU' name: 'relu1_" << i << "' bottom: 'bn1_" << i << "' top: 'bn1_"
        << i << "' } "
        << "layer { type: 'Convolution' name: 'conv1_" << i << "' bottom: 'bn1_" << i
        << "' top: 'res1_" << i << "' param { lr_mult: 1 decay_mult: 1 } "
        << "  param { lr_mult: 2 decay_mult: 0 } convolution_param { num_output: 4 kernel_size: 3 "
        << "  pad: 1 weight_filler { type: 'gaussian' std: 0.2 } "
        << "  bias_filler { type: 'constant' value: 1 } } } ";
  }
  net << "layer { name: 'Splice' type: 'Splice'" << results.str() << " top: 'concat' splice_param {"
      << coordinates.str() << " } } "
      << "layer { type: 'Eltwise' name: 'add' bottom: 'conv1' bottom: 'concat' top: 'add' "
      << "  eltwise_param { operation: SUM } } "
      << "layer { name: 'relu_res' type: 'ReLU' bottom: 'add' top: 'add' } "
      << "layer { name: 'fc8' type: 'InnerProduct' bottom: 'add' top: 'fc8' inner_product_param { "
      << "  num_output: 3 weight_filler { type: 'gaussian' std: 0.1 } } } "
      << "layer { name: 'loss' type: 'MultiSigmoidCrossEntropyLoss' bottom: 'fc8' bottom: 'label' "
      << "  top: 'loss' } ";
  return net.str();
}

template <typename Dtype>
void FillInputs(Net<Dtype>* net) {
  FillGaussian(0, 1, net->blob_by_name("data").get());
  Blob<Dtype>* labels = net->blob_by_name("label").get();
  for (int i = 0; i < labels->count(); ++i) {
    labels->mutable_cpu_data()[i] = i % 3 - 1;
  }
}

}  // namespace

// The branches of a net against one Region layer with the same weights: values and gradients.
TYPED_TEST(AuthorsLayersTest, BranchesAreARegion) {
  typedef typename TypeParam::Dtype Dtype;
  const int grid = 2, patches = grid * grid;
  NetParameter param = Parse<NetParameter>(AuthorsNet(3, 2, 10, grid));
  param.mutable_state()->set_phase(TRAIN);
  Net<Dtype> net(param);
  FillInputs(&net);
  for (int i = 1; i <= patches; ++i) {
    std::ostringstream name;
    name << "conv1_" << i;
    FillGaussian(0, .5, net.layer_by_name(name.str())->blobs()[1].get());
  }
  net.Forward();
  net.Backward();

  LayerParameter region_param = RegionParam("grid_h: 2 grid_w: 2 use_global_stats: false");
  RegionLayer<Dtype> region(region_param);
  Blob<Dtype> map, top;
  map.CopyFrom(*net.blob_by_name("conv1"), false, true);
  region.SetUp({&map}, {&top});
  for (int i = 1; i <= patches; ++i) {
    std::ostringstream name;
    name << "conv1_" << i;
    for (int b = 0; b < 2; ++b) {
      const Blob<Dtype>& of_patch = *net.layer_by_name(name.str())->blobs()[b];
      caffe_copy(of_patch.count(), of_patch.cpu_data(),
                 region.blobs()[b]->mutable_cpu_data() + (i - 1) * of_patch.count());
    }
  }
  region.Forward({&map}, {&top});
  const Blob<Dtype>& sum = *net.blob_by_name("add");
  vector<Dtype> positive(top.cpu_data(), top.cpu_data() + top.count());
  for (Dtype& value : positive) {
    value = std::max(value, Dtype(0));
  }
  ExpectNear(top.count(), positive.data(), sum.cpu_data(), Tolerance<Dtype>(), "map");
  caffe_copy(top.count(), sum.cpu_diff(), top.mutable_cpu_diff());
  // relu_res works in place: the diff of what comes before it has gone to where the ReLU was open.
  for (int i = 0; i < top.count(); ++i) {
    if (top.cpu_data()[i] <= 0) {
      top.mutable_cpu_diff()[i] = 0;
    }
  }
  region.Backward({&top}, {true}, {&map});
  for (int i = 1; i <= patches; ++i) {
    std::ostringstream name;
    name << "conv1_" << i;
    for (int b = 0; b < 2; ++b) {
      const Blob<Dtype>& of_patch = *net.layer_by_name(name.str())->blobs()[b];
      ExpectNear(of_patch.count(), of_patch.cpu_diff(),
                 region.blobs()[b]->cpu_diff() + (i - 1) * of_patch.count(), 5 * Tolerance<Dtype>(),
                 "diff of a weight");
    }
  }
  ExpectNear(map.count(), net.blob_by_name("conv1")->cpu_diff(), map.cpu_diff(),
             5 * Tolerance<Dtype>(), "diff of the map");
}

// All 64 of them, for some iterations of a solver.
TYPED_TEST(AuthorsLayersTest, SixtyFourBranchesTrain) {
  typedef typename TypeParam::Dtype Dtype;
  SolverParameter solver_param = Parse<SolverParameter>(
      "base_lr: 0.01 lr_policy: 'fixed' momentum: 0.9 weight_decay: 0.0005 snapshot_after_train: "
      "false "
      "random_seed: 1 display: 0");
  *solver_param.mutable_net_param() = Parse<NetParameter>(AuthorsNet(2, 2, 32, 8));
  solver_param.set_solver_mode(Caffe::mode() == Caffe::GPU ? SolverParameter_SolverMode_GPU
                                                           : SolverParameter_SolverMode_CPU);
  SGDSolver<Dtype> solver(solver_param);
  FillInputs(solver.net().get());
  Dtype first, last;
  solver.net()->Forward(&first);
  solver.Step(4);
  solver.net()->Forward(&last);
  EXPECT_LT(last, first);
  // Four steps and two passes left their mark in every patch's statistics.
  for (const char* name : {"bn1_1", "bn1_37", "bn1_64"}) {
    EXPECT_NEAR(solver.net()->layer_by_name(name)->blobs()[2]->cpu_data()[0], 6, .1) << name;
  }
}

class AuthorsLayersDeathTest : public ::testing::Test {
 protected:
  AuthorsLayersDeathTest() : map_(vector<int>{2, 3, 6, 8}), part_(vector<int>{2, 3, 3, 8}) {
    Caffe::set_mode(Caffe::CPU);
    ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  }

  void Box(const string& text, int tops) {
    Blobs<float> patches(tops);
    BoxLayer<float> layer(Parse<LayerParameter>("name: 'cut' box_param {" + text + "}"));
    layer.SetUp({&map_}, patches.all);
  }

  void Splice(const string& text, const vector<Blob<float>*>& bottoms) {
    Blob<float> top;
    SpliceLayer<float> layer(Parse<LayerParameter>("name: 'join' splice_param {" + text + "}"));
    layer.SetUp(bottoms, {&top});
  }

  Blob<float> map_, part_;
};

TEST_F(AuthorsLayersDeathTest, WrongBoxes) {
  EXPECT_DEATH(Box("xcoord: 0 ycoord: 0", 1), "layer 'cut': box_param needs a width and a height");
  EXPECT_DEATH(Box("width: 2 height: 2 xcoord: [0, 1] ycoord: 0", 2),
               "2 tops, but 2 xcoord and 1 ycoord");
  EXPECT_DEATH(Box("width: 5 height: 2 xcoord: [0, 4] ycoord: [0, 0]", 2),
               "patch 1 of 2 x 5 at row 0, column 4 is not inside the map of 6 x 8");
  EXPECT_DEATH(Box("width: 2 height: 2 xcoord: 4294967295 ycoord: 0", 1), "is not inside the map");
  map_.Reshape({2, 3, 6});
  EXPECT_DEATH(Box("width: 2 height: 2 xcoord: 0 ycoord: 0", 1), "must have 4 axes, got 2 3 6");
}

TEST_F(AuthorsLayersDeathTest, WrongSplices) {
  EXPECT_DEATH(Splice("xcoord: 0 ycoord: 0", {&part_, &part_}), "2 bottoms, but 1 xcoord");
  EXPECT_DEATH(Splice("xcoord: [0, 0] ycoord: [0, 2]", {&part_, &part_}),
               "layer 'join': patches 0 and 1 overlap");
  EXPECT_DEATH(Splice("xcoord: [0, 0] ycoord: [0, 4]", {&part_, &part_}),
               "leave gaps in the map of 7 x 8");
  Blob<float> other(vector<int>{2, 4, 3, 8});
  EXPECT_DEATH(Splice("xcoord: [0, 0] ycoord: [0, 3]", {&part_, &other}),
               "bottom 1 is 2 4 3 8 .*; all need 4 axes, and samples and channels as bottom 0");
}

TEST_F(AuthorsLayersDeathTest, WrongBatches) {
  Blob<float> top;
  BatchLayer<float> layer(
      Parse<LayerParameter>("name: 'bn' batch_norm_param { use_global_stats: true }"));
  EXPECT_DEATH(layer.SetUp({&map_}, {&top}), "'bn': batch_norm_param is BatchNorm's");
  BatchLayer<float> learned(Parse<LayerParameter>("name: 'bn' param { lr_mult: 1 }"));
  EXPECT_DEATH(learned.SetUp({&map_}, {&top}), "Cannot configure batch normalization statistics");
}

}  // namespace caffe
