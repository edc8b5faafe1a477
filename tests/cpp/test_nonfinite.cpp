// What is not finite is never lost: NaN and infinity are put into an input, a parameter and a
// gradient of every layer type, in the plain engine and in oneDNN's, and have to come out.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "caffe/layer_factory.hpp"
#include "engines/switch.hpp"
#include "in_a_child.hpp"

namespace caffe {

namespace {

// Inputs: "n" normal values, "p" positive ones below 1, "o" ones, "l" labels 0 and 1, "s" labels -1
// and 1. Only "n" and "p" get gradients.
struct Case {
  const char* layer;
  const char* kinds;
  vector<vector<int> > shapes;
  // Where a value is lost for a reason: of each place (input, parameter, gradient), the values that
  // have a finite result. "n" NaN, "+" and "-" the infinities; "*" stands for all three.
  string input, parameter, gradient;
};

const vector<int> kMap = {2, 16, 6, 7};

const vector<Case>& Cases() {
  static const vector<Case> cases = {
      {"type: 'AbsVal'", "n", {{2, 5}}},
      {"type: 'Accuracy'", "nl", {{4, 3}, {4}}, "+-", "", "*"},
      {"type: 'ArgMax' argmax_param { out_max_val: true axis: 1 }", "n", {{2, 5}}, "-", "", "*"},
      {"type: 'BNLL'", "n", {{2, 5}}, "-"},
      {"type: 'Batch' batch_param { use_global_stats: false }", "n", {kMap}, "", "*"},
      {"type: 'BatchNorm'", "n", {kMap}, "", "*"},
      // A variance, or the weight of the statistics, that is infinite makes 0 of what it divides.
      {"type: 'BatchNorm' batch_norm_param { use_global_stats: true }", "n", {kMap}, "", "+-"},
      {"type: 'BatchReindex'", "nl", {{2, 3}, {4}}},
      {"type: 'Bias'", "n", {{2, 3, 2}}},
      {"type: 'Box' box_param { width: 6 height: 6 xcoord: 0 ycoord: 0 }", "n", {kMap}},
      {"type: 'Clip' clip_param { min: -1 max: 1 }", "n", {{2, 5}}, "+-"},
      {"type: 'Concat'", "nn", {{2, 3}, {2, 4}}},
      {"type: 'ContrastiveLoss'", "nnl", {{4, 3}, {4, 3}, {4}}},
      {"type: 'Convolution' convolution_param { num_output: 16 kernel_size: 3 pad: 1 }",
       "n",
       {kMap}},
      {"type: 'Convolution' convolution_param { num_output: 16 kernel_size: 11 }",
       "n",
       {{2, 16, 40, 40}}},
      {"type: 'Convolution' convolution_param { num_output: 2 kernel_size: 2 }",
       "n",
       {{2, 2, 5, 4}}},
      {"type: 'Crop'", "nn", {{2, 3, 5, 6}, {2, 3, 5, 5}}},
      {"type: 'Deconvolution' convolution_param { num_output: 2 kernel_size: 2 }",
       "n",
       {{2, 2, 5, 4}}},
      {"type: 'Dropout'", "n", {{2, 5}}},
      {"type: 'ELU'", "n", {{2, 5}}, "-"},
      {"type: 'Eltwise' eltwise_param { operation: MAX }", "nnn", {{2, 5}, {2, 5}, {2, 5}}, "-"},
      {"type: 'Eltwise' eltwise_param { operation: PROD }", "nn", {{2, 5}, {2, 5}}},
      {"type: 'Eltwise' eltwise_param { operation: SUM }", "nn", {{2, 5}, {2, 5}}},
      {"type: 'Embed' embed_param { num_output: 3 input_dim: 2 }", "l", {{4}}},
      {"type: 'EuclideanLoss'", "nn", {{2, 5}, {2, 5}}},
      {"type: 'Exp'", "n", {{2, 5}}, "-"},
      {"type: 'Filter'", "no", {{3, 2}, {3}}},
      {"type: 'Flatten'", "n", {{2, 3, 2}}},
      {"type: 'HingeLoss'", "nl", {{4, 3}, {4}}, "-"},
      {"type: 'Im2col' convolution_param { kernel_size: 2 }", "n", {{2, 2, 5, 4}}},
      {"type: 'InfogainLoss'", "nlo", {{4, 3}, {4}, {1, 1, 3, 3}}, "-"},
      {"type: 'InnerProduct' inner_product_param { num_output: 4 }", "n", {{2, 5}}},
      {"type: 'InnerProduct' inner_product_param { num_output: 40 }", "n", {{40, 50}}},
      {"type: 'LRN'", "n", {kMap}},
      {"type: 'LRN' lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }", "n", {{2, 2, 5, 4}}},
      {"type: 'LSTM' recurrent_param { num_output: 2 }", "no", {{3, 2, 4}, {3, 2}}, "+-", "+-"},
      {"type: 'LSTMUnit' top: 'b'", "nno", {{1, 2, 3}, {1, 2, 12}, {1, 2}}, "+-"},
      {"type: 'LocallyConnected' convolution_param { num_output: 3 kernel_size: 3 }",
       "n",
       {{2, 2, 5, 6}}},
      {"type: 'Log'", "p", {{2, 5}}},
      {"type: 'MVN'", "n", {{2, 2, 5, 4}}},
      {"type: 'MultiLabelCounts'", "ns", {{4, 3}, {4, 3}}, "+-"},
      {"type: 'MultiLabelEuclideanLoss'", "nl", {{4, 3}, {4, 3}}},
      {"type: 'MultiLabelEuclideanLoss' multi_label_euclidean_loss_param { delta: 1 }",
       "nl",
       {{4, 3}, {4, 3}}},
      {"type: 'MultiLabelSigmoidCrossEntropyLoss'", "ns", {{4, 3}, {4, 3}}, "-"},
      {"type: 'MultiSigmoidCrossEntropyLoss'", "ns", {{4, 3}, {4, 3}}, "-"},
      {"type: 'MultinomialLogisticLoss'", "pl", {{4, 3}, {4}}, "-"},
      {"type: 'PReLU'", "n", {{2, 5}}},
      {"type: 'Pooling' pooling_param { kernel_size: 3 stride: 2 }", "n", {kMap}, "-"},
      {"type: 'Pooling' pooling_param { kernel_size: 2 stride: 1 }", "n", {{2, 2, 5, 4}}, "-"},
      {"type: 'Pooling' pooling_param { pool: AVE kernel_size: 2 stride: 1 }", "n", {kMap}},
      {"type: 'Power' power_param { power: 2 scale: 3 shift: 1 }", "n", {{2, 5}}},
      {"type: 'RNN' recurrent_param { num_output: 2 }", "no", {{3, 2, 4}, {3, 2}}, "+-", "+-"},
      {"type: 'ReLU'", "n", {kMap}, "-"},
      {"type: 'ReLU' relu_param { negative_slope: 0.1 }", "n", {{2, 5}}},
      {"type: 'Reduction' reduction_param { axis: 1 }", "n", {{2, 5}}},
      {"type: 'Region' region_param { grid_h: 2 grid_w: 2 kernel_size: 3 }", "n", {kMap}, "", "*"},
      {"type: 'Region' region_param { grid_h: 2 grid_w: 2 use_global_stats: true }",
       "n",
       {kMap},
       "",
       "+-"},
      {"type: 'Region' region_param { grid_h: 2 grid_w: 3 kernel_size: 1 identity: false "
       "num_output: 3 }",
       "n",
       {{2, 2, 5, 6}},
       "",
       "*"},
      {"type: 'Reshape' reshape_param { shape { dim: -1 } }", "n", {{2, 5}}},
      {"type: 'SPP' spp_param { pyramid_height: 2 }", "n", {{2, 2, 5, 4}}, "-"},
      {"type: 'Scale' scale_param { bias_term: true filler { type: 'gaussian' } }",
       "n",
       {{2, 3, 2}}},
      {"type: 'Sigmoid'", "n", {{2, 5}}, "+-"},
      {"type: 'SigmoidCrossEntropyLoss'", "nl", {{4, 3}, {4, 3}}},
      {"type: 'Slice' top: 'b' slice_param { axis: 0 }", "n", {{4, 2}}},
      {"type: 'Softmax'", "n", {{2, 5}}, "-"},
      {"type: 'SoftmaxWithLoss'", "nl", {{4, 3}, {4}}, "-"},
      {"type: 'Splice' splice_param { xcoord: 0 ycoord: 0 }", "n", {kMap}},
      {"type: 'Split' top: 'b'", "n", {{2, 5}}},
      {"type: 'Swish'", "n", {{2, 5}}},
      {"type: 'TanH'", "n", {{2, 5}}, "+-"},
      {"type: 'Threshold'", "n", {{2, 5}}, "+-", "", "*"},
      {"type: 'Tile' tile_param { tiles: 2 }", "n", {{2, 3}}},
  };
  return cases;
}

// Types that compute nothing from inputs.
const std::set<string> kNoInputs = {
    "Data",      "DummyData",  "HDF5Data",       "HDF5Output",          "ImageData",
    "Input",     "MemoryData", "MultiLabelData", "MultiLabelImageData", "MultilabelImageData",
    "Parameter", "Python",     "Silence",        "WindowData"};

enum Place { kInput, kParameter, kGradient };
const char* const kPlaces[] = {"input", "parameter", "gradient"};
const char kValues[] = "n+-";

float ValueOf(char name) {
  const float infinity = std::numeric_limits<float>::infinity();
  return name == 'n' ? std::numeric_limits<float>::quiet_NaN() : name == '+' ? infinity : -infinity;
}

template <typename Dtype>
bool Finite(int count, const Dtype* values) {
  for (int i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) {
      return false;
    }
  }
  return true;
}

template <typename Dtype>
class Run {
 public:
  typedef shared_ptr<Blob<Dtype> > BlobPtr;

  explicit Run(const Case& tried) : tried_(tried) {
    const string text = string("name: 'l' top: 'a' phase: TRAIN ") + tried.layer;
    CHECK(google::protobuf::TextFormat::ParseFromString(text, &param_)) << text;
    // Weights that are not 0: nothing is multiplied by it.
    for (FillerParameter* filler : {param_.mutable_convolution_param()->mutable_weight_filler(),
                                    param_.mutable_inner_product_param()->mutable_weight_filler(),
                                    param_.mutable_recurrent_param()->mutable_weight_filler(),
                                    param_.mutable_region_param()->mutable_weight_filler(),
                                    param_.mutable_embed_param()->mutable_weight_filler()}) {
      filler->set_type("gaussian");
    }
    for (size_t i = 0; i < tried.shapes.size(); ++i) {
      inputs_.push_back(BlobPtr(new Blob<Dtype>(tried.shapes[i])));
      bottom_.push_back(inputs_.back().get());
      propagate_down_.push_back(tried.kinds[i] == 'n' || tried.kinds[i] == 'p');
    }
    for (int i = 0; i < param_.top_size(); ++i) {
      outputs_.push_back(BlobPtr(new Blob<Dtype>()));
      top_.push_back(outputs_.back().get());
    }
    Fill();
    Caffe::set_random_seed(1);
    layer_ = LayerRegistry<Dtype>::CreateLayer(param_);
    layer_->SetUp(bottom_, top_);
    for (size_t i = 0; i < layer_->blobs().size(); ++i) {
      layer_->set_param_propagate_down(i, true);
      Blob<Dtype>* blob = layer_->blobs()[i].get();
      if (blob->asum_data() == 0) {  // running statistics and their weight, of which 0 is none
        caffe_set(blob->count(), Dtype(1), blob->mutable_cpu_data());
      }
    }
  }

  // A value into every second one of a blob's, so that no choice (of a maximum, a patch, a drop)
  // leaves all of them out.
  static void Put(Dtype value, int count, Dtype* values) {
    for (int i = 0; i < count; i += 2) {
      values[i] = value;
    }
    values[count / 2] = value;
  }

  // The numbers of the parameters into which it can be put; for other places one or none.
  int Targets(Place place) const {
    return place == kParameter ? layer_->blobs().size() : place == kInput ? 1 : propagate_down_[0];
  }

  bool Reached(Place place, int target, Dtype value) {
    Fill();
    Caffe::set_random_seed(3);
    if (place == kInput) {
      Put(value, bottom_[0]->count(), bottom_[0]->mutable_cpu_data());
    } else if (place == kParameter) {
      Blob<Dtype>* blob = layer_->blobs()[target].get();
      before_.CopyFrom(*blob, false, true);
      Put(value, blob->count(), blob->mutable_cpu_data());
    }
    layer_->Forward(bottom_, top_);
    bool reached = place != kGradient && !AllFinite(top_, false);
    if (place == kParameter) {
      layer_->blobs()[target]->CopyFrom(before_, false, true);
    }
    if (place == kGradient) {
      CHECK(AllFinite(top_, false)) << "the outputs are not finite without it";
      for (Blob<Dtype>* blob : top_) {
        Dtype* diff = blob->mutable_cpu_diff();
        for (int i = 0; i < blob->count(); ++i) {
          diff[i] = Dtype(0.3) + i % 3;
        }
        Put(value, blob->count(), diff);
      }
      for (size_t i = 0; i < layer_->blobs().size(); ++i) {
        caffe_set(layer_->blobs()[i]->count(), Dtype(0), layer_->blobs()[i]->mutable_cpu_diff());
      }
      layer_->Backward(top_, propagate_down_, bottom_);
      reached = !Finite(bottom_[0]->count(), bottom_[0]->cpu_diff());
    }
    return reached;
  }

 private:
  void Fill() {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const char kind = tried_.kinds[i];
      Dtype* values = inputs_[i]->mutable_cpu_data();
      for (int j = 0; j < inputs_[i]->count(); ++j) {
        const double wave = std::sin(1 + 2.3 * j + i);
        values[j] = kind == 'n'   ? wave
                    : kind == 'p' ? .5 + .4 * wave
                    : kind == 'o' ? 1
                    : kind == 'l' ? j % 2
                                  : j % 2 * 2 - 1;
      }
    }
  }

  static bool AllFinite(const vector<Blob<Dtype>*>& blobs, bool diff) {
    for (const Blob<Dtype>* blob : blobs) {
      if (!Finite(blob->count(), diff ? blob->cpu_diff() : blob->cpu_data())) {
        return false;
      }
    }
    return true;
  }

  const Case& tried_;
  LayerParameter param_;
  vector<BlobPtr> inputs_, outputs_;
  vector<Blob<Dtype>*> bottom_, top_;
  vector<bool> propagate_down_;
  shared_ptr<Layer<Dtype> > layer_;
  Blob<Dtype> before_;
};

// "reached", "refused", or the values that were lost.
template <typename Dtype>
string Try(const Case& tried, Place place, bool engine) {
  const int kRefused = 1, kNone = 64;
  string lost;
  for (const char* name = kValues; *name; ++name) {
    const Ended ended = InAChild([&]() {
      caffe_ext::SetEngineEnabled(engine);
      Run<Dtype> run(tried);
      bool reached = true;
      for (int target = 0; target < run.Targets(place); ++target) {
        reached = run.Reached(place, target, ValueOf(*name)) && reached;
      }
      _exit(run.Targets(place) == 0 ? kNone : reached ? 0 : kNone + 1);
    });
    if (!ended.by_itself ||
        (ended.status != 0 && ended.status < kNone && ended.status != kRefused)) {
      return "ended with " + std::to_string(ended.status) + ended.message;
    }
    if (ended.status == kNone) {
      return "none";
    }
    if (ended.status == kRefused) {
      if (!Says(ended.message, "Check failed|FATAL|F[0-9]")) {
        return "refused without a message";
      }
      lost += *name == 'n' ? "" : "";
    } else if (ended.status != 0) {
      lost += *name;
    }
  }
  return lost.empty() ? "reached" : lost;
}

}  // namespace

TEST(NonfiniteTest, EveryTypeHasItsCase) {
  std::set<string> tried = kNoInputs;
  for (const Case& one : Cases()) {
    LayerParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(one.layer, &param)) << one.layer;
    tried.insert(param.type());
  }
  for (const string& type : LayerRegistry<float>::LayerTypeList()) {
    EXPECT_TRUE(tried.count(type)) << type;
  }
}

TEST(NonfiniteTest, ReachesTheOutputOfEveryLayer) {
  std::printf("| layer | engine | input | parameter | gradient |\n|---|---|---|---|---|\n");
  for (const Case& tried : Cases()) {
    const string allowed[] = {tried.input, tried.parameter, tried.gradient};
    for (const bool engine : {false, true}) {
      std::printf("| %s | %s |", tried.layer, engine ? "oneDNN" : "plain");
      for (const Place place : {kInput, kParameter, kGradient}) {
        const string result = Try<float>(tried, place, engine);
        std::printf(" %s |", result.c_str());
        bool right = result == "reached" || result == "none" || allowed[place] == "*";
        if (!right) {
          right = result.find_first_not_of(kValues) == string::npos &&
                  result.find_first_not_of(allowed[place]) == string::npos;
        }
        EXPECT_TRUE(right) << tried.layer << " loses " << result << " of " << kPlaces[place]
                           << (engine ? " with oneDNN" : "");
      }
      std::printf("\n");
      std::fflush(stdout);
    }
  }
}

// What only some of the samples, or of the values, make NaN.
TEST(NonfiniteTest, StaysWhereItBelongs) {
  const float nan = ValueOf('n');
  const auto run = [](const string& text, const vector<Blob<float>*>& bottom, Blob<float>* top) {
    LayerParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(text, &param));
    const shared_ptr<Layer<float> > layer = LayerRegistry<float>::CreateLayer(param);
    const vector<Blob<float>*> tops = {top};
    layer->SetUp(bottom, tops);
    layer->Forward(bottom, tops);
  };
  // 2 samples x 3 classes x 2 places; the label of sample 1 at place 0 is ignored.
  Blob<float> scores(vector<int>{2, 3, 2}), labels(vector<int>{2, 2}), accuracy;
  const string ignoring = "type: 'Accuracy' accuracy_param { ignore_label: 7 }";
  for (int i = 0; i < scores.count(); ++i) {
    caffe_set(scores.count(), 0.f, scores.mutable_cpu_data());
    caffe_set(labels.count(), 0.f, labels.mutable_cpu_data());
    labels.mutable_cpu_data()[2] = 7;
    scores.mutable_cpu_data()[i] = nan;
    run(ignoring, {&scores, &labels}, &accuracy);
    EXPECT_EQ(std::isnan(accuracy.cpu_data()[0]), !(i >= 6 && i % 2 == 0)) << i;
  }
  Blob<float> a(vector<int>{2, 3}), b(vector<int>{2, 3}), top;
  for (int i = 0; i < a.count(); ++i) {
    a.mutable_cpu_data()[i] = i == 1 ? nan : i;
    b.mutable_cpu_data()[i] = i == 4 ? nan : 2;
  }
  run("type: 'Eltwise' eltwise_param { operation: MAX }", {&a, &b}, &top);
  for (int i = 0; i < a.count(); ++i) {
    const float value = top.cpu_data()[i];
    EXPECT_TRUE(i == 1 || i == 4 ? std::isnan(value) : value == std::max(i, 2)) << i;
  }
  run("type: 'Clip' clip_param { min: 2 max: 3 }", {&a}, &a);  // in place
  for (int i = 0; i < a.count(); ++i) {
    const float value = a.cpu_data()[i];
    EXPECT_TRUE(i == 1 ? std::isnan(value) : value == std::min(std::max(i, 2), 3)) << i;
  }
}

}  // namespace caffe
