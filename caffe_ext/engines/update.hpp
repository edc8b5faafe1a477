// Steps of SGD and Adam over a parameter blob, in one pass on all cores.
#ifndef CAFFE_EXT_ENGINES_UPDATE_HPP_
#define CAFFE_EXT_ENGINES_UPDATE_HPP_

#include "engines/isa.hpp"

namespace caffe_ext {

/// What a step of SGD with momentum does to a parameter blob. The names are the solver's.
template <typename Dtype>
struct SgdStep {
  Dtype rate;      ///< learning rate times the blob's lr_mult
  Dtype momentum;  ///< of the history
  Dtype scale;     ///< of the gradient: 1 / iter_size
  Dtype decay;     ///< weight_decay times the blob's decay_mult
  bool l1;         ///< decay by the weight's sign, else by the weight
  bool watched;    ///< leave out what would make a value NaN or infinite, and report it
};

/// The same for Adam (Kingma and Ba, ICLR 2015).
template <typename Dtype>
struct AdamStep {
  Dtype rate;          ///< learning rate times the blob's lr_mult, with the bias correction
  Dtype beta1, beta2;  ///< the solver's momentum and momentum2
  Dtype eps;           ///< the solver's delta
  Dtype scale, decay;  ///< as above
  bool l1, watched;    ///< as above
};

/// Weights that are computed before any of them is stored: what the nearest cache holds.
const int kUpdateGroup = 1024;

/**
 * @brief For each of n weights w with gradient g in `diff`:
 *   g <- scale g + decay w  (or decay sign(w));  h <- rate g + momentum h;  w <- w - h;  diff <- h.
 *
 * Upstream makes up to six passes (Normalize, Regularize, ComputeUpdateValue, Net::Update), most
 * of them on one thread. Each weight is computed by itself, so the number of threads changes
 * nothing. A rate or decay of 0 leaves its term out, even a term of NaN.
 *
 * Returns false if a watched step would have made a weight or the history NaN or infinite.
 * Groups of kUpdateGroup weights are computed before they are stored, at no extra traffic; the
 * group of such a weight stays as it was, gradients included.
 */
template <typename Dtype>
bool Update(int n, const SgdStep<Dtype>& step, Dtype* weight, Dtype* diff, Dtype* history);

/**
 * @brief For each of n weights w with gradient g in `diff`, with g regularised as above:
 *   m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
 *   diff <- rate m / (sqrt(v) + eps);  w <- w - diff.
 *
 * Upstream makes twelve passes. What holds for SGD's threads and watch holds here.
 */
template <typename Dtype>
bool Update(int n, const AdamStep<Dtype>& step, Dtype* weight, Dtype* diff, Dtype* m, Dtype* v);

/// One group of at most kUpdateGroup weights of the above, on the calling thread.
bool UpdateGroup(int n, const SgdStep<float>& step, float* weight, float* diff, float* history);
bool UpdateGroup(int n, const SgdStep<double>& step, double* weight, double* diff, double* history);
bool UpdateGroup(int n, const AdamStep<float>& step, float* weight, float* diff, float* m,
                 float* v);
bool UpdateGroup(int n, const AdamStep<double>& step, double* weight, double* diff, double* m,
                 double* v);

/// The groups' kernels (engines/isa.hpp).
struct UpdateKernels {
  bool (*sgd_float)(int, const SgdStep<float>&, float*, float*, float*);
  bool (*sgd_double)(int, const SgdStep<double>&, double*, double*, double*);
  bool (*adam_float)(int, const AdamStep<float>&, float*, float*, float*, float*);
  bool (*adam_double)(int, const AdamStep<double>&, double*, double*, double*, double*);
};

CAFFE_EXT_KERNEL_TABLE(UpdateKernels, update_kernels)

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_UPDATE_HPP_
