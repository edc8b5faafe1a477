// Solvers that run as threads of one process, each on a GPU: what Caffe's NCCL<Dtype>::Run starts
// for `caffe train -gpu 0,1`.
#ifndef CAFFE_EXT_TRAINING_SOLVER_THREADS_HPP_
#define CAFFE_EXT_TRAINING_SOLVER_THREADS_HPP_

#include <string>

#include "caffe/solver.hpp"

namespace caffe_ext {

/// Whether this solver is one of them. Never in a build without NCCL.
template <typename Dtype>
bool IsOneOfThreads(const caffe::Solver<Dtype>& solver);

/// To be called by all of them at the same point of an iteration, as it waits for the others:
/// returns the fault of the first solver that has one, and on which GPU that is; "" where none has.
/// A thread that is interrupted stops waiting.
template <typename Dtype>
std::string FaultOfThreads(const caffe::Solver<Dtype>& solver, const std::string& fault);

/// Ends a thread other than that of rank 0, which goes on alone, without a word.
[[noreturn]] void EndThread();

}  // namespace caffe_ext

#endif  // CAFFE_EXT_TRAINING_SOLVER_THREADS_HPP_
