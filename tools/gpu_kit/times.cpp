// Times the parts of a training iteration: forward pass, backward pass and update.
//
//     gpu_times SOLVER.prototxt ITERATIONS
//
// The solver's net has Input layers, which are filled once, so that no time goes into data. Unlike
// `caffe time`, it waits for the GPU after a whole pass rather than after every layer, and it knows
// the update. Prints one line of JSON with the median milliseconds.
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "caffe/caffe.hpp"
#include "caffe/sgd_solvers.hpp"
#include "caffe/util/upgrade_proto.hpp"

namespace {

using caffe::Blob;
using caffe::Caffe;
using caffe::Net;
using caffe::SGDSolver;
using caffe::SolverParameter;
using std::vector;

// A solver whose update can be called by itself.
struct TimedSolver : SGDSolver<float> {
  using SGDSolver<float>::SGDSolver;
  using SGDSolver<float>::ApplyUpdate;
};

// Images of the size that the data layer's scale gives; every label present.
void FillInputs(const Net<float>& net) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (size_t i = 0; i < net.input_blobs().size(); ++i) {
    Blob<float>* const blob = net.input_blobs()[i];
    float* const values = blob->mutable_cpu_data();
    for (int k = 0; k < blob->count(); ++k) {
      values[k] = i == 0 ? normal(random) : 1;
    }
  }
}

double Median(vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  FLAGS_minloglevel = google::GLOG_WARNING;
  caffe::GlobalInit(&argc, &argv);
  const int iterations = argc == 3 ? std::atoi(argv[2]) : 0;
  if (iterations < 1) {
    std::cerr << "Usage: gpu_times SOLVER.prototxt ITERATIONS\n";
    return 2;
  }
  SolverParameter param;
  caffe::ReadSolverParamsFromTextFileOrDie(argv[1], &param);
  if (param.solver_mode() == caffe::SolverParameter_SolverMode_GPU) {
    Caffe::SetDevice(param.device_id());
    Caffe::set_mode(Caffe::GPU);
  } else {
    Caffe::set_mode(Caffe::CPU);
  }
  TimedSolver solver(param);
  Net<float>& net = *solver.net();
  FillInputs(net);
  const int kWarmUp = 3;  // memory, cuBLAS's choices, the GPU's clock
  solver.Step(kWarmUp);   // also sets gemm_math

  vector<double> forward, backward, update, all;
  caffe::Timer whole, part;
  const auto timed = [&part](vector<double>* times, const auto& run) {
    part.Start();
    run();
    times->push_back(part.MicroSeconds() / 1e3);
  };
  float loss = 0;
  for (int i = 0; i < iterations; ++i) {
    whole.Start();
    net.ClearParamDiffs();
    timed(&forward, [&]() { net.Forward(&loss); });
    timed(&backward, [&]() { net.Backward(); });
    timed(&update, [&]() { solver.ApplyUpdate(); });
    all.push_back(whole.MicroSeconds() / 1e3);
  }
  std::cout << "{\"forward_ms\": " << Median(forward) << ", \"backward_ms\": " << Median(backward)
            << ", \"update_ms\": " << Median(update) << ", \"iteration_ms\": " << Median(all)
            << ", \"loss\": " << loss << "}" << std::endl;
  return 0;
}
