// The passes over one patch around its convolution, on blocked memory.
#ifndef CAFFE_EXT_ENGINES_REGION_PASSES_HPP_
#define CAFFE_EXT_ENGINES_REGION_PASSES_HPP_

#include <stddef.h>

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

  Float* row(int n, int y) const { return data + n * image_step + y * row_step; }
};
typedef PatchView<float> PatchRows;
typedef PatchView<const float> ConstPatchRows;

// All arrays of channel values below hold B floats (or doubles); B is 8 or 16.

/// mean[c] and variance[c] (of the population) of a patch.
void MeasurePatch(int block, const ConstPatchRows& x, float* mean, float* variance);

/// z = max(0, (x - mean) * slope + shift).
void NormalizePatch(int block, const ConstPatchRows& x, const float* mean, const float* slope,
                    const float* shift, const PatchRows& z);

/// y = x + o.
void AddPatch(int block, const ConstPatchRows& x, const ConstPatchRows& o, const PatchRows& y);

void CopyPatch(int block, const ConstPatchRows& x, const PatchRows& y);

/// d = (z > 0 ? d : 0); sum += d; dot += d * (x - mean) * inv_std.
void MaskDiff(int block, const ConstPatchRows& x, const ConstPatchRows& z, const float* mean,
              const float* inv_std, const PatchRows& d, double* sum, double* dot);

/// dx = slope * (d - diff_mean - (x - mean) * diff_slope), plus t where t.data is not null.
void FinishDiff(int block, const ConstPatchRows& x, const ConstPatchRows& d,
                const ConstPatchRows& t, const float* mean, const float* slope,
                const float* diff_mean, const float* diff_slope, const PatchRows& dx);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_REGION_PASSES_HPP_
