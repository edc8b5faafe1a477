// What a snapshot holds beyond stock Caffe's, so that training goes on as if it had never stopped.
#include "caffe/solver.hpp"

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "caffe/resumable.hpp"
#include "caffe/sgd_solvers.hpp"
#include "caffe/util/rng.hpp"
#include "engines/gemm_math.hpp"
#include "members.hpp"
#include "recipe/recipe.hpp"
#include "training/generator.hpp"
#include "training/hdf5_in_memory.hpp"
#include "training/snapshot_files.hpp"
#include "training/test_pass.hpp"
#include "training/whole_file.hpp"

namespace caffe_ext {

using caffe::Caffe;
using caffe::Layer;
using caffe::LayerState;
using caffe::Net;
using caffe::RankState;
using caffe::Resumable;
using caffe::ResumeState;
using caffe::SolverParameter;
using caffe::SolverState;
using std::string;
using std::vector;

namespace {

const int kTrainNet = -1;

// Types that read data without telling where they are.
bool ReadsUntold(const string& type) { return type == "MemoryData" || type == "Python"; }

template <typename Dtype>
void SaveLayers(const Net<Dtype>& net, int number, RankState* rank) {
  for (size_t i = 0; i < net.layers().size(); ++i) {
    Layer<Dtype>* layer = net.layers()[i].get();
    const Resumable* resumable = dynamic_cast<const Resumable*>(layer);
    LayerState state;
    if ((resumable && resumable->SaveState(&state)) || ReadsUntold(layer->type())) {
      state.set_net(number);
      state.set_layer(net.layer_names()[i]);
      state.set_type(layer->type());
      *rank->add_layer() = state;
    }
  }
}

// The name of the layer that has the weights of a history. A solver with several histories keeps
// them one after another.
template <typename Dtype>
string LayerOfHistory(const Net<Dtype>& net, size_t history) {
  const auto& weights = net.learnable_params();
  const caffe::Blob<Dtype>* wanted = weights[history % weights.size()];
  for (size_t i = 0; i < net.layers().size(); ++i) {
    for (const auto& blob : net.layers()[i]->blobs()) {
      if (blob.get() == wanted) {
        return net.layer_names()[i];
      }
    }
  }
  return string();
}

// Returns why the layer's data begin anew, or "".
template <typename Dtype>
string RestoreLayer(const Net<Dtype>& net, const LayerState& state) {
  if (!net.has_layer(state.layer())) {
    return "the net has no such layer now";
  }
  Layer<Dtype>* layer = net.layer_by_name(state.layer()).get();
  Resumable* resumable = dynamic_cast<Resumable*>(layer);
  if (!state.has_position() || !resumable) {
    return "layers of type " + state.type() + " do not tell where they are in their data";
  }
  if (layer->type() != state.type()) {
    return string("it is of type ") + layer->type() + " now, not " + state.type();
  }
  return resumable->RestoreState(state);
}

// What solvers that read a solverstate keep for each parameter.
template <typename Dtype>
vector<boost::shared_ptr<caffe::Blob<Dtype> > > HistoryOf(caffe::Solver<Dtype>* solver) {
  caffe::SGDSolver<Dtype>* sgd = dynamic_cast<caffe::SGDSolver<Dtype>*>(solver);
  CHECK(sgd) << "solvers of type " << solver->type() << " keep their history in a way of their own";
  return sgd->history();
}

// The GPU's generator has no state that could be kept, so every snapshot gives it a new seed.
void SeedDevice(uint64_t seed) {
#ifndef CPU_ONLY
  CURAND_CHECK(curandSetPseudoRandomGeneratorSeed(Caffe::curand_generator(), seed));
  CURAND_CHECK(curandSetGeneratorOffset(Caffe::curand_generator(), 0));
#endif
}

}  // namespace

template <typename Dtype>
RankState SolverExtension<Dtype>::SaveRank() const {
  RankState rank;
  rank.set_generator(GeneratorState(*caffe::caffe_rng()));
  if (Caffe::mode() == Caffe::GPU) {
    // Another one for every snapshot, the same whether or not training stopped in between.
    rank.set_device_seed(static_cast<uint64_t>(solver()->iter_) * 0x9e3779b97f4a7c15ULL +
                         std::hash<string>()(rank.generator()) + Caffe::solver_rank());
  }
  // In the midst of a test, which will begin anew.
  for (const LayerState& state : before_test_) {
    *rank.add_layer() = state;
  }
  if (!before_test_.empty()) {
    return rank;
  }
  SaveLayers(*solver()->net_, kTrainNet, &rank);
  for (size_t i = 0; i < solver()->test_nets_.size(); ++i) {
    SaveLayers(*solver()->test_nets_[i], static_cast<int>(i), &rank);
  }
  return rank;
}

template <typename Dtype>
void SolverExtension<Dtype>::CollectRanks() {
  ranks_.assign(1, SaveRank());
  for (size_t i = 0; i < solver()->callbacks_.size(); ++i) {
    solver()->callbacks_[i]->on_snapshot(&ranks_);
  }
  // This rank's own: on rank 0 of all, elsewhere the only one.
  if (ranks_[0].has_device_seed()) {
    SeedDevice(ranks_[0].device_seed());
  }
}

template <typename Dtype>
void SolverExtension<Dtype>::FillResume(const string& model_filename, ResumeState* resume) {
  if (ranks_.empty()) {
    CollectRanks();  // a snapshot that somebody else than Step asked for
  }
  for (const RankState& rank : ranks_) {
    *resume->add_rank() = rank;
  }
  ranks_.clear();
  for (size_t i = 0; i < solver()->losses_.size(); ++i) {
    resume->add_loss(solver()->losses_[i]);
  }
  resume->set_smoothed_loss(solver()->losses_.empty() ? 0 : solver()->smoothed_loss_);
  resume->set_loss_start_iter(loss_start_iter_);
  const Checksum net = ChecksumOf(model_filename);
  resume->set_net_bytes(net.bytes);
  resume->set_net_crc(net.crc);
}

template <typename Dtype>
void SolverExtension<Dtype>::WriteSolverState(SolverState* state, const string& filename,
                                              const string& model_filename) {
  FillResume(model_filename, state->mutable_resume());
  WriteSolverStateFile(*state, filename);
}

template <typename Dtype>
void SolverExtension<Dtype>::WriteSolverState(hid_t file, const string& filename,
                                              const string& model_filename) {
  ResumeState resume;
  FillResume(model_filename, &resume);
  SaveBytes(file, kResumeDataset, resume.SerializeAsString());
  WriteHdf5(file, filename);
}

template <typename Dtype>
void SolverExtension<Dtype>::ReadSolverState(const string& filename, SolverState* state) {
  caffe_ext::ReadSolverState(filename, state);
  const auto history = HistoryOf(solver());
  CheckHistorySize(filename, solver()->type(), state->history_size(),
                   static_cast<int>(history.size()));
  for (size_t i = 0; i < history.size(); ++i) {
    CHECK(history[i]->ShapeEquals(state->history(static_cast<int>(i))))
        << filename << ": the history of layer '" << LayerOfHistory(*solver()->net(), i)
        << "' has another shape than the layer's weights, " << history[i]->shape_string()
        << "; the snapshot is of another net";
  }
  resume_ = state->resume();
  if (state->has_learned_net()) {
    state->set_learned_net(FindLearnedNet(filename, state->learned_net()));
  }
}

template <typename Dtype>
hid_t SolverExtension<Dtype>::OpenSolverState(const string& filename) {
  const hid_t file = OpenSolverStateHdf5(filename);
  CheckHistorySize(filename, solver()->type(), CountHistory(file),
                   static_cast<int>(HistoryOf(solver()).size()));
  if (!resume_.ParseFromString(LoadBytes(file, kResumeDataset))) {
    throw FileError(NotWhole(filename, "its dataset 'resume' is damaged"));
  }
  return file;
}

template <typename Dtype>
string SolverExtension<Dtype>::FindLearnedNet(const string& state_filename,
                                              const string& learned_net) {
  return caffe_ext::FindLearnedNet(state_filename, learned_net, resume_);
}

template <typename Dtype>
void SolverExtension<Dtype>::BeginStep() {
  if (!losses_restored_) {
    loss_start_iter_ = solver()->iter_;
    solver()->losses_.clear();
    solver()->smoothed_loss_ = 0;
  }
  losses_restored_ = false;
  before_test_.clear();  // of a test that was stopped, and begins anew
  SetGemmMath(solver()->param());
}

template <typename Dtype>
SolverExtension<Dtype>::Testing::Testing(SolverExtension* extension)
    : extension_(extension),
      test_iter_(extension->solver()->param().test_iter().begin(),
                 extension->solver()->param().test_iter().end()) {
  const RankState before = extension->SaveRank();
  extension->before_test_.assign(before.layer().begin(), before.layer().end());
}

template <typename Dtype>
SolverExtension<Dtype>::Testing::~Testing() {
  extension_->EndTests(test_iter_);
}

template <typename Dtype>
void SolverExtension<Dtype>::BeginTest(int test_net) {
  SolverParameter* param = &solver()->param_;
  param->set_test_iter(test_net,
                       BeginTestPass(*solver()->test_nets_[test_net], param->test_iter(test_net)));
}

template <typename Dtype>
void SolverExtension<Dtype>::EndTests(const vector<int>& test_iter) {
  std::copy(test_iter.begin(), test_iter.end(), solver()->param_.mutable_test_iter()->begin());
  if (!solver()->requested_early_exit_) {
    before_test_.clear();
  }
}

template <typename Dtype>
void SolverExtension<Dtype>::CompleteRecipe() {
  caffe_ext::CompleteRecipe(*solver()->net_, solver()->param_, solver()->iter_,
                            solver()->net_->mutable_recipe());
}

template <typename Dtype>
void SolverExtension<Dtype>::GoOn(const string& state_filename) {
  last_snapshot_ = state_filename;
  const int rank = Caffe::solver_rank();
  if (resume_.rank_size() == 0) {
    LOG_IF(WARNING, Caffe::root_solver())
        << "The snapshot does not tell where the data and the random numbers stood (another Caffe "
        << "wrote it): they begin anew.";
    return;
  }
  if (resume_.loss_size() > 0 && resume_.loss_size() <= solver()->param_.average_loss() &&
      resume_.loss_start_iter() >= 0 && resume_.loss_start_iter() <= solver()->iter_) {
    solver()->losses_.assign(resume_.loss().begin(), resume_.loss().end());
    solver()->smoothed_loss_ = resume_.smoothed_loss();
    loss_start_iter_ = resume_.loss_start_iter();
    losses_restored_ = true;
  }
  if (resume_.rank_size() != Caffe::solver_count()) {
    LOG_IF(WARNING, Caffe::root_solver())
        << "The snapshot is of " << resume_.rank_size() << " solvers, and there are "
        << Caffe::solver_count() << " now: data and random numbers begin anew.";
    return;
  }
  RestoreRank(resume_.rank(rank));
}

template <typename Dtype>
void SolverExtension<Dtype>::RestoreRank(const RankState& state) {
  for (const LayerState& layer : state.layer()) {
    string fault;
    if (layer.net() == kTrainNet) {
      fault = RestoreLayer(*solver()->net_, layer);
    } else if (layer.net() >= 0 && layer.net() < static_cast<int>(solver()->test_nets_.size())) {
      fault = RestoreLayer(*solver()->test_nets_[layer.net()], layer);
    } else {
      fault = "the solver has no such test net now";
    }
    LOG_IF(WARNING, !fault.empty())
        << "The data of layer '" << layer.layer() << "' begin anew: " << fault << ".";
  }
  // Last, as the layers' threads took random numbers for their start.
  if (!SetGeneratorState(state.generator(), caffe::caffe_rng())) {
    LOG(WARNING) << "The snapshot's random numbers are damaged: they begin anew.";
  }
  if (state.has_device_seed() && Caffe::mode() == Caffe::GPU) {
    SeedDevice(state.device_seed());
  }
}

template <typename Dtype>
bool SolverExtension<Dtype>::TrySnapshot() {
  const bool hdf5 = solver()->param_.snapshot_format() == SolverParameter::HDF5;
  const string model = solver()->SnapshotFilename(hdf5 ? ".caffemodel.h5" : ".caffemodel");
  const bool had_model = access(model.c_str(), F_OK) == 0;
  failed_ranks_ = ranks_;
  try {
    solver()->Snapshot();
    last_snapshot_ = solver()->SnapshotFilename(hdf5 ? ".solverstate.h5" : ".solverstate");
    failed_ranks_.clear();
    return true;
  } catch (const FileError& error) {
    ranks_.clear();
    if (!had_model) {
      unlink(model.c_str());  // weights without a solverstate only take room
    }
    std::ostringstream text;
    text << "No snapshot of iteration " << solver()->iter_ << ": " << error.what() << ".";
    if (!last_snapshot_.empty()) {
      text << " The last good one is " << last_snapshot_ << ".";
    }
    if (solver()->param_.snapshot()) {
      text << " Training goes on; the next try is at iteration "
           << (solver()->iter_ / solver()->param_.snapshot() + 1) * solver()->param_.snapshot()
           << ".";
    }
    LOG(ERROR) << text.str();
    return false;
  }
}

template <typename Dtype>
void SolverExtension<Dtype>::SnapshotOfAll() {
  CollectRanks();
  if (Caffe::root_solver()) {
    TrySnapshot();
  }
}

template <typename Dtype>
void SolverExtension<Dtype>::FinalSnapshot() {
  CollectRanks();
  SnapshotUntilWritten();
}

template <typename Dtype>
void SolverExtension<Dtype>::RetrySnapshot() {
  if (solver()->param_.snapshot_after_train() && !failed_ranks_.empty()) {
    ranks_ = failed_ranks_;
    SnapshotUntilWritten();
  }
}

template <typename Dtype>
void SolverExtension<Dtype>::SnapshotUntilWritten() {
  const int kLongest = 128;
  for (int wait = 1;; wait *= 2) {
    const vector<RankState> ranks = ranks_;
    try {
      solver()->Snapshot();
      return;
    } catch (const FileError& error) {
      if (wait > kLongest) {
        throw;
      }
      LOG(ERROR) << "The last snapshot fails: " << error.what() << ". Next try in " << wait
                 << " s; Ctrl-C gives up.";
      ranks_ = ranks;
      for (int second = 0; second < wait; ++second) {
        if (solver()->GetRequestedAction() == caffe::SolverAction::STOP) {
          throw;
        }
        sleep(1);
      }
    }
  }
}

// Those of watch.cpp are instantiated there.
#define INSTANTIATE_MEMBERS(Dtype)                                                             \
  template RankState SolverExtension<Dtype>::SaveRank() const;                                 \
  template void SolverExtension<Dtype>::CollectRanks();                                        \
  template bool SolverExtension<Dtype>::TrySnapshot();                                         \
  template void SolverExtension<Dtype>::BeginStep();                                           \
  template void SolverExtension<Dtype>::SnapshotOfAll();                                       \
  template void SolverExtension<Dtype>::FinalSnapshot();                                       \
  template void SolverExtension<Dtype>::RetrySnapshot();                                       \
  template class SolverExtension<Dtype>::Testing;                                              \
  template void SolverExtension<Dtype>::BeginTest(int);                                        \
  template void SolverExtension<Dtype>::CompleteRecipe();                                      \
  template void SolverExtension<Dtype>::GoOn(const string&);                                   \
  template void SolverExtension<Dtype>::WriteSolverState(SolverState*, const string&,          \
                                                         const string&);                       \
  template void SolverExtension<Dtype>::WriteSolverState(hid_t, const string&, const string&); \
  template void SolverExtension<Dtype>::ReadSolverState(const string&, SolverState*);          \
  template hid_t SolverExtension<Dtype>::OpenSolverState(const string&);                       \
  template string SolverExtension<Dtype>::FindLearnedNet(const string&, const string&);        \
  template void SolverExtension<Dtype>::RestoreRank(const RankState&)

INSTANTIATE_MEMBERS(float);
INSTANTIATE_MEMBERS(double);

}  // namespace caffe_ext

namespace caffe {

#define DEFINE_MEMBERS(Dtype)                                                             \
  template <>                                                                             \
  void Solver<Dtype>::UpdateSmoothedLoss(Dtype loss, int, int average_loss) {             \
    const int count = static_cast<int>(losses_.size());                                   \
    if (count < average_loss) {                                                           \
      losses_.push_back(loss);                                                            \
      smoothed_loss_ = (smoothed_loss_ * count + loss) / (count + 1);                     \
    } else {                                                                              \
      Dtype& oldest = losses_[(iter_ - loss_start_iter_) % average_loss];                 \
      smoothed_loss_ += (loss - oldest) / average_loss;                                   \
      oldest = loss;                                                                      \
    }                                                                                     \
  }                                                                                       \
  template <>                                                                             \
  void Solver<Dtype>::TestAll() {                                                         \
    const Testing testing(this);                                                          \
    for (size_t i = 0; i < test_nets_.size() && !requested_early_exit_; ++i) {            \
      Test(static_cast<int>(i));                                                          \
    }                                                                                     \
  }                                                                                       \
  template <>                                                                             \
  void Solver<Dtype>::Snapshot() {                                                        \
    CHECK(Caffe::root_solver());                                                          \
    CompleteRecipe();                                                                     \
    const bool hdf5 = param_.snapshot_format() == SolverParameter::HDF5;                  \
    SnapshotSolverState(hdf5 ? SnapshotToHDF5() : SnapshotToBinaryProto());               \
  }                                                                                       \
  template <>                                                                             \
  string Solver<Dtype>::SnapshotFilename(const string& extension) {                       \
    return param_.snapshot_prefix() + "_iter_" + std::to_string(iter_) + snapshot_mark_ + \
           extension;                                                                     \
  }                                                                                       \
  template <>                                                                             \
  void Solver<Dtype>::Restore(const char* state_file) {                                   \
    const string name(state_file);                                                        \
    if (name.size() >= 3 && name.compare(name.size() - 3, 3, ".h5") == 0) {               \
      RestoreSolverStateFromHDF5(name);                                                   \
    } else {                                                                              \
      RestoreSolverStateFromBinaryProto(name);                                            \
    }                                                                                     \
    GoOn(name);                                                                           \
  }

DEFINE_MEMBERS(float)
DEFINE_MEMBERS(double)
#undef DEFINE_MEMBERS

}  // namespace caffe
