// The Region layer against two oracles that know its gradients: the same function built from
// Caffe's stock layers, trained side by side, and finite differences.

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layers/region_layer.hpp"
#include "caffe/net.hpp"
#include "caffe/sgd_solvers.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/test/test_gradient_check_util.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "region_reference.hpp"

namespace caffe {

// ---------------------------------------------------------------------------------------------
// Stock layers

// One Region layer, and per patch BatchNorm, Scale, ReLU, Convolution, Eltwise between Slice and
// Concat, each under a EuclideanLoss. N x C x H x W of the data are fixed.
class RegionNets {
 public:
  static const int kNum = 3, kChannels = 4, kHeight = 11, kWidth = 13;

  explicit RegionNets(const string& region_text)
      : text_(region_text), param_(RegionParam(region_text).region_param()) {}

  const RegionParameter& param() const { return param_; }
  int outputs() const { return param_.has_num_output() ? param_.num_output() : kChannels; }
  int first_statistic() const { return param_.bias_term() ? 2 : 1; }

  string Ours() const {
    std::ostringstream net;
    net << Inputs() << "layer { name: 'region' type: 'Region' bottom: 'data' top: 'region' "
        << LearningRates() << " region_param { " << text_ << " } } " << Loss();
    return net.str();
  }

  string Stock() const {
    std::ostringstream net;
    net << Inputs();
    const int rows = param_.grid_h();
    const int cols = param_.grid_w();
    Slice("rows", "data", "x", 2, rows, kHeight, &net);
    for (int i = 0; i < rows; ++i) {
      const string row = Name("x", i);
      Slice("cols_" + row, row, row, 3, cols, kWidth, &net);
      for (int j = 0; j < cols; ++j) {
        StockPatch(Id(i, j), &net);
      }
      Concat(Name("y", i), Name("y", i), 3, cols, &net);
    }
    Concat("region", "y", 2, rows, &net);
    net << Loss();
    return net.str();
  }

  static string Id(int i, int j) {
    std::ostringstream id;
    id << "_" << i << "_" << j;
    return id.str();
  }

 private:
  static string Name(const string& prefix, int i) {
    std::ostringstream name;
    name << prefix << "_" << i;
    return name.str();
  }

  static string Shape(int channels) {
    std::ostringstream shape;
    shape << "input_param { shape { dim: " << kNum << " dim: " << channels << " dim: " << kHeight
          << " dim: " << kWidth << " } } ";
    return shape.str();
  }

  string Inputs() const {
    return "force_backward: true "
           "layer { name: 'data' type: 'Input' top: 'data' " +
           Shape(kChannels) +
           " } "
           "layer { name: 'target' type: 'Input' top: 'target' " +
           Shape(outputs()) + " } ";
  }

  static string Loss() {
    return "layer { name: 'loss' type: 'EuclideanLoss' bottom: 'region' bottom: 'target' "
           "  top: 'loss' } ";
  }

  string LearningRates() const {
    return string("param { lr_mult: 1 decay_mult: 1 } ") +
           (param_.bias_term() ? "param { lr_mult: 2 decay_mult: 0 } " : "");
  }

  static void Slice(const string& name, const string& bottom, const string& prefix, int axis,
                    int parts, int size, std::ostringstream* net) {
    *net << "layer { name: '" << name << "' type: 'Slice' bottom: '" << bottom << "' ";
    for (int i = 0; i < parts; ++i) {
      *net << "top: '" << Name(prefix, i) << "' ";
    }
    *net << "slice_param { axis: " << axis << " ";
    for (int i = 1; i < parts; ++i) {
      *net << "slice_point: " << i * size / parts << " ";
    }
    *net << "} } ";
  }

  static void Concat(const string& name, const string& prefix, int axis, int parts,
                     std::ostringstream* net) {
    *net << "layer { name: '" << name << "' type: 'Concat' top: '" << name << "' ";
    for (int i = 0; i < parts; ++i) {
      *net << "bottom: '" << Name(prefix, i) << "' ";
    }
    *net << "concat_param { axis: " << axis << " } } ";
  }

  void StockPatch(const string& id, std::ostringstream* net) const {
    string blob = "x" + id;
    if (param_.batch_norm()) {
      *net << "layer { name: 'norm" << id << "' type: 'BatchNorm' bottom: '" << blob
           << "' top: 'norm" << id << "' batch_norm_param { eps: " << param_.eps()
           << " moving_average_fraction: " << param_.moving_average_fraction();
      if (param_.has_use_global_stats()) {
        *net << " use_global_stats: " << (param_.use_global_stats() ? "true" : "false");
      }
      *net << " } } ";
      blob = "norm" + id;
    }
    if (param_.affine()) {
      *net << "layer { name: 'scale" << id << "' type: 'Scale' bottom: '" << blob << "' top: 'scale"
           << id << "' scale_param { bias_term: true } } ";
      blob = "scale" + id;
    }
    *net << "layer { name: 'relu" << id << "' type: 'ReLU' bottom: '" << blob << "' top: 'relu"
         << id << "' } ";
    const string conv = (param_.identity() ? "conv" : "y") + id;
    *net << "layer { name: 'conv" << id << "' type: 'Convolution' bottom: 'relu" << id << "' top: '"
         << conv << "' " << LearningRates() << " convolution_param { num_output: " << outputs()
         << " kernel_size: " << param_.kernel_size() << " pad: " << (param_.kernel_size() - 1) / 2
         << " bias_term: " << (param_.bias_term() ? "true" : "false") << " } } ";
    if (param_.identity()) {
      *net << "layer { name: 'sum" << id << "' type: 'Eltwise' bottom: 'x" << id << "' bottom: '"
           << conv << "' top: 'y" << id << "' } ";
    }
  }

  const string text_;
  const RegionParameter param_;
};

template <typename TypeParam>
class RegionStockTest : public MultiDeviceTest<TypeParam> {
  typedef typename TypeParam::Dtype Dtype;

 protected:
  static shared_ptr<SGDSolver<Dtype> > MakeSolver(const string& net) {
    SolverParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(
        "base_lr: .0003 lr_policy: 'fixed' momentum: .9 weight_decay: .05 max_iter: 100 "
        "display: 0 snapshot_after_train: false net_param { " +
            net + " }",
        &param));
    param.set_solver_mode(Caffe::mode() == Caffe::CPU ? SolverParameter_SolverMode_CPU
                                                      : SolverParameter_SolverMode_GPU);
    return shared_ptr<SGDSolver<Dtype> >(new SGDSolver<Dtype>(param));
  }

  // Calls visit(our blob, offset in it, their blob) for every patch and blob that is split among
  // patches, and once per patch for the factor, which all share.
  template <typename Visit>
  static void ForEachBlob(const RegionNets& nets, const Net<Dtype>& ours, const Net<Dtype>& stock,
                          const Visit& visit) {
    const vector<shared_ptr<Blob<Dtype> > >& blobs = ours.layer_by_name("region")->blobs();
    for (uint32_t g = 0; g < nets.param().grid_h() * nets.param().grid_w(); ++g) {
      const string id = RegionNets::Id(g / nets.param().grid_w(), g % nets.param().grid_w());
      vector<Blob<Dtype>*> theirs;
      Append(stock, "conv" + id, &theirs);
      if (nets.param().batch_norm()) {
        Append(stock, "norm" + id, &theirs);
      }
      if (nets.param().affine()) {
        Append(stock, "scale" + id, &theirs);
      }
      ASSERT_EQ(theirs.size(), blobs.size());
      for (size_t i = 0; i < blobs.size(); ++i) {
        const bool factor = blobs[i]->count() == 1;
        visit(blobs[i].get(), factor ? 0 : g * theirs[i]->count(), theirs[i]);
      }
    }
  }

  static void Append(const Net<Dtype>& net, const string& layer, vector<Blob<Dtype>*>* blobs) {
    for (const shared_ptr<Blob<Dtype> >& blob : net.layer_by_name(layer)->blobs()) {
      blobs->push_back(blob.get());
    }
  }

  static void CopyBlobs(const RegionNets& nets, const Net<Dtype>& ours, const Net<Dtype>& stock) {
    ForEachBlob(nets, ours, stock, [](Blob<Dtype>* our, int offset, Blob<Dtype>* their) {
      caffe_copy(their->count(), our->cpu_data() + offset, their->mutable_cpu_data());
    });
  }

  static void ExpectSameBlobs(const RegionNets& nets, const Net<Dtype>& ours,
                              const Net<Dtype>& stock, const string& when) {
    ForEachBlob(nets, ours, stock, [&](Blob<Dtype>* our, int offset, Blob<Dtype>* their) {
      ExpectNear(their->count(), their->cpu_data(), our->cpu_data() + offset, tolerance(),
                 when + ": data of a blob");
      ExpectNear(their->count(), their->cpu_diff(), our->cpu_diff() + offset, tolerance(),
                 when + ": diff of a blob");
    });
  }

  static void ExpectSameBlob(const Net<Dtype>& ours, const Net<Dtype>& stock, const string& name,
                             bool diff, const string& when) {
    const Blob<Dtype>& our = *ours.blob_by_name(name);
    const Blob<Dtype>& their = *stock.blob_by_name(name);
    ASSERT_EQ(our.shape(), their.shape()) << name;
    ExpectNear(our.count(), diff ? their.cpu_diff() : their.cpu_data(),
               diff ? our.cpu_diff() : our.cpu_data(), tolerance(),
               when + (diff ? ": diff of " : ": data of ") + name);
  }

  static void FillInputs(const Net<Dtype>& ours, const Net<Dtype>& stock) {
    FillGaussian(.5, 2, ours.blob_by_name("data").get());
    FillGaussian(0, 1, ours.blob_by_name("target").get());
    stock.blob_by_name("data")->CopyFrom(*ours.blob_by_name("data"));
    stock.blob_by_name("target")->CopyFrom(*ours.blob_by_name("target"));
  }

  static void ExpectSamePass(const RegionNets& nets, const Net<Dtype>& ours,
                             const Net<Dtype>& stock, const string& when) {
    ExpectSameBlob(ours, stock, "region", false, when);
    ExpectSameBlob(ours, stock, "loss", false, when);
    ExpectSameBlob(ours, stock, "data", true, when);
    ExpectSameBlobs(nets, ours, stock, when);
  }

  // Trains both nets from the same start on the same data, and compares them at every step: what
  // a diff holds after a step is the update, momentum and decay included.
  void ExpectSameTraining(const string& region_text) {
    SCOPED_TRACE(region_text);
    Caffe::set_random_seed(1701);
    const RegionNets nets(region_text);
    const shared_ptr<SGDSolver<Dtype> > our_solver = MakeSolver(nets.Ours());
    const shared_ptr<SGDSolver<Dtype> > stock_solver = MakeSolver(nets.Stock());
    Net<Dtype>& ours = *our_solver->net();
    Net<Dtype>& stock = *stock_solver->net();
    RandomizeBlobs(ours.layer_by_name("region")->layer_param(), ours.layer_by_name("region").get());
    CopyBlobs(nets, ours, stock);

    FillInputs(ours, stock);
    ours.ClearParamDiffs();
    ours.ForwardBackward();
    stock.ClearParamDiffs();
    stock.ForwardBackward();
    ExpectSamePass(nets, ours, stock, "plain gradients");

    const shared_ptr<Blob<Dtype> > weight = ours.layer_by_name("region")->blobs()[0];
    const Dtype before = weight->asum_data();
    for (int step = 1; step <= 5; ++step) {
      FillInputs(ours, stock);
      our_solver->Step(1);
      stock_solver->Step(1);
      std::ostringstream when;
      when << "step " << step;
      ExpectSamePass(nets, ours, stock, when.str());
    }
    EXPECT_NE(weight->asum_data(), before) << "nothing was trained";

    ExpectSameTest(nets, ours, stock);
  }

  // What was trained, in nets of the TEST phase.
  void ExpectSameTest(const RegionNets& nets, const Net<Dtype>& ours, const Net<Dtype>& stock) {
    Net<Dtype> our_test(TestNet(nets.Ours()));
    Net<Dtype> stock_test(TestNet(nets.Stock()));
    our_test.ShareTrainedLayersWith(&ours);
    stock_test.ShareTrainedLayersWith(&stock);
    FillInputs(our_test, stock_test);
    our_test.Forward();
    stock_test.Forward();
    ExpectSameBlob(our_test, stock_test, "region", false, "test");
  }

  static NetParameter TestNet(const string& text) {
    NetParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(text, &param));
    param.mutable_state()->set_phase(TEST);
    return param;
  }

  // Stock Caffe sums up in Dtype, so the nets part by more than one rounding.
  static double tolerance() { return sizeof(Dtype) == sizeof(float) ? 1e-4 : 1e-10; }
};

TYPED_TEST_CASE(RegionStockTest, TestDtypesAndDevices);

TYPED_TEST(RegionStockTest, TestTrainsAsStockLayersDo) {
  this->ExpectSameTraining("grid_h: 3 grid_w: 4");
  this->ExpectSameTraining("grid_h: 1 grid_w: 13 moving_average_fraction: .9");
  this->ExpectSameTraining("grid_h: 2 grid_w: 3 kernel_size: 5 affine: true eps: .01");
  this->ExpectSameTraining("grid_h: 2 grid_w: 3 batch_norm: false");
  this->ExpectSameTraining(
      "grid_h: 2 grid_w: 3 kernel_size: 1 identity: false num_output: 5 bias_term: false");
  this->ExpectSameTraining("grid_h: 2 grid_w: 3 affine: true use_global_stats: true");
}

// ---------------------------------------------------------------------------------------------
// Finite differences

// A Region layer that shows the checker its learned blobs only: running statistics have no
// gradient to check, but do change the output.
template <typename Dtype>
class LearnedBlobsLayer : public Layer<Dtype> {
 public:
  explicit LearnedBlobsLayer(const shared_ptr<Layer<Dtype> >& region)
      : Layer<Dtype>(region->layer_param()), region_(region) {
    for (size_t i = 0; i < region->blobs().size(); ++i) {
      const bool learned = static_cast<int>(i) >= region->layer_param().param_size() ||
                           region->layer_param().param(i).lr_mult() != 0;
      if (learned) {
        this->blobs_.push_back(region->blobs()[i]);
      }
    }
  }
  virtual void Reshape(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    region_->Reshape(bottom, top);
  }

 protected:
  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    region_->Forward(bottom, top);
  }
  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom) {
    region_->Backward(top, propagate_down, bottom);
  }

 private:
  const shared_ptr<Layer<Dtype> > region_;
};

template <typename TypeParam>
class RegionGradientTest : public MultiDeviceTest<TypeParam> {
  typedef typename TypeParam::Dtype Dtype;

 protected:
  void CheckGradient(const string& region_text, int num, int height, int width,
                     size_t learned_blobs, Phase phase = TRAIN) {
    SCOPED_TRACE(region_text);
    Caffe::set_random_seed(1701);
    Blob<Dtype> bottom(num, 2, height, width);
    Blob<Dtype> top, term;
    const vector<Blob<Dtype>*> bottom_vec(1, &bottom);
    vector<Blob<Dtype>*> top_vec(1, &top);
    const LayerParameter param = RegionParam(region_text, phase);
    if (param.region_param().group_sparsity() > 0) {
      top_vec.push_back(&term);
    }
    const shared_ptr<Layer<Dtype> > region(new RegionLayer<Dtype>(param));
    region->SetUp(bottom_vec, top_vec);
    // Finite differences mean nothing across the ReLU's kink, nor where a patch is so flat that
    // one step changes its scale: draw until neither is near.
    bool drawn = false;
    for (int i = 0; i < 20000 && !drawn; ++i) {
      RandomizeBlobs(param, region.get());
      FillGaussian(.5, 2, &bottom);
      RegionReference reference(param, *region);
      reference.Forward(bottom);
      drawn = reference.kink > .03 && reference.std_min > (param.phase() == TRAIN ? .9 : .5);
    }
    ASSERT_TRUE(drawn);
    LearnedBlobsLayer<Dtype> layer(region);
    ASSERT_EQ(layer.blobs().size(), learned_blobs);
#ifdef CUDA_ON_HOST
    // A pass takes milliseconds there: all tops in one sum of squares, not each by itself. In float
    // the difference of two such sums has few digits left.
    GradientChecker<Dtype> checker(1e-2, sizeof(Dtype) == sizeof(float) ? 1e-2 : 1e-3);
    checker.CheckGradient(&layer, bottom_vec, top_vec);
#else
    GradientChecker<Dtype> checker(1e-2, 1e-3);
    checker.CheckGradientExhaustive(&layer, bottom_vec, top_vec);
#endif
  }
};

TYPED_TEST_CASE(RegionGradientTest, TestDtypesAndDevices);

TYPED_TEST(RegionGradientTest, TestGradients) {
  this->CheckGradient("grid_h: 2 grid_w: 2", 2, 4, 6, 2);
  this->CheckGradient("grid_h: 2 grid_w: 3", 3, 5, 4, 2);
  this->CheckGradient("grid_h: 2 grid_w: 1 kernel_size: 5", 3, 3, 2, 2);  // larger than the patch
  this->CheckGradient("grid_h: 2 grid_w: 1 affine: true kernel_size: 1", 2, 5, 3, 4);
  this->CheckGradient("grid_h: 1 grid_w: 2 affine: true use_global_stats: true", 2, 3, 5, 4);
  this->CheckGradient("grid_h: 1 grid_w: 2", 2, 3, 5, 2, TEST);
  this->CheckGradient("grid_h: 1 grid_w: 2 batch_norm: false", 2, 3, 5, 2);
  this->CheckGradient("grid_h: 2 grid_w: 3 kernel_size: 1 group_sparsity: .7", 3, 5, 4, 2);
  this->CheckGradient("grid_h: 2 grid_w: 2 identity: false num_output: 3 bias_term: false", 2, 4, 5,
                      1);
}

}  // namespace caffe
