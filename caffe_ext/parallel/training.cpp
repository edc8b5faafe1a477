#include "parallel/training.hpp"

#include <omp.h>
#include <signal.h>
#include <unistd.h>

#include <set>
#include <string>
#include <vector>

#include "parallel/launcher.hpp"
#include "parallel/member.hpp"
#include "parallel/ranks.hpp"

namespace caffe_ext {

using caffe::Caffe;

namespace {

// mpirun sends SIGTERM where it is interrupted, and passes SIGUSR1 and SIGUSR2 on.
void AsInterrupt(int) { raise(SIGINT); }
void AsHangup(int) { raise(SIGHUP); }

void Handle(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigaction(signal, &action, NULL);
}

std::string Describe() {
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  std::ostringstream text;
  text << host << ", process " << getpid() << ", ";
#ifndef CPU_ONLY
  if (Caffe::mode() == Caffe::GPU) {
    int device = 0;
    CUDA_CHECK(cudaGetDevice(&device));
    text << "GPU " << device << ", ";
  }
#endif
  text << omp_get_max_threads() << " thread(s)";
  return text.str();
}

void LogRanks(Ranks* ranks) {
  const std::vector<std::string> all = ranks->Gather(Describe());
  for (size_t r = 0; r < all.size(); ++r) {
    LOG(INFO) << "Rank " << r << " of " << all.size() << ": " << all[r];
  }
}

void LogBatch(const caffe::Solver<float>& solver, const caffe::Net<float>& net, int ranks) {
  // These give every rank the same images, or leave it to chance.
  const std::set<std::string> unshared = {"ImageData", "WindowData", "MemoryData", "DummyData",
                                          "Input"};
  const int passes = solver.param().iter_size();
  for (size_t i = 0; i < net.layers().size(); ++i) {
    if (!net.bottom_vecs()[i].empty() || net.top_vecs()[i].empty() ||
        net.top_vecs()[i][0]->num_axes() == 0) {
      continue;
    }
    const int batch = net.top_vecs()[i][0]->shape(0);
    LOG(INFO) << "Effective batch of layer '" << net.layer_names()[i] << "': " << batch
              << " x iter_size " << passes << " x " << ranks
              << " ranks = " << batch * passes * ranks
              << "; the learning rate stays as the solver has it";
    LOG_IF(WARNING, unshared.count(net.layers()[i]->type()))
        << "Layer '" << net.layer_names()[i] << "': a layer of type " << net.layers()[i]->type()
        << " knows nothing of ranks, so that all may get the same samples; Data, HDF5Data, "
        << "MultiLabelData and MultiLabelImageData give each its share.";
  }
}

void LogBuckets(const std::vector<Bucket>& buckets, const caffe::Net<float>& net) {
  size_t count = 0;
  for (size_t b = 0; b < buckets.size(); ++b) {
    count += buckets[b].count;
    LOG(INFO) << "Bucket " << b << ": " << buckets[b].count * sizeof(float)
              << " bytes, after layer '" << net.layer_names()[buckets[b].layer] << "'";
  }
  LOG(INFO) << "Gradients: " << count * sizeof(float) << " bytes an iteration in " << buckets.size()
            << " bucket(s)";
}

}  // namespace

ParallelTraining::ParallelTraining() {
  if (LaunchedProcesses() > 1) {
    ranks_.reset(new Ranks);
    if (!root()) {
      FLAGS_minloglevel = google::WARNING;
    }
  }
}

ParallelTraining::~ParallelTraining() {}

bool ParallelTraining::root() const { return !ranks_ || ranks_->rank() == 0; }

void ParallelTraining::ChooseGpu(std::vector<int>* gpus) const {
  if (ranks_ && !gpus->empty()) {
    LOG_IF(WARNING, static_cast<size_t>(ranks_->local_size()) != gpus->size())
        << ranks_->local_size() << " ranks of this machine take " << gpus->size()
        << " GPU(s) in turn; start as many as there are (-gpu all).";
    gpus->assign(1, (*gpus)[ranks_->local_rank() % gpus->size()]);
  }
}

void ParallelTraining::Configure(caffe::SolverParameter* param) const {
  if (!ranks_) {
    return;
  }
  Caffe::set_solver_count(ranks_->size());
  Caffe::set_solver_rank(ranks_->rank());
  Caffe::set_multiprocess(true);
  if (!root()) {
    // It gets them from rank 0, and need not have the files.
    param->clear_weights();
    param->clear_test_iter();
    param->clear_test_net();
    param->clear_test_net_param();
    param->clear_test_state();
  }
}

void ParallelTraining::Solve(caffe::Solver<float>* solver, const caffe::ActionCallback& signals) {
  if (!ranks_) {
    solver->Solve();
    return;
  }
  Handle(SIGTERM, &AsInterrupt);
  Handle(SIGUSR1, &AsInterrupt);
  Handle(SIGUSR2, &AsHangup);
  // An exception leaves it behind: its thread may be waiting for ranks that wait for this one.
  Member* member = new Member(ranks_.get(), solver, signals);
  LogRanks(ranks_.get());
  LogBatch(*solver, *solver->net(), ranks_->size());
  LogBuckets(member->buckets(), *solver->net());
  member->Solve();
  delete member;
}

}  // namespace caffe_ext
