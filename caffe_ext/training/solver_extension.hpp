// The part of a solver that makes trainings resumable and stops those that diverge.
#ifndef CAFFE_EXT_TRAINING_SOLVER_EXTENSION_HPP_
#define CAFFE_EXT_TRAINING_SOLVER_EXTENSION_HPP_

#include <hdf5.h>

#include <string>
#include <vector>

#include "caffe/proto/caffe.pb.h"

namespace caffe {
template <typename Dtype>
class Solver;
}  // namespace caffe

namespace caffe_ext {

/// Base of Solver::Callback: what several ranks have to agree on.
class SolverCallback {
 protected:
  virtual ~SolverCallback() {}
  /// Behind the backward pass: `fault` tells what is wrong with this rank's loss, "" if nothing is.
  /// Returns "" where no rank's is wrong; rank 0 is to have what the others tell.
  virtual std::string on_loss(const std::string& fault) { return fault; }
  /// Behind a loss that was wrong, when rank 0 has kept what there is, and before all stop.
  virtual void on_wrong_loss() {}
  /// Before a snapshot: `states` holds this rank's; rank 0 is to have those of all, in their order.
  virtual void on_snapshot(std::vector<caffe::RankState>* states) {}

  template <typename Dtype>
  friend class SolverExtension;
};

/**
 * @brief Base of Solver (patches/31-exact-resume.patch). A snapshot holds all that a run needs to
 * go on exactly, one that cannot be written does not end the training, and a loss that is not
 * finite does.
 *
 * solver.cpp and watch.cpp hold the definitions.
 */
template <typename Dtype>
class SolverExtension {
 public:
  /// What this rank needs to go on from here exactly.
  caffe::RankState SaveRank() const;
  /// To be called by every rank, before rank 0 takes a snapshot.
  void CollectRanks();
  /// Takes a snapshot; where it cannot be written, says so and returns false. For rank 0.
  bool TrySnapshot();

 protected:
  SolverExtension() {}
  ~SolverExtension() {}

  // --- What Solver::Step, Solve, TestAll, Test and Restore call.

  /// At the start of Step: the losses that are averaged begin anew, or as the snapshot has them.
  void BeginStep();
  /// A snapshot in the midst of training: of all ranks, by rank 0.
  void SnapshotOfAll();
  /// The one after the last iteration, or, where that has been taken and failed, another try: waits
  /// for a while where it cannot be written, then throws.
  void FinalSnapshot();
  void RetrySnapshot();
  /// Stops training where the loss is not finite; see SolverParameter.stop_at_nonfinite_loss.
  void CheckLoss(Dtype loss);

  /// Lives as long as a test of all nets: a snapshot that is taken meanwhile has the places in the
  /// data from before it, as a test that is stopped begins anew.
  class Testing {
   public:
    explicit Testing(SolverExtension* extension);
    ~Testing();

   private:
    SolverExtension* const extension_;
    const std::vector<int> test_iter_;  // the solver's, which BeginTest changes
  };
  /// Begins a test of one net: its data begin at the first record, and a test_iter of 0 becomes the
  /// number of batches (test_pass.hpp) for as long as it takes.
  void BeginTest(int test_net);

  /// Before a snapshot: tells the net's recipe how it was trained.
  void CompleteRecipe();

  /// After the state of a file was restored: goes on where that snapshot says.
  void GoOn(const std::string& state_filename);

  // --- What SGDSolver calls to write and read its state.

  /// Writes a binary solverstate: what the solver keeps in `state`, and our own part of it.
  void WriteSolverState(caffe::SolverState* state, const std::string& filename,
                        const std::string& model_filename);
  /// The same for an HDF5 file in memory (hdf5_in_memory.hpp), which it closes.
  void WriteSolverState(hid_t file, const std::string& filename, const std::string& model_filename);
  /// Reads a solverstate, and says where its weights are now.
  void ReadSolverState(const std::string& filename, caffe::SolverState* state);
  hid_t OpenSolverState(const std::string& filename);
  std::string FindLearnedNet(const std::string& state_filename, const std::string& learned_net);

  void RestoreRank(const caffe::RankState& state);
  std::string DescribeNonfinite();

  caffe::ResumeState resume_;                   // of the snapshot that is being read
  std::vector<caffe::RankState> ranks_;         // for the snapshot that is being taken
  std::vector<caffe::RankState> failed_ranks_;  // for the last one, where it could not be written
  bool losses_restored_ = false;
  int loss_start_iter_ = 0;
  // Where the test nets stood when the test began that is going on; empty outside of tests.
  std::vector<caffe::LayerState> before_test_;
  std::string snapshot_mark_;  // in the names of a snapshot that is not to go on from
  std::string last_snapshot_;
  bool nonfinite_told_ = false;

 private:
  void FillResume(const std::string& model_filename, caffe::ResumeState* resume);
  void SnapshotUntilWritten();
  void EndTests(const std::vector<int>& test_iter);
  caffe::Solver<Dtype>* solver() { return static_cast<caffe::Solver<Dtype>*>(this); }
  const caffe::Solver<Dtype>* solver() const {
    return static_cast<const caffe::Solver<Dtype>*>(this);
  }
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_TRAINING_SOLVER_EXTENSION_HPP_
