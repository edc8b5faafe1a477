#include "engines/factored_gradient.hpp"

#include <glog/logging.h>

#include <algorithm>
#include <atomic>
#include <iterator>

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

FactoredGradient::FactoredGradient(int images, int inputs, int outputs, int parts, float scale,
                                   const std::vector<float>& factors)
    : images_(images), inputs_(inputs), outputs_(outputs) {
  const size_t x_count = size_t(images / parts) * inputs,
               dy_count = size_t(images / parts) * outputs;
  CHECK_EQ(parts * (x_count + dy_count), factors.size());
  for (auto at = factors.begin(); at != factors.end(); at += dy_count) {
    x_.insert(x_.end(), at, at + x_count);
    at += x_count;
    std::transform(at, at + dy_count, std::back_inserter(dy_), [=](float v) { return scale * v; });
  }
}

std::vector<float> FactoredGradient::Factors() const {
  std::vector<float> factors(x_);
  factors.insert(factors.end(), dy_.begin(), dy_.end());
  return factors;
}

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
