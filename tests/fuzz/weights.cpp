// Weights, solver states and mean images.
#include <cstring>
#include <memory>

#include "caffe/caffe.hpp"
#include "caffe/data_transformer.hpp"
#include "support.hpp"
#include "targets.hpp"
#include "training/snapshot_files.hpp"

namespace fuzz {

namespace {

const char kSolver[] = R"(
  base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 2 snapshot_after_train: false
  train_net_param {
    layer { name: "data" type: "DummyData" top: "data"
            dummy_data_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }
    layer { name: "region" type: "Region" bottom: "data" top: "region"
            region_param { grid_h: 2 grid_w: 2 weight_filler { type: "xavier" } } }
    layer { name: "fc" type: "InnerProduct" bottom: "region" top: "fc"
            inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "fc" top: "loss" }
  })";

std::unique_ptr<caffe::Solver<float> > NewSolver() {
  caffe::SolverParameter param;
  CHECK(google::protobuf::TextFormat::ParseFromString(kSolver, &param));
  caffe::Caffe::set_random_seed(1);
  return std::unique_ptr<caffe::Solver<float> >(caffe::SolverRegistry<float>::CreateSolver(param));
}

}  // namespace

void Weights(const std::string& input) {
  if (input.empty()) {
    return;
  }
  const std::string bytes = input.substr(1);
  switch (input[0]) {
    case 'w':
    case 'W': {
      const auto solver = NewSolver();
      solver->net()->CopyTrainedLayersFrom(File(input[0] == 'w' ? "w.caffemodel" : "w.h5", bytes));
      solver->Step(1);
      break;
    }
    case 's':
    case 'S': {
      // A state names the weights that go with it: other files are not read here.
      caffe::SolverState state;
      if (input[0] == 's' && (!state.ParseFromString(bytes) || state.has_learned_net())) {
        return;
      }
      const auto solver = NewSolver();
      solver->Restore(File(input[0] == 's' ? "s.solverstate" : "s.solverstate.h5", bytes).c_str());
      solver->Step(1);
      break;
    }
    case 'r': {
      // As above with our part, its checksums made right.
      caffe::SolverState state;
      if (!state.ParseFromString(bytes) || state.has_learned_net()) {
        return;
      }
      const std::string path = File("r.solverstate", "");
      caffe_ext::WriteSolverStateFile(state, path);
      const auto solver = NewSolver();
      solver->Restore(path.c_str());
      solver->Step(1);
      break;
    }
    case 'm': {
      caffe::TransformationParameter param;
      param.set_mean_file(File("mean.binaryproto", bytes));
      caffe::DataTransformer<float> transformer(param, caffe::TEST);
      caffe::Datum datum;
      datum.set_channels(3);
      datum.set_height(4);
      datum.set_width(4);
      datum.set_data(std::string(48, 'x'));
      caffe::Blob<float> output(1, 3, 4, 4);
      transformer.Transform(datum, &output);
      break;
    }
  }
}

}  // namespace fuzz
