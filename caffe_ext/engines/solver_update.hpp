// The solver's update of all parameters, one pass for each.
#ifndef CAFFE_EXT_ENGINES_SOLVER_UPDATE_HPP_
#define CAFFE_EXT_ENGINES_SOLVER_UPDATE_HPP_

#include "caffe/sgd_solvers.hpp"

namespace caffe_ext {

/**
 * @brief Updates the net's parameters as SGDSolver::ApplyUpdate does after ClipGradients, in one
 * pass over each (update.hpp).
 *
 * Returns false, and does nothing, if the solver is neither SGD nor Adam, in GPU mode, with the
 * engine switched off, or for a regularisation other than L1 and L2: then upstream's passes are
 * to run. With stop_at_nonfinite_loss, throws LossError (training/watch.hpp) if a value would
 * become NaN or infinite.
 *
 * Afterwards a parameter's diff is what was subtracted from it, as after upstream's passes. Where
 * the gradient was kept as factors (factored_gradient.hpp), that is written when somebody asks.
 */
template <typename Dtype>
bool UpdateInOnePass(caffe::SGDSolver<Dtype>* solver, Dtype rate);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_SOLVER_UPDATE_HPP_
