// The Region layer's group sparsity: its term of the loss and the gradient against their formulas,
// its second top in a net, and what it does to a net in training. (Finite differences check the
// gradient in test_region_layer_oracle.cpp.)

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layers/region_layer.hpp"
#include "caffe/net.hpp"
#include "caffe/sgd_solvers.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "region_reference.hpp"

namespace caffe {

// |W_g| of each patch, value by value.
template <typename Dtype>
vector<double> PatchNorms(const Blob<Dtype>& weight) {
  vector<double> norms;
  for (int g = 0; g < weight.shape(0); ++g) {
    double sum = 0;
    for (int o = 0; o < weight.shape(1); ++o)
      for (int c = 0; c < weight.shape(2); ++c)
        for (int y = 0; y < weight.shape(3); ++y)
          for (int x = 0; x < weight.shape(4); ++x)
            sum += std::pow(weight.data_at({g, o, c, y, x}), 2);
    norms.push_back(std::sqrt(sum));
  }
  return norms;
}

template <typename TypeParam>
class RegionSparsityTest : public MultiDeviceTest<TypeParam> {
  typedef typename TypeParam::Dtype Dtype;

 protected:
  RegionSparsityTest() : bottom_(2, 3, 11, 14) {
    Caffe::set_random_seed(1701);
    FillGaussian(.5, 2, &bottom_);
  }

  // A layer with drawn blobs, and as many tops as asked for.
  shared_ptr<RegionLayer<Dtype> > SetUpLayer(const LayerParameter& param, int tops = 2) {
    shared_ptr<RegionLayer<Dtype> > layer(new RegionLayer<Dtype>(param));
    layer->SetUp({&bottom_}, Tops(tops));
    RandomizeBlobs(param, layer.get());
    for (const shared_ptr<Blob<Dtype> >& blob : layer->blobs()) {
      caffe_set(blob->count(), Dtype(0), blob->mutable_cpu_diff());
    }
    return layer;
  }

  vector<Blob<Dtype>*> Tops(int tops) {
    return tops == 1 ? vector<Blob<Dtype>*>{&top_} : vector<Blob<Dtype>*>{&top_, &term_};
  }

  void Forward(RegionLayer<Dtype>* layer, int tops = 2) { layer->Forward({&bottom_}, Tops(tops)); }

  void Backward(RegionLayer<Dtype>* layer, bool propagate_down = true, int tops = 2) {
    layer->Backward(Tops(tops), {propagate_down}, {&bottom_});
  }

  void FillTopDiff() {
    Blob<Dtype> noise(top_.shape());
    FillGaussian(.1, 1, &noise);
    caffe_copy(noise.count(), noise.cpu_data(), top_.mutable_cpu_diff());
  }

  static vector<Dtype> Data(const Blob<Dtype>& blob) {
    return vector<Dtype>(blob.cpu_data(), blob.cpu_data() + blob.count());
  }
  static vector<Dtype> Diff(const Blob<Dtype>& blob) {
    return vector<Dtype>(blob.cpu_diff(), blob.cpu_diff() + blob.count());
  }

  // scale * W / |W| of each patch, on top of `before`.
  static void ExpectWeightDiff(const vector<Dtype>& before, double scale,
                               const Blob<Dtype>& weight) {
    const vector<double> norms = PatchNorms(weight);
    vector<double> expected(before.begin(), before.end());
    for (int i = 0; i < weight.count(); ++i) {
      const double norm = norms[i / weight.count(1)];
      expected[i] += norm == 0 ? 0 : scale * weight.cpu_data()[i] / norm;
    }
    ExpectNear(expected.size(), expected.data(), weight.cpu_diff(), Tolerance<Dtype>(),
               "weight diff");
  }

  void ExpectDeath(const LayerParameter& param, int tops, const string& message) {
    RegionLayer<Dtype> layer(param);
    EXPECT_DEATH(layer.SetUp({&bottom_}, Tops(tops)), message);
  }

  Blob<Dtype> bottom_, top_, term_;
};

TYPED_TEST_CASE(RegionSparsityTest, TestDtypesAndDevices);

TYPED_TEST(RegionSparsityTest, TestTerm) {
  typedef typename TypeParam::Dtype Dtype;
  // 1 x 1 kernels, more weights than a block has threads, more patches than that, and one patch.
  const char* const cases[] = {"grid_h: 3 grid_w: 4",
                               "grid_h: 3 grid_w: 4 kernel_size: 1",
                               "grid_h: 2 grid_w: 3 kernel_size: 5 identity: false num_output: 7",
                               "grid_h: 11 grid_w: 14 kernel_size: 1 affine: true",
                               "grid_h: 1 grid_w: 1 bias_term: false batch_norm: false",
                               "grid_h: 17 grid_w: 18 kernel_size: 1"};
  for (const char* const text : cases) {
    SCOPED_TRACE(text);
    this->bottom_.Reshape(2, 3, 19, 23);
    FillGaussian(.5, 2, &this->bottom_);
    const LayerParameter param = RegionParam(string(text) + " group_sparsity: .125");
    const shared_ptr<RegionLayer<Dtype> > layer = this->SetUpLayer(param);
    RegionReference reference(param, *layer);
    reference.Forward(this->bottom_);
    this->Forward(layer.get());
    // The first top is what it is without the option.
    ExpectNear(this->top_.count(), reference.top.data(), this->top_.cpu_data(), Tolerance<Dtype>(),
               "top");
    double sum = 0;
    for (const double norm : PatchNorms(*layer->blobs()[0])) {
      sum += norm;
    }
    EXPECT_EQ(this->term_.num_axes(), 0);
    ASSERT_EQ(this->term_.count(), 1);
    EXPECT_NEAR(this->term_.cpu_data()[0], .125 * sum, Tolerance<Dtype>() * sum);
  }
}

TYPED_TEST(RegionSparsityTest, TestGradientJoinsTheDataTermsOwn) {
  typedef typename TypeParam::Dtype Dtype;
  const string text = "grid_h: 3 grid_w: 4 affine: true identity: false num_output: 5";
  const shared_ptr<RegionLayer<Dtype> > plain = this->SetUpLayer(RegionParam(text), 1);
  LayerParameter saved;
  plain->ToProto(&saved);
  saved.mutable_region_param()->set_group_sparsity(.3);
  RegionLayer<Dtype> sparse(saved);
  sparse.SetUp({&this->bottom_}, this->Tops(2));

  this->Forward(plain.get(), 1);
  this->FillTopDiff();
  this->Backward(plain.get(), true, 1);
  const vector<Dtype> bottom_diff = this->Diff(this->bottom_);
  vector<Dtype> weight_diff = this->Diff(*plain->blobs()[0]);
  this->Forward(&sparse);
  this->Backward(&sparse);
  const double lambda = saved.region_param().group_sparsity();
  this->ExpectWeightDiff(weight_diff, lambda, *sparse.blobs()[0]);
  EXPECT_EQ(this->Diff(this->bottom_), bottom_diff);
  for (size_t i = 1; i < plain->blobs().size(); ++i) {
    EXPECT_EQ(this->Diff(*sparse.blobs()[i]), this->Diff(*plain->blobs()[i])) << "blob " << i;
  }
  // A second pass adds to what is there.
  this->Backward(&sparse);
  for (Dtype& value : weight_diff) {
    value *= 2;
  }
  this->ExpectWeightDiff(weight_diff, 2 * lambda, *sparse.blobs()[0]);
}

TYPED_TEST(RegionSparsityTest, TestLossWeight) {
  typedef typename TypeParam::Dtype Dtype;
  LayerParameter param = RegionParam("grid_h: 2 grid_w: 3 group_sparsity: .5");
  for (const double weight : {1., 2.5, 0.}) {
    SCOPED_TRACE(weight);
    if (weight != 1) {
      param.clear_loss_weight();
      param.add_loss_weight(0);
      param.add_loss_weight(weight);
    }
    const shared_ptr<RegionLayer<Dtype> > layer = this->SetUpLayer(param);
    EXPECT_EQ(layer->loss(0), 0);
    EXPECT_EQ(layer->loss(1), weight);
    const Dtype loss = layer->Forward({&this->bottom_}, this->Tops(2));
    EXPECT_GT(this->term_.cpu_data()[0], 0);
    EXPECT_NEAR(loss, weight * this->term_.cpu_data()[0], 1e-5);
    caffe_set(this->top_.count(), Dtype(0), this->top_.mutable_cpu_diff());
    if (weight == 0) {
      this->term_.mutable_cpu_diff()[0] = 0;  // as in a net, where nobody wrote it
    }
    this->Backward(layer.get());
    this->ExpectWeightDiff(vector<Dtype>(layer->blobs()[0]->count(), 0), .5 * weight,
                           *layer->blobs()[0]);
  }
}

TYPED_TEST(RegionSparsityTest, TestPropagateDown) {
  typedef typename TypeParam::Dtype Dtype;
  const shared_ptr<RegionLayer<Dtype> > layer =
      this->SetUpLayer(RegionParam("grid_h: 2 grid_w: 3 affine: true group_sparsity: .5"));
  this->Forward(layer.get());
  caffe_set(this->top_.count(), Dtype(0), this->top_.mutable_cpu_diff());
  const int weights = layer->blobs()[0]->count();
  for (const bool learned : {true, false}) {
    for (const bool down : {true, false}) {
      for (const bool others : {true, false}) {
        for (size_t i = 0; i < layer->blobs().size(); ++i) {
          layer->set_param_propagate_down(i, i == 0 ? learned : others);
        }
        caffe_set(weights, Dtype(7), layer->blobs()[0]->mutable_cpu_diff());
        this->Backward(layer.get(), down);
        this->ExpectWeightDiff(vector<Dtype>(weights, 7), learned ? .5 : 0, *layer->blobs()[0]);
      }
    }
  }
}

TYPED_TEST(RegionSparsityTest, TestZeroAndTinyWeights) {
  typedef typename TypeParam::Dtype Dtype;
  const shared_ptr<RegionLayer<Dtype> > layer =
      this->SetUpLayer(RegionParam("grid_h: 2 grid_w: 3 group_sparsity: .5"));
  Blob<Dtype>* const weight = layer->blobs()[0].get();
  const int count = weight->count(1);
  Dtype* const values = weight->mutable_cpu_data();
  std::fill(values, values + count, Dtype(0));
  std::fill(values + count, values + 2 * count, Dtype(1e-40));  // as float: no full precision
  std::fill(values + 2 * count, values + 3 * count, Dtype(1e25));
  this->Forward(layer.get());
  EXPECT_TRUE(std::isfinite(this->term_.cpu_data()[0]));
  caffe_set(this->top_.count(), Dtype(0), this->top_.mutable_cpu_diff());
  this->Backward(layer.get(), false);
  const Dtype* const diff = weight->cpu_diff();
  for (int i = 0; i < count; ++i) {
    ASSERT_EQ(diff[i], 0);
    ASSERT_NEAR(diff[count + i], .5 / std::sqrt(count), 1e-5);
    ASSERT_NEAR(diff[2 * count + i], .5 / std::sqrt(count), 1e-5);
  }

  caffe_set(weight->count(), Dtype(0), weight->mutable_cpu_data());
  caffe_set(weight->count(), Dtype(0), weight->mutable_cpu_diff());
  this->Forward(layer.get());
  this->Backward(layer.get(), false);
  EXPECT_EQ(this->term_.cpu_data()[0], 0);
  EXPECT_EQ(this->Diff(*weight), vector<Dtype>(weight->count(), 0));
}

// The term is of the weights: it does not go away with the images.
TYPED_TEST(RegionSparsityTest, TestEmptyBatch) {
  typedef typename TypeParam::Dtype Dtype;
  const shared_ptr<RegionLayer<Dtype> > layer =
      this->SetUpLayer(RegionParam("grid_h: 2 grid_w: 3 group_sparsity: .5"));
  this->Forward(layer.get());
  const Dtype term = this->term_.cpu_data()[0];
  this->term_.mutable_cpu_data()[0] = 0;
  this->bottom_.Reshape(0, 3, 11, 14);
  this->Forward(layer.get());
  this->Backward(layer.get());
  EXPECT_GT(term, 0);
  EXPECT_EQ(this->term_.cpu_data()[0], term);
  this->ExpectWeightDiff(vector<Dtype>(layer->blobs()[0]->count(), 0), .5, *layer->blobs()[0]);
}

TYPED_TEST(RegionSparsityTest, TestOffByDefault) {
  typedef typename TypeParam::Dtype Dtype;
  for (const char* const text : {"", "group_sparsity: 0"}) {
    const shared_ptr<RegionLayer<Dtype> > layer = this->SetUpLayer(RegionParam(text), 1);
    EXPECT_EQ(layer->layer_param().loss_weight_size(), 0);
    EXPECT_EQ(layer->loss(0), 0);
    EXPECT_EQ(layer->Forward({&this->bottom_}, this->Tops(1)), 0);
  }
}

TYPED_TEST(RegionSparsityTest, TestErrors) {
  const string name = "Region layer 'region2': ";
  this->ExpectDeath(RegionParam("group_sparsity: -1"), 2,
                    name + "group_sparsity must not be negative, got -1");
  this->ExpectDeath(RegionParam("group_sparsity: nan"), 2, name + "group_sparsity must not be");
  this->ExpectDeath(RegionParam("group_sparsity: inf"), 2, name + "group_sparsity must not be");
  this->ExpectDeath(RegionParam("group_sparsity: .1"), 1,
                    name + "group_sparsity needs a second top .*; add top: \"region2_sparsity\"");
  this->ExpectDeath(RegionParam(""), 2,
                    name + "a second top holds the term of group_sparsity, which is 0; remove");
  LayerParameter param = RegionParam("group_sparsity: .1");
  param.add_loss_weight(1);
  this->ExpectDeath(param, 2, "loss_weight must be unspecified or specified once per top blob");
}

// ---------------------------------------------------------------------------------------------
// In a net

TYPED_TEST(RegionSparsityTest, TestNetCountsTheTerm) {
  typedef typename TypeParam::Dtype Dtype;
  const string start =
      "layer { name: 'data' type: 'Input' top: 'data' top: 'target' "
      "  input_param { shape { dim: 2 dim: 3 dim: 11 dim: 14 } "
      "                shape { dim: 2 dim: 3 dim: 11 dim: 14 } } } "
      "layer { name: 'region' type: 'Region' bottom: 'data' top: 'region' top: 'term' "
      "  param { lr_mult: 1 } "
      "  region_param { grid_h: 2 grid_w: 3 weight_filler { type: 'gaussian' std: .5 } "
      "                 group_sparsity: .25 } } ";
  const string loss =
      "layer { name: 'loss' type: 'EuclideanLoss' bottom: 'region' bottom: 'target' top: 'loss' } ";
  // The term beside another loss, and as the only one.
  for (const bool alone : {false, true}) {
    SCOPED_TRACE(alone);
    NetParameter param;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(start + (alone ? "" : loss), &param));
    param.mutable_state()->set_phase(TRAIN);
    Net<Dtype> net(param);
    FillGaussian(.5, 2, net.blob_by_name("data").get());
    FillGaussian(.5, 2, net.blob_by_name("target").get());
    Dtype sum;
    net.ClearParamDiffs();
    net.Forward(&sum);
    net.Backward();
    const Dtype term = net.blob_by_name("term")->cpu_data()[0];
    const Dtype data_term = alone ? 0 : net.blob_by_name("loss")->cpu_data()[0];
    EXPECT_GT(term, 0);
    EXPECT_NEAR(sum, data_term + term, 1e-5 * sum);
    const Blob<Dtype>& weight = *net.layer_by_name("region")->blobs()[0];
    if (alone) {
      this->ExpectWeightDiff(vector<Dtype>(weight.count(), 0), .25, weight);
    }
    EXPECT_EQ(std::count(net.output_blobs().begin(), net.output_blobs().end(),
                         net.blob_by_name("term").get()),
              1)
        << "the solver prints it";
  }
}

// Labels are told by two of 16 patches, the rest show noise. Returns the norms that training
// leaves.
static vector<double> TrainedNorms(const string& option, const string& second_top) {
  SolverParameter param;
  CHECK(google::protobuf::TextFormat::ParseFromString(
      "base_lr: .05 lr_policy: 'fixed' momentum: .9 max_iter: 1000 display: 0 random_seed: 5 "
      "snapshot_after_train: false solver_mode: CPU net_param { "
      "layer { name: 'data' type: 'Input' top: 'data' top: 'target' "
      "  input_param { shape { dim: 32 dim: 2 dim: 8 dim: 8 } shape { dim: 32 dim: 1 } } } "
      "layer { name: 'region' type: 'Region' bottom: 'data' top: 'region' " +
          second_top +
          "  region_param { grid_h: 4 grid_w: 4 identity: false "
          "                 weight_filler { type: 'gaussian' std: .1 } " +
          option +
          " } } "
          "layer { name: 'score' type: 'InnerProduct' bottom: 'region' top: 'score' "
          "  inner_product_param { num_output: 1 weight_filler { type: 'xavier' } } } "
          "layer { name: 'loss' type: 'EuclideanLoss' bottom: 'score' bottom: 'target' } }",
      &param));
  Caffe::set_mode(Caffe::CPU);
  SGDSolver<double> solver(param);
  Blob<double>& data = *solver.net()->blob_by_name("data");
  Blob<double>& target = *solver.net()->blob_by_name("target");
  std::mt19937 random(3);
  std::normal_distribution<double> normal;
  for (int step = 0; step < 400; ++step) {
    for (int n = 0; n < data.shape(0); ++n) {
      const double label = random() % 2 ? 1 : -1;
      target.mutable_cpu_data()[n] = label;
      for (int i = 0; i < data.count(1); ++i) {
        const int patch = i / 16 % 4 * 4 + i % 8 / 2;
        const double signal = patch == 5 || patch == 10 ? label : 0;
        data.mutable_cpu_data()[n * data.count(1) + i] = signal + .5 * normal(random);
      }
    }
    solver.Step(1);
  }
  return PatchNorms(*solver.net()->layer_by_name("region")->blobs()[0]);
}

TEST(RegionSparsityTrainingTest, TestUselessPatchesLoseTheirWeights) {
  const vector<double> plain = TrainedNorms("", "");
  const vector<double> sparse = TrainedNorms("group_sparsity: .01", "top: 'term' ");
  ASSERT_EQ(sparse.size(), 16);
  double useless_plain = 1e9, useless_sparse = 0;
  for (int g = 0; g < 16; ++g) {
    if (g != 5 && g != 10) {
      useless_plain = std::min(useless_plain, plain[g]);
      useless_sparse = std::max(useless_sparse, sparse[g]);
    }
  }
  EXPECT_LT(useless_sparse, .02 * std::min(sparse[5], sparse[10]));
  EXPECT_GT(useless_plain, .3 * std::max(plain[5], plain[10]));
}

}  // namespace caffe
