// `caffe train` on several machines: what tools/caffe.cpp calls
// (patches/60-several-machines.patch).
#ifndef CAFFE_EXT_PARALLEL_TRAINING_HPP_
#define CAFFE_EXT_PARALLEL_TRAINING_HPP_

#include <memory>
#include <vector>

#include "caffe/solver.hpp"

namespace caffe_ext {

class Ranks;

/**
 * @brief The part that a process has in a training: all of it, or, where `mpirun -n N` (srun, ...)
 *        started it, that of one of N ranks.
 *
 * A build without MPI refuses to be one of several: each would train, and write, for itself.
 */
class ParallelTraining {
 public:
  /// Before anything else that may fail, so that one rank's failure stops all.
  ParallelTraining();
  ~ParallelTraining();

  /// The rank that tests, logs, snapshots, and reads weights and solver states.
  bool root() const;
  /// Of the GPUs that -gpu names, leaves the one that this rank takes.
  void ChooseGpu(std::vector<int>* gpus) const;
  /// Before the solver is made: what a rank reads, and what it leaves to rank 0.
  void Configure(caffe::SolverParameter* param) const;
  /// Solver::Solve() on rank 0, after it had its state; the same steps on the others.
  void Solve(caffe::Solver<float>* solver, const caffe::ActionCallback& signals);

 private:
  std::unique_ptr<Ranks> ranks_;  // where there are several
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_PARALLEL_TRAINING_HPP_
