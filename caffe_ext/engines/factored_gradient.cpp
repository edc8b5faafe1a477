#include "engines/factored_gradient.hpp"

#include <atomic>

#include "engines/few_images_product.hpp"

namespace caffe_ext {

static_assert(kFewImagesPiece <= kUpdateGroup, "a piece of a row is updated as one group");

FactoredGradient::FactoredGradient(int images, int inputs, int outputs, const float* x,
                                   const float* dy)
    : images_(images),
      inputs_(inputs),
      outputs_(outputs),
      x_(x, x + size_t(images) * inputs),
      dy_(dy, dy + size_t(images) * outputs) {}

void FactoredGradient::WritePlain(void* plain, size_t /* bytes */) const {
  FewImagesWeightDiff(images_, inputs_, outputs_, x_.data(), dy_.data(), false,
                      static_cast<float*>(plain));
}

bool FactoredGradient::Update(const SgdStep<float>& step, float* weight, float* history) const {
  std::atomic<bool> finite(true);
  FewImagesWeightDiffPieces(images_, inputs_, outputs_, x_.data(), dy_.data(),
                            [&](size_t at, int n, float* g) {
                              if (!UpdateGroup(n, step, weight + at, g, history + at)) {
                                finite = false;
                              }
                            });
  return finite;
}

bool FactoredGradient::Update(const AdamStep<float>& step, float* weight, float* m,
                              float* v) const {
  std::atomic<bool> finite(true);
  FewImagesWeightDiffPieces(images_, inputs_, outputs_, x_.data(), dy_.data(),
                            [&](size_t at, int n, float* g) {
                              if (!UpdateGroup(n, step, weight + at, g, m + at, v + at)) {
                                finite = false;
                              }
                            });
  return finite;
}

}  // namespace caffe_ext
