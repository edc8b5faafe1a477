// Training stops at what is not finite.
#ifndef CAFFE_EXT_TRAINING_WATCH_HPP_
#define CAFFE_EXT_TRAINING_WATCH_HPP_

#include "caffe/net.hpp"
#include "caffe/solver.hpp"

namespace caffe_ext {

/// Before the update of a solver whose own pass over the weights does not tell whether they stay
/// finite (that of engines/update.hpp does): unless stop_at_nonfinite_loss is false, ends training
/// as StopAtNonfiniteUpdate does where a weight, or what is about to be taken from it, is not.
template <typename Dtype>
void CheckUpdate(caffe::Solver<Dtype>* solver);

/// Ends training as a loss does that is not finite: says where the first such value is, keeps a
/// marked snapshot, and throws LossError. All ranks do so, as their gradients are summed by then.
template <typename Dtype>
void StopAtNonfiniteUpdate(caffe::Solver<Dtype>* solver);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_TRAINING_WATCH_HPP_
