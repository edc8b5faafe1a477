// The passes over one patch around its convolution, on blocked memory.
#ifndef CAFFE_EXT_ENGINES_REGION_PASSES_HPP_
#define CAFFE_EXT_ENGINES_REGION_PASSES_HPP_

#include <stddef.h>

#include "engines/isa.hpp"

namespace caffe_ext {

/**
 * @brief A patch of blocked memory: one block of B channels in some images.
 *
 * `data` points at the first pixel of the patch in the first image. Rows of `width` pixels of B
 * floats are `row_step` floats apart, images `image_step` floats.
 */
template <typename Float>
struct PatchView {
  Float* data;
  int images, height, width;
  size_t row_step, image_step;

  __attribute__((always_inline)) Float* row(int n, int y) const {
    return data + n * image_step + y * row_step;
  }
};
typedef PatchView<float> PatchRows;
typedef PatchView<const float> ConstPatchRows;

/**
 * @brief The passes, compiled per instruction set (engines/isa.hpp).
 *
 * All arrays of channel values hold B floats (or doubles); B is 8 or 16.
 */
struct RegionPasses {
  /// mean[c] and variance[c] (of the population) of a patch.
  void (*measure)(int block, const ConstPatchRows& x, float* mean, float* variance);

  /// z = max(0, (x - mean) * slope + shift).
  void (*normalize)(int block, const ConstPatchRows& x, const float* mean, const float* slope,
                    const float* shift, const PatchRows& z);

  /// y = x + o.
  void (*add)(int block, const ConstPatchRows& x, const ConstPatchRows& o, const PatchRows& y);

  void (*copy)(int block, const ConstPatchRows& x, const PatchRows& y);

  /// d = (z > 0 ? d : 0); sum += d; dot += d * (x - mean) * inv_std.
  void (*mask_diff)(int block, const ConstPatchRows& x, const ConstPatchRows& z, const float* mean,
                    const float* inv_std, const PatchRows& d, double* sum, double* dot);

  /// dx = slope * (d - diff_mean - (x - mean) * diff_slope), plus t where t.data is not null.
  void (*finish_diff)(int block, const ConstPatchRows& x, const ConstPatchRows& d,
                      const ConstPatchRows& t, const float* mean, const float* slope,
                      const float* diff_mean, const float* diff_slope, const PatchRows& dx);
};

CAFFE_EXT_KERNEL_TABLE(RegionPasses, region_passes)

inline const RegionPasses& Passes() { return region_passes(ActiveIsa()); }

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_REGION_PASSES_HPP_
