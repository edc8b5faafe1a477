// The gradient of an inner product's weights, kept as the two factors whose product it is.
#ifndef CAFFE_EXT_ENGINES_FACTORED_GRADIENT_HPP_
#define CAFFE_EXT_ENGINES_FACTORED_GRADIENT_HPP_

#include <stddef.h>

#include <vector>

#include "engines/private_form.hpp"
#include "engines/update.hpp"

namespace caffe_ext {

/**
 * @brief dw = transpose(dy) * x, as a private form of the diff's memory.
 *
 * For few images, the factors are much smaller than the product (fc8 of models/drml with 16
 * images: 1 MB instead of 191). The update of the weights computes the product piece by piece and
 * uses it at once, so that it is neither stored nor read. Whoever asks for the plain gradient gets
 * it, to the same bits; from then on the layer stores it in every pass.
 */
class FactoredGradient : public PrivateForm {
 public:
  /// Copies the factors: x is images x inputs, dy is images x outputs.
  FactoredGradient(int images, int inputs, int outputs, const float* x, const float* dy);
  /// The same from `factors`: for each of `parts` equal groups of images, its x and then its dy, as
  /// Factors() gives them. dy is multiplied by `scale`.
  FactoredGradient(int images, int inputs, int outputs, int parts, float scale,
                   const std::vector<float>& factors);

  int images() const { return images_; }
  int inputs() const { return inputs_; }
  int outputs() const { return outputs_; }
  /// x and then dy: count() values.
  std::vector<float> Factors() const;
  size_t count() const { return x_.size() + dy_.size(); }

  virtual void WritePlain(void* plain, size_t bytes) const;

  /// As Update in update.hpp, without the gradient's memory. A group is a part of a row of weights.
  bool Update(const SgdStep<float>& step, float* weight, float* history) const;
  bool Update(const AdamStep<float>& step, float* weight, float* m, float* v) const;

 private:
  const int images_, inputs_, outputs_;
  std::vector<float> x_, dy_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_FACTORED_GRADIENT_HPP_
