// Training stops at what is not finite.
#ifndef CAFFE_EXT_TRAINING_WATCH_HPP_
#define CAFFE_EXT_TRAINING_WATCH_HPP_

#include "caffe/net.hpp"
#include "caffe/solver.hpp"

namespace caffe_ext {

/// Whether all weights, and what an update is about to take from them, are finite: for solvers
/// whose own pass over them does not tell (that of engines/update.hpp does).
template <typename Dtype>
bool UpdatesAreFinite(const caffe::Net<Dtype>& net);

/// Ends training as a loss does that is not finite: says where the first such value is, keeps a
/// marked snapshot, and throws LossError. All ranks do so, as their gradients are summed by then.
template <typename Dtype>
void StopAtNonfiniteUpdate(caffe::Solver<Dtype>* solver);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_TRAINING_WATCH_HPP_
