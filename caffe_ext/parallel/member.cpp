#include "parallel/member.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <vector>

#include "caffe/sgd_solvers.hpp"
#include "parallel/buckets.hpp"

namespace caffe_ext {

namespace {

// What ranks may wish for. kNow: rank 0 is in a test, so before the iteration, not after it.
const unsigned kStop = 1, kSnapshot = 2, kNow = 4;

// 4 MB of gradients: large enough for the network's full speed, small enough that a net has
// several.
const size_t kBucket = 1 << 20;

// For fc8 of models/drml, each image more takes the update 1.5 ms on two cores; the sum of its 191
// MB takes 300 ms over 10 Gbit/s.
const int kMostFactored = 64;

int MostFactored() {
  const char* const given = getenv("CAFFE_FACTORED_IMAGES");
  if (given == NULL) {
    return kMostFactored;
  }
  char* end = NULL;
  const int64_t images = strtol(given, &end, 10);
  CHECK(end != given && *end == 0 && images >= 0 && images <= 10000)
      << "CAFFE_FACTORED_IMAGES is '" << given << "': give a number of images from 0 to 10000, or "
      << "unset it for " << kMostFactored << ".";
  return static_cast<int>(images);
}

// Seconds in which rank 0 says why all stop, and ends the others by it.
const int kFarewell = 5;

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The solver keeps these to itself and those that inherit from it.
struct Access : caffe::Solver<float> {
  static int& iter(caffe::Solver<float>* solver) { return solver->*(&Access::iter_); }
  static int& current_step(caffe::Solver<float>* solver) {
    return solver->*(&Access::current_step_);
  }
  /// What the snapshot held that the solver goes on from.
  static const caffe::ResumeState& resumed(caffe::Solver<float>* solver) {
    return solver->*(&Access::resume_);
  }
  static void Restore(caffe::Solver<float>* solver, const caffe::RankState& state) {
    (solver->*(&Access::RestoreRank))(state);
  }
};

// FNV-1a.
uint64_t Hash(const void* bytes, size_t size, uint64_t hash = 0xcbf29ce484222325ULL) {
  for (size_t i = 0; i < size; ++i) {
    hash = (hash ^ static_cast<const unsigned char*>(bytes)[i]) * 0x100000001b3ULL;
  }
  return hash;
}

std::vector<caffe::Blob<float>*> History(caffe::Solver<float>* solver) {
  std::vector<caffe::Blob<float>*> blobs;
  caffe::SGDSolver<float>* sgd = dynamic_cast<caffe::SGDSolver<float>*>(solver);
  CHECK(sgd) << "Solver " << solver->type()
             << " keeps its history in a way that ranks cannot share.";
  for (size_t i = 0; i < sgd->history().size(); ++i) {
    blobs.push_back(sgd->history()[i].get());
  }
  return blobs;
}

std::vector<Bucket> Buckets(caffe::Solver<float>* solver) {
  // Clipping takes the norm of all gradients, frozen layers' included.
  const bool frozen = solver->param().clip_gradients() >= 0;
  return FillBuckets(GradientsOf(*solver->net(), frozen), kBucket);
}

}  // namespace

Member::Member(Ranks* ranks, caffe::Solver<float>* solver, const caffe::ActionCallback& signals)
    : ranks_(ranks),
      solver_(solver),
      signals_(signals),
      gradients_(ranks, solver->net().get(), Buckets(solver), solver->param().iter_size(),
                 MostFactored()),
      agreed_(0),
      pending_(0),
      in_iteration_(false),
      starting_(0),
      shown_() {
  solver_->add_callback(this);
  solver_->net()->add_after_backward(&gradients_);
}

void Member::Solve() {
  CheckSameNet();
  TakeStateOfRank0();
  const Costs begin = shown_ = CostsNow();
  if (ranks_->rank() == 0) {
    solver_->SetActionFunction([this]() { return Action(); });
    solver_->Solve();
  } else {
    solver_->SetActionFunction([]() { return caffe::SolverAction::NONE; });
    Follow();
  }
  Report("In all, tests and snapshots included", begin);
  CompareWeights();
}

// A rank with another net would wait for ever, or add up what does not belong together.
void Member::CheckSameNet() {
  const caffe::SolverParameter& param = solver_->param();
  std::string text;
  for (int value : {param.iter_size(), param.max_iter(), param.snapshot(), param.test_interval()}) {
    text += std::to_string(value) + " ";
  }
  text += param.clip_gradients() >= 0 ? "clip " : "";
  text += param.stop_at_nonfinite_loss() ? "stop " : "";
  const caffe::Net<float>& net = *solver_->net();
  for (size_t i = 0; i < net.layers().size(); ++i) {
    text += net.layer_names()[i] + " " + net.layers()[i]->type() + " ";
  }
  for (size_t i = 0; i < net.learnable_params().size(); ++i) {
    text += net.learnable_params()[i]->shape_string() + std::to_string(net.params_lr()[i]) + " ";
  }
  const uint64_t mine = Hash(text.data(), text.size());
  uint64_t hash = mine;
  ranks_->Broadcast(&hash);
  CHECK_EQ(hash, mine) << "This rank's solver or net is not that of rank 0: give every machine the "
                          "same files.";
}

void Member::TakeStateOfRank0() {
  uint64_t iter = solver_->iter(), step = Access::current_step(solver_);
  ranks_->Broadcast(&iter);
  ranks_->Broadcast(&step);
  Access::iter(solver_) = static_cast<int>(iter);
  Access::current_step(solver_) = static_cast<int>(step);
  std::vector<caffe::Blob<float>*> blobs = solver_->net()->learnable_params();
  const std::vector<caffe::Blob<float>*> history = History(solver_);
  blobs.insert(blobs.end(), history.begin(), history.end());
  for (caffe::Blob<float>* blob : blobs) {
    ranks_->Broadcast(blob->mutable_cpu_data(), blob->count());
  }
  // Rank 0 has its own by now; a snapshot of another number of ranks is told there.
  std::vector<std::string> states;
  const caffe::ResumeState& resumed = Access::resumed(solver_);
  if (resumed.rank_size() == ranks_->size()) {
    for (const caffe::RankState& state : resumed.rank()) {
      states.push_back(state.SerializeAsString());
    }
  }
  uint64_t restored = !states.empty();
  ranks_->Broadcast(&restored);
  if (restored) {
    caffe::RankState state;
    CHECK(state.ParseFromString(ranks_->Scatter(states)));
    if (ranks_->rank() > 0) {
      Access::Restore(solver_, state);
    }
  }
}

unsigned Member::Signals() {
  unsigned bits = pending_;
  switch (signals_()) {
    case caffe::SolverAction::STOP:
      bits |= kStop;
      break;
    case caffe::SolverAction::SNAPSHOT:
      bits |= kSnapshot;
      break;
    case caffe::SolverAction::NONE:
      break;
  }
  return bits;
}

void Member::Agree(unsigned bits) {
  agreed_ = ranks_->AnyOf(bits);
  // A solver is told one action at a time.
  pending_ = agreed_ & kSnapshot ? agreed_ & kStop : 0;
  agreed_ &= ~pending_;
  if (agreed_ & kNow && agreed_ & (kStop | kSnapshot)) {
    GatherStates();
    if (ranks_->rank() > 0) {
      solver_->CollectRanks();  // as rank 0 will; elsewhere Step does it
    }
  }
}

void Member::on_start() {
  if (ranks_->rank() == 0) {
    const double begin = Seconds();
    Agree(Signals());
    starting_ += Seconds() - begin;
    in_iteration_ = true;
  }
  gradients_.Start();
}

std::string Member::on_loss(const std::string& fault) {
  gradients_.Finish();
  if (ranks_->AnyOf(!fault.empty()) == 0) {
    return std::string();
  }
  GatherStates();
  const std::vector<std::string> faults = ranks_->Gather(fault);
  for (size_t r = 0; r < faults.size(); ++r) {
    if (!faults[r].empty()) {
      return "Rank " + std::to_string(r) + ": " + faults[r];
    }
  }
  return fault.empty() ? "The loss of another rank is not finite." : fault;
}

void Member::on_wrong_loss() {
  ranks_->AnyOf(0);
  if (ranks_->rank() > 0) {
    sleep(kFarewell);
  }
}

void Member::on_gradients_ready() {
  const caffe::SolverParameter& param = solver_->param();
  gradients_.Finish();
  // What comes after the update. That changes nothing of what is prepared here.
  const int next = solver_->iter() + 1;
  const bool last = next >= param.max_iter() || agreed_ & (kStop | kSnapshot);
  const bool snapshot = last || (param.snapshot() && next % param.snapshot() == 0);
  if (snapshot || (param.test_interval() && next % param.test_interval() == 0)) {
    AverageStatistics();
  }
  if (snapshot) {
    GatherStates();
  }
  if (param.display() && solver_->iter() % param.display() == 0) {
    Report("Ranks", shown_);
    shown_ = CostsNow();
  }
}

caffe::SolverAction::Enum Member::Action() {
  if (!in_iteration_) {
    const unsigned bits = Signals();
    if (solver_->iter() >= solver_->param().max_iter()) {
      // In the last test: the others are done, and the snapshot is written.
      return bits & kStop ? caffe::SolverAction::STOP : caffe::SolverAction::NONE;
    }
    if (bits == 0) {
      return caffe::SolverAction::NONE;
    }
    Agree(bits | kNow);
  }
  in_iteration_ = false;
  if (agreed_ & kSnapshot) {
    return caffe::SolverAction::SNAPSHOT;
  }
  return agreed_ & kStop ? caffe::SolverAction::STOP : caffe::SolverAction::NONE;
}

void Member::Follow() {
  while (solver_->iter() < solver_->param().max_iter()) {
    Agree(Signals());
    if (!(agreed_ & kNow)) {
      solver_->Step(1);
      if (agreed_ & kSnapshot) {
        solver_->CollectRanks();  // as rank 0, whose Step was told of it
      }
    }
    if (agreed_ & kStop) {
      return;
    }
  }
}

// Statistics that a layer's forward pass keeps (BatchNorm, Region) are blobs with lr_mult 0, as
// frozen weights are. Rank 0's value plus the mean difference from it is exact for the latter.
void Member::AverageStatistics() {
  const caffe::Net<float>& net = *solver_->net();
  for (size_t i = 0; i < net.learnable_params().size(); ++i) {
    if (net.params_lr()[i] != 0) {
      continue;
    }
    caffe::Blob<float>* blob = net.learnable_params()[i];
    const int count = blob->count();
    float* values = blob->mutable_cpu_data();
    std::vector<float> first(values, values + count), difference(count);
    ranks_->Broadcast(first.data(), count);
    for (int k = 0; k < count; ++k) {
      difference[k] = values[k] - first[k];
    }
    ranks_->Sum(difference.data(), count);
    for (int k = 0; k < count; ++k) {
      values[k] = first[k] + difference[k] / ranks_->size();
    }
  }
}

void Member::GatherStates() {
  state_ = solver_->SaveRank();
  states_ = ranks_->Gather(state_.SerializeAsString());
}

void Member::on_snapshot(std::vector<caffe::RankState>* states) {
  states->assign(1, state_);
  for (size_t r = 1; r < states_.size(); ++r) {
    states->push_back(caffe::RankState());
    CHECK(states->back().ParseFromString(states_[r]));
  }
}

// Equal gradients and equal code keep weights equal; machines of different kinds may not.
void Member::CompareWeights() {
  uint64_t hash = Hash(NULL, 0);
  for (caffe::Blob<float>* blob : solver_->net()->learnable_params()) {
    hash = Hash(blob->cpu_data(), blob->count() * sizeof(float), hash);
  }
  const std::vector<std::string> all =
      ranks_->Gather(std::string(reinterpret_cast<const char*>(&hash), sizeof(hash)));
  for (size_t r = 1; r < all.size(); ++r) {
    if (all[r] != all[0]) {
      LOG(WARNING) << "Rank " << r << " ends with other weights than rank 0: the machines compute "
                   << "differently. Rank 0's are those of the snapshot.";
      return;
    }
  }
  LOG(INFO) << "All ranks end with the same weights.";
}

Member::Costs Member::CostsNow() {
  return Costs{solver_->iter(), Seconds(), starting_, gradients_.times()};
}

void Member::Report(const std::string& what, const Costs& since) {
  const Costs now = CostsNow();
  const int iterations = now.iterations - since.iterations;
  if (iterations == 0) {
    return;
  }
  const double ms = 1000. / iterations;
  LOG(INFO) << what << ": " << ms * (now.seconds - since.seconds) << " ms an iteration, of which "
            << ms * (now.starting - since.starting) << " ms waiting for ranks to begin and "
            << ms * (now.gradients.waiting - since.gradients.waiting)
            << " ms for gradients, whose sums took "
            << ms * (now.gradients.summing - since.gradients.summing)
            << " ms in all; each rank gave "
            << (now.gradients.bytes - since.gradients.bytes) / iterations << " bytes an iteration, "
            << (now.gradients.factored - since.gradients.factored) / iterations
            << " bucket(s) as factors";
}

}  // namespace caffe_ext
