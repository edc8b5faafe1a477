// ParallelTraining of a build without MPI.
#include "parallel/launcher.hpp"
#include "parallel/ranks.hpp"
#include "parallel/training.hpp"

namespace caffe_ext {

// Never made; unique_ptr asks.
Ranks::~Ranks() {}

ParallelTraining::ParallelTraining() {
  CHECK_EQ(LaunchedProcesses(), 1)
      << "This caffe was started as one of several ranks, but is built without MPI, so that each "
         "would train alone. Build it with USE_MPI := 1 (make USE_MPI=1), or start it once.";
}

ParallelTraining::~ParallelTraining() {}

bool ParallelTraining::root() const { return true; }

void ParallelTraining::ChooseGpu(std::vector<int>* gpus) const {}

void ParallelTraining::Configure(caffe::SolverParameter* param) const {}

void ParallelTraining::Solve(caffe::Solver<float>* solver, const caffe::ActionCallback& signals) {
  solver->Solve();
}

}  // namespace caffe_ext
