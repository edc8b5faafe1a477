// One rank's solver, kept in step with the others'.
#ifndef CAFFE_EXT_PARALLEL_MEMBER_HPP_
#define CAFFE_EXT_PARALLEL_MEMBER_HPP_

#include <stdint.h>

#include <functional>
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
 * on there and then, and acts before the iteration.
 */
class Member : public caffe::Solver<float>::Callback {
 public:
  Member(Ranks* ranks, caffe::Solver<float>* solver, const caffe::ActionCallback& signals);

  /// The training, after rank 0 has its weights, history and iteration.
  void Solve();
  const std::vector<Bucket>& buckets() const { return gradients_.buckets(); }

  /**
   * What a rank cannot take from rank 0, such as its random numbers and its place in the data:
   * where set, every rank's save_state() lies in states() on rank 0 whenever it snapshots. After
   * set_states() there, Solve() begins by handing each rank its own through restore_state().
   */
  std::function<std::string()> save_state;
  std::function<void(const std::string&)> restore_state;
  const std::vector<std::string>& states() const { return states_; }
  void set_states(const std::vector<std::string>& states) { states_ = states; }

 protected:
  virtual void on_start();
  virtual void on_gradients_ready();

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
  std::vector<std::string> states_;
  /// Seconds that rank 0 waited for others to come to the start of an iteration.
  double starting_;
  Costs shown_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_PARALLEL_MEMBER_HPP_
