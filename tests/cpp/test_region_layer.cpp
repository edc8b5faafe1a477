#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layers/region_layer.hpp"
#include "caffe/net.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "region_reference.hpp"

namespace caffe {

// Opens what decides how many images go into one matrix product.
template <typename Dtype>
class GroupedRegionLayer : public RegionLayer<Dtype> {
 public:
  GroupedRegionLayer(const LayerParameter& param, size_t column_bytes) : RegionLayer<Dtype>(param) {
    this->column_bytes_ = column_bytes;
  }
  int images_per_group(const RegionPatch& patch) const { return this->ImagesPerGroup(patch); }
  const RegionGeometry& geometry() const { return this->geometry_; }
};

template <typename TypeParam>
class RegionLayerTest : public MultiDeviceTest<TypeParam> {
  typedef typename TypeParam::Dtype Dtype;

 protected:
  RegionLayerTest() : bottom_(new Blob<Dtype>()), top_(new Blob<Dtype>()) {
    Caffe::set_random_seed(1701);
    bottom_vec_.push_back(bottom_.get());
    top_vec_.push_back(top_.get());
    FillBottom(2, 3, 11, 14);
  }

  void FillBottom(int num, int channels, int height, int width) {
    bottom_->Reshape(num, channels, height, width);
    FillGaussian(.5, 2, bottom_.get());
  }

  shared_ptr<RegionLayer<Dtype> > SetUpLayer(const LayerParameter& param) {
    shared_ptr<RegionLayer<Dtype> > layer(new RegionLayer<Dtype>(param));
    layer->SetUp(bottom_vec_, top_vec_);
    return layer;
  }

  shared_ptr<RegionLayer<Dtype> > RandomLayer(const LayerParameter& param) {
    shared_ptr<RegionLayer<Dtype> > layer = SetUpLayer(param);
    RandomizeBlobs(param, layer.get());
    return layer;
  }

  void ExpectForward(const LayerParameter& param, RegionLayer<Dtype>* layer) {
    RegionReference reference(param, *layer);
    reference.Forward(*bottom_);
    layer->Reshape(bottom_vec_, top_vec_);
    layer->Forward(bottom_vec_, top_vec_);
    ASSERT_EQ(top_->count(), static_cast<int>(reference.top.size()));
    ExpectNear(top_->count(), reference.top.data(), top_->cpu_data(), Tolerance<Dtype>(), "top");
    if (param.region_param().batch_norm()) {
      const int mean = param.region_param().bias_term() ? 2 : 1;
      ExpectBlob(reference.running_mean, *layer->blobs()[mean], "running mean");
      ExpectBlob(reference.running_variance, *layer->blobs()[mean + 1], "running variance");
      ExpectBlob(reference.factor, *layer->blobs()[mean + 2], "factor");
    }
  }

  void ExpectBlob(const vector<double>& expected, const Blob<Dtype>& blob, const string& what) {
    ASSERT_EQ(blob.count(), static_cast<int>(expected.size())) << what;
    ExpectNear(blob.count(), expected.data(), blob.cpu_data(), Tolerance<Dtype>(), what);
  }

  // What a layer with these parameters learns and keeps: blobs of these shapes, all of zeros but
  // for a scale of ones; and the shape of its top.
  void ExpectBlobs(const string& text, const vector<vector<int> >& shapes) {
    SCOPED_TRACE(text);
    const RegionParameter param = RegionParam(text).region_param();
    const shared_ptr<RegionLayer<Dtype> > layer = SetUpLayer(RegionParam(text));
    ASSERT_EQ(layer->blobs().size(), shapes.size());
    for (size_t i = 0; i < shapes.size(); ++i) {
      const Blob<Dtype>& blob = *layer->blobs()[i];
      EXPECT_EQ(blob.shape(), shapes[i]) << "blob " << i;
      const Dtype value = param.affine() && i + 2 == shapes.size() ? 1 : 0;
      EXPECT_EQ(Data(blob), vector<Dtype>(blob.count(), value)) << "blob " << i;
    }
    vector<int> top = bottom_->shape();
    top[1] = param.has_num_output() ? param.num_output() : top[1];
    EXPECT_EQ(top_->shape(), top);
    // A param for each blob up to the last statistic.
    EXPECT_EQ(layer->layer_param().param_size(), param.batch_norm() ? 4 + param.bias_term() : 0);
  }

  // One layer with these parameters against the reference, on the bottom as it stands.
  void ExpectReference(const string& text, Phase phase = TRAIN) {
    SCOPED_TRACE(text);
    const LayerParameter param = RegionParam(text, phase);
    ExpectForward(param, RandomLayer(param).get());
  }

  void Backward(RegionLayer<Dtype>* layer, bool propagate_down = true) {
    layer->Backward(top_vec_, vector<bool>(1, propagate_down), bottom_vec_);
  }

  static vector<Dtype> Data(const Blob<Dtype>& blob) {
    return vector<Dtype>(blob.cpu_data(), blob.cpu_data() + blob.count());
  }

  static vector<Dtype> Diff(const Blob<Dtype>& blob) {
    return vector<Dtype>(blob.cpu_diff(), blob.cpu_diff() + blob.count());
  }

  static vector<vector<Dtype> > ParameterDiffs(RegionLayer<Dtype>* layer) {
    vector<vector<Dtype> > diffs;
    for (const shared_ptr<Blob<Dtype> >& blob : layer->blobs()) {
      diffs.push_back(Diff(*blob));
    }
    return diffs;
  }

  static void ClearParameterDiffs(RegionLayer<Dtype>* layer) {
    for (const shared_ptr<Blob<Dtype> >& blob : layer->blobs()) {
      caffe_set(blob->count(), Dtype(0), blob->mutable_cpu_diff());
    }
  }

  void FillTopDiff() {
    Blob<Dtype> noise(top_->shape());
    FillGaussian(.1, 1, &noise);
    caffe_copy(noise.count(), noise.cpu_data(), top_->mutable_cpu_diff());
  }

  void ExpectDeath(const string& text, const string& message) {
    EXPECT_DEATH(SetUpLayer(RegionParam(text)), "Region layer 'region2': .*" + message);
  }

  const shared_ptr<Blob<Dtype> > bottom_, top_;
  vector<Blob<Dtype>*> bottom_vec_, top_vec_;
};

TYPED_TEST_CASE(RegionLayerTest, TestDtypesAndDevices);

// ---------------------------------------------------------------------------------------------
// Set-up

TYPED_TEST(RegionLayerTest, TestSetUpChoosesBlobs) {
  const string grid = "grid_h: 2 grid_w: 3 ";
  const vector<int> weight = {6, 3, 3, 3, 3}, each = {6, 3}, factor = {1};
  // Weight, bias, running mean, variance and factor, scale and shift.
  this->ExpectBlobs("", {{64, 3, 3, 3, 3}, {64, 3}, {64, 3}, {64, 3}, factor});
  this->ExpectBlobs(grid + "affine: true", {weight, each, each, each, factor, each, each});
  this->ExpectBlobs(grid + "bias_term: false", {weight, each, each, factor});
  this->ExpectBlobs(grid + "batch_norm: false", {weight, each});
  this->ExpectBlobs(grid + "batch_norm: false identity: false num_output: 5",
                    {{6, 5, 3, 3, 3}, {6, 5}});
  this->ExpectBlobs(grid +
                        "affine: true bias_term: false identity: false num_output: 5 "
                        "kernel_size: 1",
                    {{6, 5, 3, 1, 1}, each, each, factor, each, each});
}

TYPED_TEST(RegionLayerTest, TestStatisticsAreNotLearned) {
  typedef typename TypeParam::Dtype Dtype;
  LayerParameter param = RegionParam("affine: true");
  param.add_param()->set_lr_mult(.5);
  param.add_param()->set_lr_mult(2);
  param.mutable_param(1)->set_decay_mult(0);
  const float lr[] = {.5, 2, 0, 0, 0, 1, 1};
  const float decay[] = {1, 0, 0, 0, 0, 1, 1};
  // The second round gives every param as a saved net does.
  for (int round = 0; round < 2; ++round) {
    const shared_ptr<RegionLayer<Dtype> > layer = this->SetUpLayer(param);
    param = layer->layer_param();
    ASSERT_EQ(param.param_size(), round == 0 ? 5 : 7);
    if (round == 0) {
      param.add_param();
      param.add_param();
    }
    for (int i = 0; i < 7; ++i) {
      EXPECT_EQ(param.param(i).lr_mult(), lr[i]) << i;
      EXPECT_EQ(param.param(i).decay_mult(), decay[i]) << i;
    }
  }
  // Without a word from the user, weight and bias learn as usual.
  const LayerParameter plain = this->SetUpLayer(RegionParam(""))->layer_param();
  ASSERT_EQ(plain.param_size(), 5);
  EXPECT_EQ(plain.param(0).lr_mult(), 1);
  EXPECT_EQ(plain.param(1).lr_mult(), 1);
  EXPECT_EQ(plain.param(2).lr_mult(), 0);
}

TYPED_TEST(RegionLayerTest, TestFillersSeeOnePatch) {
  typedef typename TypeParam::Dtype Dtype;
  this->FillBottom(1, 8, 16, 16);
  const shared_ptr<RegionLayer<Dtype> > layer = this->SetUpLayer(
      RegionParam("weight_filler { type: 'xavier' } bias_filler { type: 'constant' value: 1 }"));
  const Blob<Dtype>& weight = *layer->blobs()[0];
  const Dtype limit = std::sqrt(3. / (8 * 3 * 3));
  const int patch_count = weight.count(1);
  for (int g = 0; g < 64; ++g) {
    const Dtype* w = weight.cpu_data() + g * patch_count;
    Dtype largest = 0;
    for (int i = 0; i < patch_count; ++i) {
      largest = std::max(largest, std::fabs(w[i]));
    }
    EXPECT_LE(largest, limit);
    EXPECT_GE(largest, .9 * limit);
    EXPECT_NE(w[0], weight.cpu_data()[(g + 1) % 64 * patch_count]) << "patches share a draw";
  }
  EXPECT_EQ(layer->blobs()[1]->asum_data(), 64 * 8);
}

// ---------------------------------------------------------------------------------------------
// Errors

TYPED_TEST(RegionLayerTest, TestErrors) {
  this->ExpectDeath("grid_h: 12", "a grid of 12x8 is larger than the map of 11x14");
  this->ExpectDeath("grid_w: 15", "a grid of 8x15 is larger than the map of 11x14");
  // Said before weights for such a grid are asked for.
  this->ExpectDeath("grid_h: 100000 grid_w: 100000", "a grid of 100000x100000 is larger than the");
  this->ExpectDeath("grid_h: 4000000000", "a grid of 4000000000x8 is larger than the map");
  this->ExpectDeath("kernel_size: 99999",
                    "a grid of 8x8 with kernel_size 99999 needs more weights");
  this->ExpectDeath("grid_h: 0", "grid_h and grid_w must be at least 1, got 0 and 8");
  this->ExpectDeath("kernel_size: 4", "kernel_size must be odd, got 4");
  this->ExpectDeath("kernel_size: 0", "kernel_size must be odd, got 0");
  this->ExpectDeath("num_output: 4", "num_output 4 differs from the bottom's 3 channels");
  this->ExpectDeath("num_output: 0 identity: false", "num_output must be at least 1");
  this->ExpectDeath("batch_norm: false affine: true", "affine .* needs batch_norm: true");
  this->ExpectDeath("moving_average_fraction: 1.5", "moving_average_fraction must lie in");
  this->ExpectDeath("eps: 0", "eps must be positive");
  this->bottom_->Reshape({2, 3, 11});
  this->ExpectDeath("", "the bottom must have 4 axes");
}

TYPED_TEST(RegionLayerTest, TestErrorsOfSize) {
  // Blobs take their memory when they are first used, so these cost nothing.
  this->bottom_->Reshape(1, 300, 1000, 1000);
  this->ExpectDeath("grid_h: 1 grid_w: 1", "the column matrix of one patch .* take a finer grid");
  this->bottom_->Reshape(1, 0, 11, 14);
  this->ExpectDeath("", "the bottom has no channels");
}

// The corners of patches are products that do not fit an int.
TEST(RegionGeometryTest, TestPatchesOfALongMap) {
  RegionGeometry geometry = RegionGeometry();
  geometry.height = 100003;
  geometry.width = 1;
  geometry.grid_h = 100000;
  geometry.grid_w = 1;
  int y = 0;
  for (int g = 0; g < geometry.patches(); ++g) {
    const RegionPatch patch = geometry.patch(g);
    ASSERT_EQ(patch.y0, y) << g;
    ASSERT_TRUE(patch.height() == 1 || patch.height() == 2) << g;
    y = patch.y1;
  }
  EXPECT_EQ(y, geometry.height);
}

TYPED_TEST(RegionLayerTest, TestErrorsOfUse) {
  typedef typename TypeParam::Dtype Dtype;
  {
    LayerParameter param = RegionParam("");
    for (int i = 0; i < 3; ++i) {
      param.add_param();
    }
    EXPECT_DEATH(this->SetUpLayer(param), "Region layer 'region2': param 2 is a running statistic");
  }
  {
    RegionLayer<Dtype> layer(RegionParam(""));
    EXPECT_DEATH(layer.SetUp(this->bottom_vec_, this->bottom_vec_),
                 "Region layer 'region2': cannot work in place");
  }
  {
    const shared_ptr<RegionLayer<Dtype> > layer = this->SetUpLayer(RegionParam(""));
    this->FillBottom(2, 4, 11, 14);
    EXPECT_DEATH(layer->Reshape(this->bottom_vec_, this->top_vec_),
                 "Region layer 'region2': the weights are for 3 channels, the bottom has 4");
    this->FillBottom(2, 3, 7, 14);
    EXPECT_DEATH(layer->Reshape(this->bottom_vec_, this->top_vec_),
                 "Region layer 'region2': a grid of 8x8 is larger than the map of 7x14");
  }
}

TYPED_TEST(RegionLayerTest, TestErrorsOfSavedBlobs) {
  LayerParameter saved;
  this->SetUpLayer(RegionParam("grid_h: 2 grid_w: 3"))->ToProto(&saved);
  saved.mutable_region_param()->set_kernel_size(5);
  EXPECT_DEATH(this->SetUpLayer(saved), "region2': blob 0 must be 6 3 3 5 5 .*given as 6 3 3 3 3");
  saved.mutable_region_param()->set_kernel_size(3);
  saved.mutable_region_param()->set_affine(true);
  EXPECT_DEATH(this->SetUpLayer(saved), "region2': its parameters ask for 7 blobs, 5 were given");
  saved.mutable_region_param()->set_affine(false);
  this->FillBottom(2, 4, 11, 14);
  EXPECT_DEATH(this->SetUpLayer(saved), "region2': blob 0 must be 6 4 4 3 3");
}

// ---------------------------------------------------------------------------------------------
// The reference

TYPED_TEST(RegionLayerTest, TestForwardEvenGrid) {
  this->FillBottom(2, 3, 12, 16);
  this->ExpectReference("grid_h: 3 grid_w: 4");
  this->ExpectReference("grid_h: 2 grid_w: 8");
}

TYPED_TEST(RegionLayerTest, TestForwardUnevenGrid) {
  this->ExpectReference("");  // 8x8 patches, 1 or 2 pixels high and wide
  this->ExpectReference("grid_h: 3 grid_w: 4");
  this->ExpectReference("grid_h: 4 grid_w: 1");
  this->ExpectReference("grid_h: 1 grid_w: 1");
  this->ExpectReference("grid_h: 11 grid_w: 14");  // one pixel each
}

TYPED_TEST(RegionLayerTest, TestForwardKernels) {
  this->ExpectReference("grid_h: 2 grid_w: 3 kernel_size: 1");
  this->ExpectReference("grid_h: 2 grid_w: 3 kernel_size: 5");
  // Larger than the patches of 2 or 3 x 2, so that some taps never meet a pixel.
  this->ExpectReference("grid_h: 5 grid_w: 7 kernel_size: 7");
}

TYPED_TEST(RegionLayerTest, TestForwardOptions) {
  const string grid = "grid_h: 2 grid_w: 3 ";
  this->ExpectReference(grid + "batch_norm: false");
  this->ExpectReference(grid + "affine: true");
  this->ExpectReference(grid + "bias_term: false");
  this->ExpectReference(grid + "bias_term: false affine: true");
  this->ExpectReference(grid + "identity: false");
  this->ExpectReference(grid + "identity: false num_output: 5");
  this->ExpectReference(grid + "identity: false num_output: 1 affine: true kernel_size: 5");
  this->ExpectReference(grid + "batch_norm: false identity: false bias_term: false num_output: 2");
  this->ExpectReference(grid + "eps: .5 moving_average_fraction: .75");
}

TYPED_TEST(RegionLayerTest, TestForwardStatistics) {
  const string grid = "grid_h: 2 grid_w: 3 ";
  this->ExpectReference(grid + "affine: true", TEST);
  this->ExpectReference(grid + "batch_norm: false", TEST);
  this->ExpectReference(grid + "use_global_stats: true", TRAIN);
  // On the batch's statistics, but leaves the running ones alone.
  this->ExpectReference(grid + "use_global_stats: false", TEST);
}

TYPED_TEST(RegionLayerTest, TestForwardLargeMean) {
  typedef typename TypeParam::Dtype Dtype;
  FillGaussian(1000, 1, this->bottom_.get());
  const LayerParameter param = RegionParam("grid_h: 2 grid_w: 3 identity: false");
  const shared_ptr<RegionLayer<Dtype> > layer = this->RandomLayer(param);
  RegionReference reference(param, *layer);
  reference.Forward(*this->bottom_);
  layer->Forward(this->bottom_vec_, this->top_vec_);
  // The mean itself is rounded to 1000 * 2^-24 in float, but nothing beyond that is lost.
  ExpectNear(this->top_->count(), reference.top.data(), this->top_->cpu_data(),
             sizeof(Dtype) == 4 ? 2e-4 : 1e-10, "top");
}

TYPED_TEST(RegionLayerTest, TestForwardNeverTrained) {
  typedef typename TypeParam::Dtype Dtype;
  const LayerParameter param =
      RegionParam("grid_h: 2 grid_w: 3 weight_filler { type: 'gaussian' std: .1 }", TEST);
  const shared_ptr<RegionLayer<Dtype> > layer = this->SetUpLayer(param);
  this->ExpectForward(param, layer.get());  // factor 0: mean 0, variance 0
  for (int i = 0; i < this->top_->count(); ++i) {
    ASSERT_TRUE(std::isfinite(this->top_->cpu_data()[i]));
  }
}

TYPED_TEST(RegionLayerTest, TestEmptyBatch) {
  typedef typename TypeParam::Dtype Dtype;
  const LayerParameter param = RegionParam("grid_h: 2 grid_w: 3 affine: true");
  const shared_ptr<RegionLayer<Dtype> > layer = this->RandomLayer(param);
  this->ClearParameterDiffs(layer.get());
  RegionReference before(param, *layer);
  this->bottom_->Reshape(0, 3, 11, 14);
  layer->Reshape(this->bottom_vec_, this->top_vec_);
  layer->Forward(this->bottom_vec_, this->top_vec_);
  this->Backward(layer.get());
  EXPECT_EQ(this->top_->shape(), vector<int>({0, 3, 11, 14}));
  this->ExpectBlob(before.running_mean, *layer->blobs()[2], "running mean");
  this->ExpectBlob(before.running_variance, *layer->blobs()[3], "running variance");
  this->ExpectBlob(before.factor, *layer->blobs()[4], "factor");
  for (const shared_ptr<Blob<Dtype> >& blob : layer->blobs()) {
    EXPECT_EQ(blob->asum_diff(), 0);
  }
}

TYPED_TEST(RegionLayerTest, TestForwardConstantPatch) {
  typedef typename TypeParam::Dtype Dtype;
  caffe_set(this->bottom_->count(), Dtype(3), this->bottom_->mutable_cpu_data());
  this->ExpectReference("grid_h: 2 grid_w: 3");
}

TYPED_TEST(RegionLayerTest, TestRunningStatistics) {
  typedef typename TypeParam::Dtype Dtype;
  const LayerParameter param = RegionParam("grid_h: 3 grid_w: 4 moving_average_fraction: .9");
  const shared_ptr<RegionLayer<Dtype> > layer = this->SetUpLayer(param);
  const int nums[] = {2, 5, 1};
  for (int num : nums) {
    this->FillBottom(num, 3, 11, 14);
    this->ExpectForward(param, layer.get());
  }
  EXPECT_NEAR(layer->blobs()[4]->cpu_data()[0], 1 + .9 + .81, 1e-6);
}

TYPED_TEST(RegionLayerTest, TestReshapeBetweenBatches) {
  typedef typename TypeParam::Dtype Dtype;
  const LayerParameter param = RegionParam("grid_h: 3 grid_w: 4");
  const shared_ptr<RegionLayer<Dtype> > layer = this->RandomLayer(param);
  const int shapes[][3] = {{2, 11, 14}, {5, 4, 9}, {1, 30, 21}, {2, 11, 14}, {3, 3, 4}};
  for (const int* shape : shapes) {
    this->FillBottom(shape[0], 3, shape[1], shape[2]);
    this->ExpectForward(param, layer.get());
    this->FillTopDiff();
    this->Backward(layer.get());
    EXPECT_EQ(this->top_->shape(), this->bottom_->shape());
  }
}

// ---------------------------------------------------------------------------------------------
// Backward's manners; its values are checked against stock layers and numerically elsewhere.

TYPED_TEST(RegionLayerTest, TestParameterDiffsAccumulate) {
  typedef typename TypeParam::Dtype Dtype;
  const shared_ptr<RegionLayer<Dtype> > layer =
      this->RandomLayer(RegionParam("grid_h: 2 grid_w: 3 affine: true"));
  layer->Forward(this->bottom_vec_, this->top_vec_);
  this->FillTopDiff();
  this->ClearParameterDiffs(layer.get());
  this->Backward(layer.get());
  const vector<vector<Dtype> > once = this->ParameterDiffs(layer.get());
  const vector<Dtype> bottom_once = this->Diff(*this->bottom_);
  this->Backward(layer.get());
  const vector<vector<Dtype> > twice = this->ParameterDiffs(layer.get());
  for (size_t i = 0; i < once.size(); ++i) {
    const bool statistic = i >= 2 && i <= 4;
    Dtype sum = 0;
    vector<Dtype> expected = once[i];
    for (Dtype& value : expected) {
      sum += std::fabs(value);
      value *= 2;
    }
    EXPECT_EQ(sum == 0, statistic) << "blob " << i;
    ExpectNear(expected.size(), expected.data(), twice[i].data(), Tolerance<Dtype>(), "blob diff");
  }
  const vector<Dtype> bottom_twice = this->Diff(*this->bottom_);
  EXPECT_EQ(bottom_once, bottom_twice) << "the bottom's diff is set, not added to";
}

TYPED_TEST(RegionLayerTest, TestPropagateDown) {
  typedef typename TypeParam::Dtype Dtype;
  const shared_ptr<RegionLayer<Dtype> > layer =
      this->RandomLayer(RegionParam("grid_h: 2 grid_w: 3 affine: true"));
  layer->Forward(this->bottom_vec_, this->top_vec_);
  this->FillTopDiff();
  this->ClearParameterDiffs(layer.get());
  this->Backward(layer.get());
  const vector<vector<Dtype> > all = this->ParameterDiffs(layer.get());
  const vector<Dtype> bottom_all = this->Diff(*this->bottom_);
  const vector<Dtype> untouched(bottom_all.size(), 7);
  const int learned[] = {0, 1, 5, 6};
  // Each learned blob alone, then none (-1), with and without the bottom.
  for (int only = -1; only < 7; ++only) {
    if (only >= 2 && only <= 4) {
      continue;
    }
    for (int down = 0; down < 2; ++down) {
      SCOPED_TRACE(only);
      for (int i : learned) {
        layer->set_param_propagate_down(i, i == only);
      }
      this->ClearParameterDiffs(layer.get());
      caffe_set(this->bottom_->count(), Dtype(7), this->bottom_->mutable_cpu_diff());
      this->Backward(layer.get(), down);
      EXPECT_EQ(this->Diff(*this->bottom_), down ? bottom_all : untouched);
      for (int i : learned) {
        EXPECT_EQ(this->Diff(*layer->blobs()[i]),
                  i == only ? all[i] : vector<Dtype>(all[i].size(), 0));
      }
    }
  }
}

TYPED_TEST(RegionLayerTest, TestBackwardUsesTheStatisticsOfForward) {
  typedef typename TypeParam::Dtype Dtype;
  const char* modes[] = {"use_global_stats: true", "use_global_stats: false"};
  for (const char* mode : modes) {
    const shared_ptr<RegionLayer<Dtype> > layer =
        this->RandomLayer(RegionParam(string("grid_h: 2 grid_w: 3 ") + mode));
    layer->Forward(this->bottom_vec_, this->top_vec_);
    this->FillTopDiff();
    this->Backward(layer.get());
    const vector<Dtype> expected = this->Diff(*this->bottom_);
    for (int i = 2; i < 5; ++i) {
      layer->blobs()[i]->scale_data(3 + i);
    }
    this->Backward(layer.get());
    EXPECT_EQ(this->Diff(*this->bottom_), expected) << mode;
  }
}

TYPED_TEST(RegionLayerTest, TestGroupsOfImages) {
  typedef typename TypeParam::Dtype Dtype;
  this->FillBottom(5, 3, 11, 14);
  const LayerParameter param = RegionParam("grid_h: 2 grid_w: 3 affine: true");
  const shared_ptr<RegionLayer<Dtype> > whole = this->RandomLayer(param);
  LayerParameter saved;
  whole->ToProto(&saved);
  whole->Forward(this->bottom_vec_, this->top_vec_);
  const vector<Dtype> top = this->Data(*this->top_);
  this->FillTopDiff();
  this->ClearParameterDiffs(whole.get());
  this->Backward(whole.get());
  const vector<Dtype> bottom_diff = this->Diff(*this->bottom_);
  const vector<vector<Dtype> > diffs = this->ParameterDiffs(whole.get());

  // Two images of the largest patch (6 x 5) fit: groups of 2, 2 and 1. One byte: images alone.
  const size_t two_images = 2 * sizeof(Dtype) * (3 * 3 * 3) * (6 * 5);
  const size_t caps[] = {two_images, 1};
  const int images[] = {2, 1};
  for (int i = 0; i < 2; ++i) {
    GroupedRegionLayer<Dtype> grouped(saved, caps[i]);
    grouped.SetUp(this->bottom_vec_, this->top_vec_);
    EXPECT_EQ(grouped.images_per_group(grouped.geometry().patch(4)), images[i]);
    grouped.Forward(this->bottom_vec_, this->top_vec_);
    ExpectNear(top.size(), top.data(), this->top_->cpu_data(), Tolerance<Dtype>(), "top");
    this->ClearParameterDiffs(&grouped);
    this->Backward(&grouped);
    ExpectNear(bottom_diff.size(), bottom_diff.data(), this->bottom_->cpu_diff(),
               Tolerance<Dtype>(), "bottom diff");
    for (size_t b = 0; b < diffs.size(); ++b) {
      ExpectNear(diffs[b].size(), diffs[b].data(), grouped.blobs()[b]->cpu_diff(),
                 Tolerance<Dtype>(), "blob diff");
      ExpectNear(diffs[b].size(), whole->blobs()[b]->cpu_data(), grouped.blobs()[b]->cpu_data(),
                 Tolerance<Dtype>(), "blob");
    }
  }
}

// ---------------------------------------------------------------------------------------------
// In a net

TYPED_TEST(RegionLayerTest, TestSaveAndLoad) {
  typedef typename TypeParam::Dtype Dtype;
  const LayerParameter param = RegionParam("grid_h: 2 grid_w: 3 affine: true", TEST);
  const shared_ptr<RegionLayer<Dtype> > layer = this->RandomLayer(param);
  layer->Forward(this->bottom_vec_, this->top_vec_);
  const vector<Dtype> top = this->Data(*this->top_);
  LayerParameter saved;
  layer->ToProto(&saved);
  LayerParameter read;
  ASSERT_TRUE(read.ParseFromString(saved.SerializeAsString()));
  // Through the registry, by name, as a net creates it.
  const shared_ptr<Layer<Dtype> > loaded = LayerRegistry<Dtype>::CreateLayer(read);
  EXPECT_STREQ(loaded->type(), "Region");
  loaded->SetUp(this->bottom_vec_, this->top_vec_);
  loaded->Forward(this->bottom_vec_, this->top_vec_);
  EXPECT_EQ(top, vector<Dtype>(this->top_->cpu_data(), this->top_->cpu_data() + top.size()));
}

TYPED_TEST(RegionLayerTest, TestTestNetFindsTheStatistics) {
  typedef typename TypeParam::Dtype Dtype;
  NetParameter net_param;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "layer { name: 'data' type: 'Input' top: 'data' "
      "  input_param { shape { dim: 2 dim: 3 dim: 11 dim: 14 } } } "
      "layer { name: 'region2' type: 'Region' bottom: 'data' top: 'region2' "
      "  param { lr_mult: 1 } param { lr_mult: 2 } "
      "  region_param { grid_h: 2 grid_w: 3 "
      "    weight_filler { type: 'gaussian' std: .5 } bias_filler { value: 1 } } }",
      &net_param));
  net_param.mutable_state()->set_phase(TRAIN);
  Net<Dtype> train_net(net_param);
  for (int i = 0; i < 4; ++i) {
    FillGaussian(.5, 2, train_net.blob_by_name("data").get());
    train_net.Forward();
  }
  NetParameter saved;
  train_net.ToProto(&saved);

  net_param.mutable_state()->set_phase(TEST);
  Net<Dtype> shared(net_param);
  shared.ShareTrainedLayersWith(&train_net);
  Net<Dtype> loaded(net_param);
  loaded.CopyTrainedLayersFrom(saved);
  Net<Dtype>* nets[] = {&shared, &loaded};
  const LayerParameter param = RegionParam("grid_h: 2 grid_w: 3", TEST);
  for (Net<Dtype>* net : nets) {
    RegionReference reference(param, *train_net.layer_by_name("region2"));
    EXPECT_GT(reference.factor[0], 3.9);
    reference.Forward(*this->bottom_);
    net->blob_by_name("data")->CopyFrom(*this->bottom_);
    net->Forward();
    const Blob<Dtype>& top = *net->blob_by_name("region2");
    ExpectNear(top.count(), reference.top.data(), top.cpu_data(), Tolerance<Dtype>(), "top");
    // Testing left the model alone, the part it shares with training included.
    EXPECT_EQ(train_net.layer_by_name("region2")->blobs()[4]->cpu_data()[0], reference.factor[0]);
  }
}

}  // namespace caffe
