// Nets, layers and solvers as text.
#include <algorithm>
#include <memory>
#include <set>
#include <vector>

#include "caffe/caffe.hpp"
#include "caffe/util/upgrade_proto.hpp"
#include "support.hpp"
#include "targets.hpp"

namespace fuzz {

namespace {

const double kMaxValues = 1 << 14;

const std::set<std::string> kOurs = {"Region",
                                     "Box",
                                     "Splice",
                                     "Batch",
                                     "LocallyConnected",
                                     "MultiLabelCounts",
                                     "MultiLabelEuclideanLoss",
                                     "MultiLabelSigmoidCrossEntropyLoss",
                                     "MultiSigmoidCrossEntropyLoss"};

// These open files and have threads; other targets read what they read.
const std::set<std::string> kReadFiles = {
    "Data",       "ImageData",      "WindowData",          "HDF5Data",           "HDF5Output",
    "MemoryData", "MultiLabelData", "MultiLabelImageData", "MultilabelImageData"};

bool ReadsNoFile(const caffe::NetParameter& net) {
  for (const caffe::LayerParameter& layer : net.layer()) {
    if (kReadFiles.count(layer.type()) || layer.infogain_loss_param().has_source()) {
      return false;
    }
  }
  return true;
}

// In a net; none where a layer could make something large from little, which is only slow.
bool IsSmall(const caffe::BlobShape& shape) {
  double values = 1;
  for (const auto dim : shape.dim()) {
    values *= std::max<double>(1, dim);
  }
  return values <= kMaxValues;
}

template <typename Dtype>
void RunLayer(const caffe::LayerParameter& param,
              const std::vector<std::shared_ptr<caffe::Blob<Dtype> > >& inputs) {
  std::vector<caffe::Blob<Dtype>*> bottom, top;
  for (const auto& input : inputs) {
    bottom.push_back(input.get());
  }
  std::vector<std::shared_ptr<caffe::Blob<Dtype> > > outputs;
  for (int i = 0; i < std::min(param.top_size(), 8); ++i) {
    outputs.push_back(std::make_shared<caffe::Blob<Dtype> >());
    top.push_back(outputs.back().get());
  }
  caffe::Caffe::set_random_seed(1);
  const auto layer = caffe::LayerRegistry<Dtype>::CreateLayer(param);
  layer->SetUp(bottom, top);
  for (size_t i = 0; i < layer->blobs().size(); ++i) {
    layer->set_param_propagate_down(i, true);
  }
  layer->Forward(bottom, top);
  std::vector<bool> propagate_down;
  for (size_t i = 0; i < bottom.size(); ++i) {
    propagate_down.push_back(layer->AllowForceBackward(i));
  }
  layer->Backward(top, propagate_down, bottom);
  // A batch of another size.
  for (const auto& input : inputs) {
    if (input->num_axes() > 0 && input->shape(0) > 1) {
      std::vector<int> shape = input->shape();
      --shape[0];
      input->Reshape(shape);
    }
  }
  layer->Forward(bottom, top);
  layer->Backward(top, propagate_down, bottom);
}

template <typename Dtype>
void RunLayers(const caffe::NetParameter& net) {
  for (const caffe::LayerParameter& param : net.layer()) {
    std::vector<std::shared_ptr<caffe::Blob<Dtype> > > inputs;
    for (const caffe::BlobShape& shape : net.input_shape()) {
      inputs.push_back(std::make_shared<caffe::Blob<Dtype> >());
      inputs.back()->Reshape(shape);
      Dtype* values = inputs.back()->mutable_cpu_data();
      for (int i = 0; i < inputs.back()->count(); ++i) {
        values[i] = i % 7 == 6 ? Dtype(0.5) : Dtype(i % 3 - 1);  // labels, most of them
      }
      if (inputs.size() > 1) {
        for (int i = 6; i < inputs.back()->count(); i += 7) {
          values[i] = 0;
        }
      }
    }
    RunLayer<Dtype>(param, inputs);
  }
}

}  // namespace

void Layer(const std::string& input) {
  caffe::NetParameter net;
  if (!Parse(input, &net) || net.layer_size() > 4 || net.input_shape_size() > 8 ||
      !std::all_of(net.input_shape().begin(), net.input_shape().end(), IsSmall)) {
    return;
  }
  for (const caffe::LayerParameter& layer : net.layer()) {
    if (!kOurs.count(layer.type())) {
      return;
    }
  }
  RunLayers<double>(net);
  RunLayers<float>(net);
}

void Net(const std::string& input) {
  caffe::NetParameter param;
  if (!Parse(input, &param)) {
    return;
  }
  caffe::UpgradeNetAsNeeded("input", &param);
  if (!ReadsNoFile(param)) {
    return;
  }
  caffe::Caffe::set_random_seed(1);
  caffe::Net<float> net(param);
  net.Forward();
  net.Backward();
  net.Forward();
}

void Solver(const std::string& input) {
  caffe::SolverParameter param;
  if (!Parse(input, &param)) {
    return;
  }
  caffe::UpgradeSolverAsNeeded("input", &param);
  // A net of its own, and none from or to a file.
  if (!param.has_net_param() || param.has_net() || param.has_train_net() || param.test_net_size() ||
      param.has_train_net_param() || param.test_net_param_size() ||
      !ReadsNoFile(param.net_param())) {
    return;
  }
  caffe::NetParameter* net = param.mutable_net_param();
  caffe::UpgradeNetAsNeeded("input", net);
  if (!ReadsNoFile(*net)) {
    return;
  }
  param.clear_snapshot();
  param.clear_snapshot_prefix();
  param.set_snapshot_after_train(false);
  for (int i = 0; i < param.test_iter_size(); ++i) {
    param.set_test_iter(i, std::min(param.test_iter(i), 2));
  }
  param.set_iter_size(std::min(param.iter_size(), 3));
  param.set_max_iter(std::min(param.max_iter(), 2));
  const std::unique_ptr<caffe::Solver<float> > solver(
      caffe::SolverRegistry<float>::CreateSolver(param));
  solver->Step(2);
}

}  // namespace fuzz
