// One rank's solver, kept in step with the others'.
#ifndef CAFFE_EXT_PARALLEL_MEMBER_HPP_
#define CAFFE_EXT_PARALLEL_MEMBER_HPP_

#include <stdint.h>

#include <string>
#include <vector>

#include "caffe/solver.hpp"
#include "parallel/gradient_sum.hpp"
#include "parallel/ranks.hpp"

namespace caffe_ext {

/**
 * @brief Runs a solver as one of N ranks.
 *
 * At the start of every iteration the ranks tell each other which signals they got. All of them
 * then run that iteration, and act on the signals at its end: rank 0 snapshots, all stop. While
 * rank 0 tests, the others wait at the next start; a signal that rank 0 gets meanwhile is agreed
 * on there and then, and acts before the iteration. Behind the sums of the gradients they tell
 * whether their losses are finite; where one is not, all stop together.
 */
class Member : public caffe::Solver<float>::Callback {
 public:
  Member(Ranks* ranks, caffe::Solver<float>* solver, const caffe::ActionCallback& signals);
  virtual ~Member() {}

  /// The training, after rank 0 has its weights, history and iteration.
  void Solve();
  const std::vector<Bucket>& buckets() const { return gradients_.buckets(); }

 protected:
  virtual void on_start();
  virtual std::string on_loss(const std::string& fault);
  virtual void on_wrong_loss();
  virtual void on_gradients_ready();
  virtual void on_snapshot(std::vector<caffe::RankState>* states);

 private:
  unsigned Signals();
  /// Agrees with the other ranks on what is to be done; `bits` are this one's wishes.
  void Agree(unsigned bits);
  /// On rank 0: what the solver is told when it asks for a requested action.
  caffe::SolverAction::Enum Action();
  /// The steps of the other ranks.
  void Follow();
  void CheckSameNet();
  void TakeStateOfRank0();
  void AverageStatistics();
  /// Before a snapshot: what no rank can take from rank 0, its random numbers and its place in the
  /// data, comes to rank 0.
  void GatherStates();
  void CompareWeights();
  /// What came to pass since the ranks set out.
  struct Costs {
    int iterations;
    double seconds, starting;
    GradientSum::Times gradients;
  };
  Costs CostsNow();
  void Report(const std::string& what, const Costs& since);

  Ranks* const ranks_;
  caffe::Solver<float>* const solver_;
  const caffe::ActionCallback signals_;
  GradientSum gradients_;
  unsigned agreed_, pending_;
  bool in_iteration_;
  /// This rank's, and on rank 0 that of every rank, as they were gathered last.
  caffe::RankState state_;
  std::vector<std::string> states_;
  /// Seconds that rank 0 waited for others to come to the start of an iteration.
  double starting_;
  Costs shown_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_PARALLEL_MEMBER_HPP_
