// The inner loops of few_images_product.hpp.
#ifndef CAFFE_EXT_ENGINES_FEW_IMAGES_KERNELS_HPP_
#define CAFFE_EXT_ENGINES_FEW_IMAGES_KERNELS_HPP_

#include <stddef.h>

#include "engines/isa.hpp"

namespace caffe_ext {

/// Rows of the weights that `sums` multiplies, and rows of C that `tiles` sums, at a time.
const int kFewImagesRows = 8, kFewImagesTile = 4;

/// Images up to which `row_sums` is faster than `sums`.
const int kFewestImages = 8;

struct FewImagesKernels {
  /// sums[r][lane] = sum over k of w[r][k] * x[k][lane], for kFewImagesRows rows of w.
  void (*sums)(int inputs, const float* x, const float* const* w, float* sums);

  /**
   * @brief sums[i][r] = sum over k of w[r][k] * x[i][k], for as many rows of w as a vector has
   * lanes: the same sums, to the last bit, with a lane for each row instead of each image.
   *
   * @param images 1 to kFewestImages
   * @param x images, `x_step` apart
   */
  void (*row_sums)(int images, int inputs, const float* x, size_t x_step, const float* const* w,
                   float* sums);

  /**
   * @brief c[r][k] (+)= sum over p of a[p][r] * b[p][k], for `rows` rows, kFewImagesTile or 1.
   *
   * Each value is the sum in the order of p, wherever k is cut.
   *
   * @param a depth x rows, side by side
   * @param b depth rows of `columns` values, `b_step` apart
   * @param c rows of `columns` values, `c_step` apart; added to where `add` is true
   */
  void (*tiles)(int rows, int columns, int depth, const float* a, const float* b, size_t b_step,
                bool add, float* c, size_t c_step);
};

CAFFE_EXT_KERNEL_TABLE(FewImagesKernels, few_images_kernels)

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_FEW_IMAGES_KERNELS_HPP_
