// One pass of stochastic gradient descent with momentum over a parameter blob, on all cores.
#ifndef CAFFE_EXT_ENGINES_SGD_HPP_
#define CAFFE_EXT_ENGINES_SGD_HPP_

#include <stddef.h>

#include <string>

namespace caffe_ext {

/// What a step does to one parameter blob; the names are the solver's.
template <typename Dtype>
struct SgdStep {
  Dtype rate;      ///< learning rate times the blob's lr_mult
  Dtype momentum;  ///< of the history
  Dtype scale;     ///< of the gradient: 1 / iter_size
  Dtype decay;     ///< weight_decay times the blob's decay_mult
  bool l1;         ///< decay by the weight's sign, else by the weight
  bool watched;    ///< leave out what would make a weight NaN or infinite, and tell
};

/// Whether SgdUpdate may take the place of the solver's own passes: the engine is on, Caffe runs on
/// the CPU, and the regularisation is one that it knows ("L1", "L2").
bool SgdUpdateServes(const std::string& regularization_type);

/**
 * @brief For each of n weights w with gradient g in `diff`:
 *   g <- scale g + decay w  (or decay sign(w));  h <- rate g + momentum h;  w <- w - h;  diff <- h.
 *
 * Upstream makes these as up to six passes (Normalize, Regularize, ComputeUpdateValue,
 * Net::Update), most of them on one thread. Each weight is computed by itself, so the number of
 * threads changes nothing. A rate or decay of 0 leaves its term out, even a term of NaN.
 *
 * Returns false where a watched step would have made a weight NaN or infinite, by its gradient,
 * its history or itself. Weights are watched in groups that the cache holds, so that no more memory
 * is read than without; the group of such a weight stays as it was, gradients included.
 */
template <typename Dtype>
bool SgdUpdate(int n, const SgdStep<Dtype>& step, Dtype* weight, Dtype* diff, Dtype* history);

/// Sets memory to zero, as fast as the machine stores.
void Clear(void* memory, size_t bytes);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_SGD_HPP_
