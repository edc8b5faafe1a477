#include <omp.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "../../src/layers/locally_connected_products.hpp"
#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layer_factory.hpp"
#include "caffe/layers/conv_layer.hpp"
#include "caffe/layers/locally_connected_layer.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/test/test_gradient_check_util.hpp"
#include "gtest/gtest.h"
#include "locally_connected_reference.hpp"

namespace caffe {

// Opens the choice of a set of instructions.
template <typename Dtype>
class ChosenLocallyConnectedLayer : public LocallyConnectedLayer<Dtype> {
 public:
  ChosenLocallyConnectedLayer(const LayerParameter& param,
                              const caffe_ext::LocalProducts<Dtype>& products)
      : LocallyConnectedLayer<Dtype>(param), chosen_(products) {}

 protected:
  virtual const caffe_ext::LocalProducts<Dtype>& ProductsFor(int) const { return chosen_; }

 private:
  const caffe_ext::LocalProducts<Dtype>& chosen_;
};

// Heights and widths of a layer in one line.
struct Sizes {
  int num, channels, height, width;
  int outputs, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;

  string Text() const {
    std::ostringstream text;
    text << "num_output: " << outputs << " kernel_h: " << kernel_h << " kernel_w: " << kernel_w
         << " stride_h: " << stride_h << " stride_w: " << stride_w << " pad_h: " << pad_h
         << " pad_w: " << pad_w;
    return text.str();
  }
};

template <typename TypeParam>
class LocallyConnectedLayerTest : public MultiDeviceTest<TypeParam> {
  typedef typename TypeParam::Dtype Dtype;

 protected:
  typedef vector<shared_ptr<Blob<Dtype> > > Blobs;

  LocallyConnectedLayerTest() : bottom_(new Blob<Dtype>()), top_(new Blob<Dtype>()) {
    Caffe::set_random_seed(1701);
    bottom_vec_.push_back(bottom_.get());
    top_vec_.push_back(top_.get());
    FillBottom(2, 3, 7, 10);
  }

  void FillBottom(int num, int channels, int height, int width) {
    bottom_->Reshape(num, channels, height, width);
    FillGaussian(.5, 1, bottom_.get());
  }

  static void FillDiff(Blob<Dtype>* blob) {
    Blob<Dtype> noise(blob->shape());
    FillGaussian(.1, 1, &noise);
    caffe_copy(noise.count(), noise.cpu_data(), blob->mutable_cpu_diff());
  }

  template <typename LayerType>
  void SetUpRandom(LayerType* layer) {
    layer->SetUp(bottom_vec_, top_vec_);
    for (const shared_ptr<Blob<Dtype> >& blob : layer->blobs()) {
      FillGaussian(.1, .4, blob.get());
      FillDiff(blob.get());
    }
  }

  shared_ptr<LocallyConnectedLayer<Dtype> > RandomLayer(const string& text) {
    shared_ptr<LocallyConnectedLayer<Dtype> > layer(
        new LocallyConnectedLayer<Dtype>(LocallyConnectedParam(text)));
    SetUpRandom(layer.get());
    return layer;
  }

  static void ExpectValues(const vector<double>& expected, const Dtype* actual, int count,
                           const string& what) {
    ASSERT_EQ(count, static_cast<int>(expected.size())) << what;
    ExpectNear(count, expected.data(), actual, Tolerance<Dtype>(), what);
  }

  // One forward and backward of the layer on the bottom as it stands, diffs of the blobs included.
  void ExpectReference(LocallyConnectedReference reference, Layer<Dtype>* layer) {
    layer->Reshape(bottom_vec_, top_vec_);
    reference.Forward(*bottom_, layer->blobs());
    layer->Forward(bottom_vec_, top_vec_);
    ExpectValues(reference.top, top_->cpu_data(), top_->count(), "top");
    FillDiff(top_.get());
    FillDiff(bottom_.get());  // to be overwritten
    reference.Backward(*bottom_, layer->blobs(), *top_);
    layer->Backward(top_vec_, {true}, bottom_vec_);
    ExpectValues(reference.bottom_diff, bottom_->cpu_diff(), bottom_->count(), "bottom diff");
    for (size_t i = 0; i < layer->blobs().size(); ++i) {
      const Blob<Dtype>& blob = *layer->blobs()[i];
      ExpectValues(reference.blob_diffs[i], blob.cpu_diff(), blob.count(), "blob diff");
    }
  }

  static LocallyConnectedReference Reference(const Sizes& sizes) {
    return LocallyConnectedReference(sizes.stride_h, sizes.stride_w, sizes.pad_h, sizes.pad_w);
  }

  void ExpectReference(const Sizes& sizes, const string& more = "") {
    SCOPED_TRACE(sizes.Text() + more);
    FillBottom(sizes.num, sizes.channels, sizes.height, sizes.width);
    ExpectReference(Reference(sizes), RandomLayer(sizes.Text() + more).get());
  }

  static vector<Dtype> Diff(const Blob<Dtype>& blob) {
    return vector<Dtype>(blob.cpu_diff(), blob.cpu_diff() + blob.count());
  }

  static vector<Dtype> Data(const Blob<Dtype>& blob) {
    return vector<Dtype>(blob.cpu_data(), blob.cpu_data() + blob.count());
  }

  static void ClearDiffs(const Blobs& blobs) {
    for (const shared_ptr<Blob<Dtype> >& blob : blobs) {
      caffe_set(blob->count(), Dtype(0), blob->mutable_cpu_diff());
    }
  }

  void ExpectDeath(const string& text, const string& message) {
    EXPECT_DEATH(RandomLayer(text), "LocallyConnected layer 'conv5': .*" + message);
  }

  const shared_ptr<Blob<Dtype> > bottom_, top_;
  vector<Blob<Dtype>*> bottom_vec_, top_vec_;
};

TYPED_TEST_CASE(LocallyConnectedLayerTest, TestDtypesAndDevices);

// ---------------------------------------------------------------------------------------------
// Set-up

TYPED_TEST(LocallyConnectedLayerTest, TestSetUp) {
  typedef typename TypeParam::Dtype Dtype;
  LocallyConnectedLayer<Dtype> layer(LocallyConnectedParam("num_output: 4 kernel_size: 3"));
  layer.SetUp(this->bottom_vec_, this->top_vec_);
  EXPECT_EQ(this->top_->shape(), vector<int>({2, 4, 5, 8}));
  ASSERT_EQ(layer.blobs().size(), 2);
  EXPECT_EQ(layer.blobs()[0]->shape(), vector<int>({5, 8, 3, 3, 3, 4}));
  EXPECT_EQ(layer.blobs()[1]->shape(), vector<int>({4, 5, 8}));
  EXPECT_EQ(layer.blobs()[0]->asum_data(), 0);
  EXPECT_EQ(layer.blobs()[1]->asum_data(), 0);
}

TYPED_TEST(LocallyConnectedLayerTest, TestSetUpUneven) {
  const char* const kTexts[] = {"kernel_h: 3 kernel_w: 4 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 0",
                                // The repeated fields mean height and width, too.
                                "kernel_size: [3, 4] stride: [2, 3] pad: [1, 0]"};
  for (const char* text : kTexts) {
    const auto layer = this->RandomLayer(string("num_output: 2 bias_term: false ") + text);
    EXPECT_EQ(this->top_->shape(), vector<int>({2, 2, 4, 3}));
    ASSERT_EQ(layer->blobs().size(), 1);
    EXPECT_EQ(layer->blobs()[0]->shape(), vector<int>({4, 3, 3, 3, 4, 2}));
  }
}

TYPED_TEST(LocallyConnectedLayerTest, TestFillersSeeOnePosition) {
  typedef typename TypeParam::Dtype Dtype;
  this->FillBottom(1, 8, 12, 11);
  LocallyConnectedLayer<Dtype> layer(
      LocallyConnectedParam("num_output: 6 kernel_size: 3 weight_filler { type: 'xavier' } "
                            "bias_filler { type: 'constant' value: 2 }"));
  layer.SetUp(this->bottom_vec_, this->top_vec_);
  const Blob<Dtype>& weight = *layer.blobs()[0];
  const Dtype limit = std::sqrt(3. / (8 * 3 * 3));
  const int each = weight.count(2);
  for (int p = 0; p < 10 * 9; ++p) {
    const Dtype* w = weight.cpu_data() + p * each;
    Dtype largest = 0;
    for (int i = 0; i < each; ++i) {
      largest = std::max(largest, std::fabs(w[i]));
    }
    EXPECT_LE(largest, limit);
    EXPECT_GE(largest, .9 * limit);
    EXPECT_NE(w[0], weight.cpu_data()[(p + 1) % 90 * each]) << "positions share a draw";
  }
  EXPECT_EQ(layer.blobs()[1]->asum_data(), 2 * 6 * 10 * 9);
}

// A bilinear filler looks at where a value lies in its kernel, so it shows the order of the axes.
TYPED_TEST(LocallyConnectedLayerTest, TestFillersKnowTheKernel) {
  typedef typename TypeParam::Dtype Dtype;
  LocallyConnectedLayer<Dtype> layer(
      LocallyConnectedParam("num_output: 2 kernel_size: 4 weight_filler { type: 'bilinear' }"));
  layer.SetUp(this->bottom_vec_, this->top_vec_);
  Blob<Dtype> kernel(vector<int>{2, 3, 4, 4});
  FillerParameter filler;
  BilinearFiller<Dtype>(filler).Fill(&kernel);
  Blob<Dtype>& weight = *layer.blobs()[0];
  for (int i = 0; i < weight.count(); ++i) {
    const int o = i % 2, within = i / 2 % 48;
    ASSERT_EQ(weight.cpu_data()[i], kernel.cpu_data()[o * 48 + within]) << i;
  }
}

// ---------------------------------------------------------------------------------------------
// Errors

TYPED_TEST(LocallyConnectedLayerTest, TestErrors) {
  this->ExpectDeath("kernel_size: 3", "num_output is missing");
  this->ExpectDeath("num_output: 0 kernel_size: 3",
                    "num_output must be from 1 to 2147483647, got 0");
  this->ExpectDeath("num_output: 2", "kernel_size is missing");
  this->ExpectDeath("num_output: 2 kernel_size: 0",
                    "kernel_size along H must be from 1 to 2147483647, got 0");
  this->ExpectDeath("num_output: 2 kernel_h: 2 kernel_w: 0",
                    "kernel_size along W must be from 1 to");
  this->ExpectDeath("num_output: 2 kernel_h: 2", "kernel_h and kernel_w go together");
  this->ExpectDeath("num_output: 2 kernel_size: 2 kernel_h: 2 kernel_w: 2",
                    "give either kernel_size or kernel_h and kernel_w, not both");
  this->ExpectDeath("num_output: 2 kernel_size: [2, 2, 2]",
                    "kernel_size takes one value or two, got 3");
  const string good = "num_output: 2 kernel_size: 3 ";
  this->ExpectDeath(good + "stride: 0", "stride along H must be from 1 to 2147483647, got 0");
  this->ExpectDeath(good + "stride_h: 1 stride_w: 0", "stride along W must be from 1 to");
  this->ExpectDeath(good + "stride: 1 stride_h: 1 stride_w: 1", "give either stride or stride_h");
  this->ExpectDeath(good + "pad: 1 pad_w: 1", "give either pad or pad_h and pad_w, not both");
  this->ExpectDeath(good + "pad_w: 1", "pad_h and pad_w go together");
  this->ExpectDeath(good + "pad: 4294967295",
                    "pad along H must be from 0 to 2147483647, got 4294967295");
  this->ExpectDeath(good + "group: 3", "there are no groups, got group: 3; slice the channels");
  this->ExpectDeath(good + "dilation: [1, 2]", "there is no dilation, got dilation: 2; take a");
  this->ExpectDeath(good + "axis: 2", "axis can only be 1, .*; bring the bottom");
  this->ExpectDeath(good + "engine: CUDNN", "cuDNN has no locally connected .* leave engine out");
  this->ExpectDeath("num_output: 2 kernel_size: 8",
                    "a kernel of 8x8 does not fit into the map of 7x10 with a pad of 0x0; lower");
  this->ExpectDeath("num_output: 2 kernel_h: 9 kernel_w: 13 pad: 1",
                    "a kernel of 9x13 does not fit into the map of 7x10 with a pad of 1x1; lower");
  this->bottom_->Reshape({2, 3, 7});
  this->ExpectDeath(good, "the bottom must have 4 axes");
  this->bottom_->Reshape({2, 0, 7, 10});
  this->ExpectDeath(good, "the bottom has no channels");
}

TYPED_TEST(LocallyConnectedLayerTest, TestErrorsOfSize) {
  // Blobs take their memory when they are first used, so these cost nothing.
  this->bottom_->Reshape(1, 64, 100, 100);
  this->ExpectDeath("num_output: 64 kernel_size: 8",
                    "93x93 positions of 64x64x8x8 need more weights than a blob can hold; take a");
  this->bottom_->Reshape(1, 3, 7, 10);
  this->ExpectDeath(
      "num_output: 1 kernel_size: 1 pad: 100000 stride: 100000",
      "a map of 7x10 with a pad of 100000x100000 is larger than a blob can be; lower");
  this->bottom_->Reshape(500000000, 1, 1, 1);
  this->ExpectDeath("num_output: 5 kernel_size: 1",
                    "the top of 500000000 images is larger than a blob can be; take fewer");
}

TYPED_TEST(LocallyConnectedLayerTest, TestErrorsOfUse) {
  typedef typename TypeParam::Dtype Dtype;
  const string text = "num_output: 2 kernel_size: 3";
  LocallyConnectedLayer<Dtype> layer((LocallyConnectedParam(text)));
  EXPECT_DEATH(layer.SetUp(this->bottom_vec_, this->bottom_vec_),
               "LocallyConnected layer 'conv5': cannot work in place");
  layer.SetUp(this->bottom_vec_, this->top_vec_);
  const int shapes[][3] = {{4, 7, 10}, {3, 8, 10}, {3, 7, 9}};
  for (const int* shape : shapes) {
    this->bottom_->Reshape(2, shape[0], shape[1], shape[2]);
    std::ostringstream found;
    found << shape[0] << "x" << shape[1] << "x" << shape[2];
    EXPECT_DEATH(layer.Reshape(this->bottom_vec_, this->top_vec_),
                 "LocallyConnected layer 'conv5': the weights are for maps of 3x7x10, the bottom "
                 "has " +
                     found.str() + "; only the number of images may change");
  }
}

TYPED_TEST(LocallyConnectedLayerTest, TestErrorsOfSavedBlobs) {
  typedef typename TypeParam::Dtype Dtype;
  LayerParameter saved;
  this->RandomLayer("num_output: 2 kernel_size: 3")->ToProto(&saved);
  const auto set_up = [&] {
    LocallyConnectedLayer<Dtype>(saved).SetUp(this->bottom_vec_, this->top_vec_);
  };
  saved.mutable_convolution_param()->set_bias_term(false);
  EXPECT_DEATH(set_up(), "conv5': its parameters ask for 1 blobs, 2 were given");
  saved.mutable_convolution_param()->set_bias_term(true);
  saved.mutable_convolution_param()->set_num_output(3);
  EXPECT_DEATH(set_up(), "conv5': blob 0 must be 5 8 3 3 3 3 .*given as 5 8 3 3 3 2");
  saved.mutable_convolution_param()->set_num_output(2);
  this->FillBottom(2, 3, 8, 10);
  EXPECT_DEATH(set_up(), "conv5': blob 0 must be 6 8 3 3 3 2");
}

// ---------------------------------------------------------------------------------------------
// The reference

TYPED_TEST(LocallyConnectedLayerTest, TestUneven) {
  this->ExpectReference({2, 3, 7, 10, 4, 3, 2, 1, 1, 0, 0});
  this->ExpectReference({3, 2, 9, 6, 5, 2, 4, 2, 1, 1, 2});
  this->ExpectReference({2, 3, 7, 10, 4, 3, 3, 2, 3, 0, 1}, " bias_term: false");
}

TYPED_TEST(LocallyConnectedLayerTest, TestKernels) {
  this->ExpectReference({2, 3, 4, 5, 3, 1, 1, 1, 1, 0, 0});
  this->ExpectReference({2, 3, 4, 5, 3, 4, 5, 1, 1, 0, 0});   // one position
  this->ExpectReference({2, 2, 5, 4, 3, 7, 6, 1, 1, 1, 1});   // larger than the map
  this->ExpectReference({2, 2, 9, 8, 3, 2, 1, 3, 4, 0, 0});   // pixels that no kernel meets
  this->ExpectReference({2, 2, 5, 5, 3, 2, 2, 2, 2, 3, 4});   // kernels that meet no pixel
  this->ExpectReference({2, 2, 20, 5, 3, 5, 2, 1, 1, 2, 0});  // several bands of rows
}

// Vectors hold 2 to 16 images, blocks 8 or 16 outputs: fewer, as many, and more.
TYPED_TEST(LocallyConnectedLayerTest, TestNumbersOfImages) {
  for (int num : {1, 2, 3, 8, 16, 17, 35}) {
    this->ExpectReference({num, 2, 4, 5, 3, 2, 3, 1, 1, 1, 0});
  }
}

TYPED_TEST(LocallyConnectedLayerTest, TestNumbersOfOutputs) {
  for (int outputs : {1, 2, 8, 15, 16, 17, 32, 41}) {
    this->ExpectReference({2, 2, 4, 5, outputs, 2, 3, 1, 1, 1, 0});
  }
  this->ExpectReference({18, 3, 4, 5, 19, 2, 3, 1, 1, 1, 0});
}

TYPED_TEST(LocallyConnectedLayerTest, TestManyTaps) {
  this->ExpectReference({3, 19, 6, 5, 7, 4, 3, 1, 1, 0, 1});
}

TYPED_TEST(LocallyConnectedLayerTest, TestReshapeBetweenBatches) {
  const Sizes sizes = {2, 3, 7, 10, 4, 3, 2, 2, 1, 1, 0};
  const auto layer = this->RandomLayer(sizes.Text());
  for (int num : {2, 5, 1, 33, 16, 3}) {
    SCOPED_TRACE(num);
    this->FillBottom(num, 3, 7, 10);
    this->ExpectReference(this->Reference(sizes), layer.get());
  }
}

TYPED_TEST(LocallyConnectedLayerTest, TestEmptyBatch) {
  const auto layer = this->RandomLayer("num_output: 4 kernel_size: 3");
  this->ClearDiffs(layer->blobs());
  this->bottom_->Reshape(0, 3, 7, 10);
  layer->Reshape(this->bottom_vec_, this->top_vec_);
  layer->Forward(this->bottom_vec_, this->top_vec_);
  layer->Backward(this->top_vec_, {true}, this->bottom_vec_);
  EXPECT_EQ(this->top_->shape(), vector<int>({0, 4, 5, 8}));
  EXPECT_EQ(layer->blobs()[0]->asum_diff(), 0);
  EXPECT_EQ(layer->blobs()[1]->asum_diff(), 0);
}

// ---------------------------------------------------------------------------------------------
// Caffe's own convolution

TYPED_TEST(LocallyConnectedLayerTest, TestSharedWeightsAreAConvolution) {
  typedef typename TypeParam::Dtype Dtype;
  const string text = "num_output: 5 kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad: 1";
  this->FillBottom(3, 4, 7, 10);
  const auto layer = this->RandomLayer(text);
  ConvolutionLayer<Dtype> shared(LocallyConnectedParam(text));
  Blob<Dtype> shared_bottom, shared_top;
  shared_bottom.CopyFrom(*this->bottom_, false, true);
  shared.SetUp({&shared_bottom}, {&shared_top});
  FillGaussian(.1, .4, shared.blobs()[0].get());
  FillGaussian(.1, .4, shared.blobs()[1].get());
  const int taps = 4 * 3 * 2, positions = 4 * 11;
  ASSERT_EQ(layer->blobs()[0]->count(), positions * taps * 5);
  for (int p = 0; p < positions; ++p) {
    for (int o = 0; o < 5; ++o) {
      for (int k = 0; k < taps; ++k) {
        layer->blobs()[0]->mutable_cpu_data()[(p * taps + k) * 5 + o] =
            shared.blobs()[0]->cpu_data()[o * taps + k];
      }
      layer->blobs()[1]->mutable_cpu_data()[o * positions + p] = shared.blobs()[1]->cpu_data()[o];
    }
  }
  layer->Forward(this->bottom_vec_, this->top_vec_);
  shared.Forward({&shared_bottom}, {&shared_top});
  ASSERT_EQ(this->top_->shape(), shared_top.shape());
  const double tolerance = Tolerance<Dtype>();
  ExpectNear(shared_top.count(), shared_top.cpu_data(), this->top_->cpu_data(), tolerance, "top");

  this->FillDiff(this->top_.get());
  caffe_copy(shared_top.count(), this->top_->cpu_diff(), shared_top.mutable_cpu_diff());
  this->ClearDiffs(layer->blobs());
  this->ClearDiffs(shared.blobs());
  layer->Backward(this->top_vec_, {true}, this->bottom_vec_);
  shared.Backward({&shared_top}, {true}, {&shared_bottom});
  ExpectNear(shared_bottom.count(), shared_bottom.cpu_diff(), this->bottom_->cpu_diff(), tolerance,
             "bottom diff");
  // What all positions share has the sum of their gradients.
  vector<double> weight(5 * taps, 0.), bias(5, 0.);
  for (int p = 0; p < positions; ++p) {
    for (int o = 0; o < 5; ++o) {
      for (int k = 0; k < taps; ++k) {
        weight[o * taps + k] += layer->blobs()[0]->cpu_diff()[(p * taps + k) * 5 + o];
      }
      bias[o] += layer->blobs()[1]->cpu_diff()[o * positions + p];
    }
  }
  ExpectNear(weight.size(), weight.data(), shared.blobs()[0]->cpu_diff(), tolerance, "weight diff");
  ExpectNear(bias.size(), bias.data(), shared.blobs()[1]->cpu_diff(), tolerance, "bias diff");
}

// ---------------------------------------------------------------------------------------------
// Finite differences

TYPED_TEST(LocallyConnectedLayerTest, TestGradient) {
  typedef typename TypeParam::Dtype Dtype;
  const Sizes cases[] = {{2, 2, 3, 4, 2, 2, 3, 1, 1, 0, 0},
                         {2, 2, 4, 2, 2, 3, 2, 2, 1, 1, 1},
                         {3, 2, 3, 4, 1, 1, 2, 1, 3, 0, 0}};
  for (const Sizes& sizes : cases) {
    SCOPED_TRACE(sizes.Text());
    this->FillBottom(sizes.num, sizes.channels, sizes.height, sizes.width);
    LocallyConnectedLayer<Dtype> layer(LocallyConnectedParam(
        sizes.Text() + " weight_filler { type: 'gaussian' } bias_filler { type: 'gaussian' }"));
#ifdef CUDA_ON_HOST
    // A pass takes milliseconds there: all tops in one sum of squares, not each by itself. In float
    // the difference of two such sums has few digits left.
    layer.SetUp(this->bottom_vec_, this->top_vec_);
    GradientChecker<Dtype> checker(1e-2, sizeof(Dtype) == sizeof(float) ? 1e-2 : 1e-3);
    checker.CheckGradient(&layer, this->bottom_vec_, this->top_vec_);
#else
    GradientChecker<Dtype> checker(1e-2, 1e-3);
    checker.CheckGradientExhaustive(&layer, this->bottom_vec_, this->top_vec_);
#endif
  }
}

// ---------------------------------------------------------------------------------------------
// Backward's manners

TYPED_TEST(LocallyConnectedLayerTest, TestParameterDiffsAccumulate) {
  typedef typename TypeParam::Dtype Dtype;
  const auto layer = this->RandomLayer("num_output: 4 kernel_size: 3 pad: 1");
  layer->Forward(this->bottom_vec_, this->top_vec_);
  this->FillDiff(this->top_.get());
  this->ClearDiffs(layer->blobs());
  layer->Backward(this->top_vec_, {true}, this->bottom_vec_);
  vector<vector<Dtype> > expected = {this->Diff(*layer->blobs()[0]),
                                     this->Diff(*layer->blobs()[1])};
  const vector<Dtype> bottom_once = this->Diff(*this->bottom_);
  layer->Backward(this->top_vec_, {true}, this->bottom_vec_);
  for (int i = 0; i < 2; ++i) {
    for (Dtype& value : expected[i]) {
      value *= 2;
    }
    ExpectNear(expected[i].size(), expected[i].data(), layer->blobs()[i]->cpu_diff(),
               Tolerance<Dtype>(), "blob diff");
  }
  EXPECT_EQ(this->Diff(*this->bottom_), bottom_once) << "the bottom's diff is set, not added to";
}

TYPED_TEST(LocallyConnectedLayerTest, TestPropagateDown) {
  typedef typename TypeParam::Dtype Dtype;
  const auto layer = this->RandomLayer("num_output: 4 kernel_size: 3");
  layer->Forward(this->bottom_vec_, this->top_vec_);
  this->FillDiff(this->top_.get());
  this->ClearDiffs(layer->blobs());
  layer->Backward(this->top_vec_, {true}, this->bottom_vec_);
  const vector<vector<Dtype> > all = {this->Diff(*layer->blobs()[0]),
                                      this->Diff(*layer->blobs()[1])};
  const vector<Dtype> bottom_all = this->Diff(*this->bottom_);
  const vector<Dtype> untouched(bottom_all.size(), 7);
  for (int wanted = 0; wanted < 8; ++wanted) {
    SCOPED_TRACE(wanted);
    const bool down = wanted & 4;
    this->ClearDiffs(layer->blobs());
    caffe_set(this->bottom_->count(), Dtype(7), this->bottom_->mutable_cpu_diff());
    for (int i = 0; i < 2; ++i) {
      layer->set_param_propagate_down(i, wanted >> i & 1);
    }
    layer->Backward(this->top_vec_, {down}, this->bottom_vec_);
    EXPECT_EQ(this->Diff(*this->bottom_), down ? bottom_all : untouched);
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(this->Diff(*layer->blobs()[i]),
                wanted >> i & 1 ? all[i] : vector<Dtype>(all[i].size(), 0));
    }
  }
}

// A gradient is that of the bottom as it stands, whatever the last forward saw.
TYPED_TEST(LocallyConnectedLayerTest, TestBackwardReadsTheBottom) {
  const Sizes sizes = {3, 3, 7, 10, 4, 3, 2, 1, 1, 0, 0};
  this->FillBottom(3, 3, 7, 10);
  const auto layer = this->RandomLayer(sizes.Text());
  layer->Forward(this->bottom_vec_, this->top_vec_);
  FillGaussian(.5, 1, this->bottom_.get());
  this->FillDiff(this->top_.get());
  LocallyConnectedReference reference = this->Reference(sizes);
  reference.Backward(*this->bottom_, layer->blobs(), *this->top_);
  layer->Backward(this->top_vec_, {true}, this->bottom_vec_);
  this->ExpectValues(reference.blob_diffs[0], layer->blobs()[0]->cpu_diff(),
                     layer->blobs()[0]->count(), "weight diff");
}

// ---------------------------------------------------------------------------------------------
// On the CPU: every set of instructions, any number of threads

TYPED_TEST(LocallyConnectedLayerTest, TestInstructionSets) {
  typedef typename TypeParam::Dtype Dtype;
  if (Caffe::mode() != Caffe::CPU) {
    return;
  }
  const Sizes cases[] = {{2, 3, 7, 10, 4, 3, 2, 1, 1, 0, 0},
                         {17, 3, 9, 7, 16, 4, 3, 2, 1, 1, 1},
                         {8, 2, 5, 6, 27, 3, 3, 1, 1, 1, 0}};
  EXPECT_STREQ(caffe_ext::UsableLocalProducts<Dtype>().back().name, "any");
  for (const caffe_ext::LocalProducts<Dtype>& products : caffe_ext::UsableLocalProducts<Dtype>()) {
    for (const Sizes& sizes : cases) {
      SCOPED_TRACE(products.name + (": " + sizes.Text()));
      this->FillBottom(sizes.num, sizes.channels, sizes.height, sizes.width);
      ChosenLocallyConnectedLayer<Dtype> layer(LocallyConnectedParam(sizes.Text()), products);
      this->SetUpRandom(&layer);
      this->ExpectReference(this->Reference(sizes), &layer);
    }
  }
}

// An image alone, and with so many others that the vectors have other lanes.
TYPED_TEST(LocallyConnectedLayerTest, TestBatchesChangeNothing) {
  typedef typename TypeParam::Dtype Dtype;
  if (Caffe::mode() != Caffe::CPU) {
    return;
  }
  const int kImages = 35;
  this->FillBottom(kImages, 3, 7, 10);
  const auto layer = this->RandomLayer("num_output: 19 kernel_h: 3 kernel_w: 2");
  this->FillDiff(this->top_.get());
  Blob<Dtype> bottom, top;
  bottom.CopyFrom(*this->bottom_, false, true);
  top.CopyFrom(*this->top_, true, true);
  vector<Dtype> datum, diff;
  for (int num : {kImages, 1, 4, 8, 9, 16, 17}) {
    this->bottom_->Reshape(num, 3, 7, 10);
    caffe_copy(this->bottom_->count(), bottom.cpu_data(), this->bottom_->mutable_cpu_data());
    layer->Reshape(this->bottom_vec_, this->top_vec_);
    caffe_copy(this->top_->count(), top.cpu_diff(), this->top_->mutable_cpu_diff());
    layer->Forward(this->bottom_vec_, this->top_vec_);
    layer->Backward(this->top_vec_, {true}, this->bottom_vec_);
    const vector<Dtype> found = this->Data(*this->top_), found_diff = this->Diff(*this->bottom_);
    if (num == kImages) {
      datum = found;
      diff = found_diff;
    }
    EXPECT_TRUE(std::equal(found.begin(), found.end(), datum.begin())) << num << " images";
    EXPECT_TRUE(std::equal(found_diff.begin(), found_diff.end(), diff.begin())) << num << " images";
  }
}

TYPED_TEST(LocallyConnectedLayerTest, TestThreadsChangeNothing) {
  typedef typename TypeParam::Dtype Dtype;
  if (Caffe::mode() != Caffe::CPU) {
    return;
  }
  this->FillBottom(5, 3, 21, 10);
  const auto layer = this->RandomLayer("num_output: 6 kernel_h: 5 kernel_w: 3");
  this->FillDiff(this->top_.get());
  const int before = omp_get_max_threads();
  vector<vector<Dtype> > first;
  for (int threads : {1, 2, 3, 8}) {
    omp_set_num_threads(threads);
    this->ClearDiffs(layer->blobs());
    layer->Forward(this->bottom_vec_, this->top_vec_);
    layer->Backward(this->top_vec_, {true}, this->bottom_vec_);
    const vector<vector<Dtype> > found = {this->Data(*this->top_), this->Diff(*this->bottom_),
                                          this->Diff(*layer->blobs()[0]),
                                          this->Diff(*layer->blobs()[1])};
    if (first.empty()) {
      first = found;
    }
    EXPECT_TRUE(found == first) << threads << " threads";
  }
  omp_set_num_threads(before);
}

// ---------------------------------------------------------------------------------------------
// In a net

TYPED_TEST(LocallyConnectedLayerTest, TestSaveAndLoad) {
  typedef typename TypeParam::Dtype Dtype;
  const auto layer = this->RandomLayer("num_output: 4 kernel_size: 3 stride: 2 pad: 1");
  layer->Forward(this->bottom_vec_, this->top_vec_);
  const vector<Dtype> top = this->Data(*this->top_);
  LayerParameter saved, read;
  layer->ToProto(&saved);
  ASSERT_TRUE(read.ParseFromString(saved.SerializeAsString()));
  // Through the registry, by name, as a net creates it.
  const shared_ptr<Layer<Dtype> > loaded = LayerRegistry<Dtype>::CreateLayer(read);
  EXPECT_STREQ(loaded->type(), "LocallyConnected");
  loaded->SetUp(this->bottom_vec_, this->top_vec_);
  caffe_set(this->top_->count(), Dtype(0), this->top_->mutable_cpu_data());
  loaded->Forward(this->bottom_vec_, this->top_vec_);
  EXPECT_EQ(top, this->Data(*this->top_));
}

}  // namespace caffe
