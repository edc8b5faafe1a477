// Members of Solver that patches/31-exact-resume.patch declares: what a snapshot holds beyond stock
// Caffe's, so that training goes on as if it had never stopped.
#include "caffe/solver.hpp"

#include <unistd.h>

#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "caffe/resumable.hpp"
#include "caffe/util/rng.hpp"
#include "training/generator.hpp"
#include "training/snapshot_files.hpp"
#include "training/whole_file.hpp"

namespace caffe {

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

// The GPU's generator has no state that could be kept, so every snapshot gives it a new seed.
void SeedDevice(uint64_t seed) {
#ifndef CPU_ONLY
  CURAND_CHECK(curandSetPseudoRandomGeneratorSeed(Caffe::curand_generator(), seed));
  CURAND_CHECK(curandSetGeneratorOffset(Caffe::curand_generator(), 0));
#endif
}

}  // namespace

template <typename Dtype>
RankState Solver<Dtype>::SaveRank() const {
  RankState rank;
  rank.set_generator(caffe_ext::GeneratorState(*caffe_rng()));
  if (Caffe::mode() == Caffe::GPU) {
    // Another one for every snapshot, the same whether or not training stopped in between.
    rank.set_device_seed(static_cast<uint64_t>(iter_) * 0x9e3779b97f4a7c15ULL +
                         std::hash<string>()(rank.generator()) + Caffe::solver_rank());
  }
  // In the midst of a test, which will begin anew.
  for (const LayerState& state : before_test_) {
    *rank.add_layer() = state;
  }
  if (!before_test_.empty()) {
    return rank;
  }
  SaveLayers(*net_, kTrainNet, &rank);
  for (size_t i = 0; i < test_nets_.size(); ++i) {
    SaveLayers(*test_nets_[i], static_cast<int>(i), &rank);
  }
  return rank;
}

template <typename Dtype>
void Solver<Dtype>::CollectRanks() {
  ranks_.assign(1, SaveRank());
  for (size_t i = 0; i < callbacks_.size(); ++i) {
    callbacks_[i]->on_snapshot(&ranks_);
  }
  // This rank's own: on rank 0 of all, elsewhere the only one.
  if (ranks_[0].has_device_seed()) {
    SeedDevice(ranks_[0].device_seed());
  }
}

template <typename Dtype>
void Solver<Dtype>::FillResume(const string& model_filename, ResumeState* resume) {
  if (ranks_.empty()) {
    CollectRanks();  // a snapshot that somebody else than Step asked for
  }
  for (const RankState& rank : ranks_) {
    *resume->add_rank() = rank;
  }
  ranks_.clear();
  for (size_t i = 0; i < losses_.size(); ++i) {
    resume->add_loss(losses_[i]);
  }
  resume->set_smoothed_loss(losses_.empty() ? 0 : smoothed_loss_);
  resume->set_loss_start_iter(loss_start_iter_);
  const caffe_ext::Checksum net = caffe_ext::ChecksumOf(model_filename);
  resume->set_net_bytes(net.bytes);
  resume->set_net_crc(net.crc);
}

template <typename Dtype>
void Solver<Dtype>::WriteSolverState(SolverState* state, const string& filename,
                                     const string& model_filename) {
  FillResume(model_filename, state->mutable_resume());
  caffe_ext::WriteSolverStateFile(*state, filename);
}

template <typename Dtype>
string Solver<Dtype>::ResumeBytes(const string& model_filename) {
  ResumeState resume;
  FillResume(model_filename, &resume);
  return resume.SerializeAsString();
}

template <typename Dtype>
void Solver<Dtype>::ReadResume(const string& state_filename, const string& bytes) {
  if (!resume_.ParseFromString(bytes)) {
    throw caffe_ext::FileError(
        caffe_ext::NotWhole(state_filename, "its dataset 'resume' is damaged"));
  }
}

template <typename Dtype>
void Solver<Dtype>::GoOn() {
  const int rank = Caffe::solver_rank();
  if (resume_.rank_size() == 0) {
    LOG_IF(WARNING, Caffe::root_solver())
        << "The snapshot does not tell where the data and the random numbers stood (another Caffe "
        << "wrote it): they begin anew.";
    return;
  }
  if (resume_.loss_size() > 0 && resume_.loss_size() <= param_.average_loss() &&
      resume_.loss_start_iter() >= 0 && resume_.loss_start_iter() <= iter_) {
    losses_.assign(resume_.loss().begin(), resume_.loss().end());
    smoothed_loss_ = resume_.smoothed_loss();
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
void Solver<Dtype>::RestoreRank(const RankState& state) {
  for (const LayerState& layer : state.layer()) {
    string fault;
    if (layer.net() == kTrainNet) {
      fault = RestoreLayer(*net_, layer);
    } else if (layer.net() >= 0 && layer.net() < static_cast<int>(test_nets_.size())) {
      fault = RestoreLayer(*test_nets_[layer.net()], layer);
    } else {
      fault = "the solver has no such test net now";
    }
    LOG_IF(WARNING, !fault.empty())
        << "The data of layer '" << layer.layer() << "' begin anew: " << fault << ".";
  }
  // Last, as the layers' threads took random numbers for their start.
  if (!caffe_ext::SetGeneratorState(state.generator(), caffe_rng())) {
    LOG(WARNING) << "The snapshot's random numbers are damaged: they begin anew.";
  }
  if (state.has_device_seed() && Caffe::mode() == Caffe::GPU) {
    SeedDevice(state.device_seed());
  }
}

template <typename Dtype>
bool Solver<Dtype>::TrySnapshot() {
  const bool hdf5 = param_.snapshot_format() == SolverParameter::HDF5;
  const string model = SnapshotFilename(hdf5 ? ".caffemodel.h5" : ".caffemodel");
  const bool had_model = access(model.c_str(), F_OK) == 0;
  failed_ranks_ = ranks_;
  try {
    Snapshot();
    last_snapshot_ = SnapshotFilename(hdf5 ? ".solverstate.h5" : ".solverstate");
    failed_ranks_.clear();
    return true;
  } catch (const caffe_ext::FileError& error) {
    ranks_.clear();
    if (!had_model) {
      unlink(model.c_str());  // weights without a solverstate only take room
    }
    std::ostringstream text;
    text << "No snapshot of iteration " << iter_ << ": " << error.what() << ".";
    if (!last_snapshot_.empty()) {
      text << " The last good one is " << last_snapshot_ << ".";
    }
    if (param_.snapshot()) {
      text << " Training goes on; the next try is at iteration "
           << (iter_ / param_.snapshot() + 1) * param_.snapshot() << ".";
    }
    LOG(ERROR) << text.str();
    return false;
  }
}

template <typename Dtype>
void Solver<Dtype>::FinalSnapshot() {
  const int kLongest = 128;
  for (int wait = 1;; wait *= 2) {
    const vector<RankState> ranks = ranks_;
    try {
      Snapshot();
      return;
    } catch (const caffe_ext::FileError& error) {
      if (wait > kLongest) {
        throw;
      }
      LOG(ERROR) << "The last snapshot fails: " << error.what() << ". Next try in " << wait
                 << " s; Ctrl-C gives up.";
      ranks_ = ranks;
      for (int second = 0; second < wait; ++second) {
        if (GetRequestedAction() == SolverAction::STOP) {
          throw;
        }
        sleep(1);
      }
    }
  }
}

#define INSTANTIATE_MEMBERS(Dtype)                                                           \
  template RankState Solver<Dtype>::SaveRank() const;                                        \
  template void Solver<Dtype>::CollectRanks();                                               \
  template bool Solver<Dtype>::TrySnapshot();                                                \
  template void Solver<Dtype>::FinalSnapshot();                                              \
  template void Solver<Dtype>::WriteSolverState(SolverState*, const string&, const string&); \
  template string Solver<Dtype>::ResumeBytes(const string&);                                 \
  template void Solver<Dtype>::ReadResume(const string&, const string&);                     \
  template void Solver<Dtype>::GoOn();                                                       \
  template void Solver<Dtype>::RestoreRank(const RankState&);                                \
  template void Solver<Dtype>::FillResume(const string&, ResumeState*)

INSTANTIATE_MEMBERS(float);
INSTANTIATE_MEMBERS(double);

}  // namespace caffe
