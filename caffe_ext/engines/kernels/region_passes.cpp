// The passes over one patch of the Region layer: see engines/region_passes.hpp.
#include "engines/region_passes.hpp"

#include "engines/kernels/vector.hpp"

namespace caffe_ext {
namespace CAFFE_EXT_ISA {
namespace {

// Each row is summed in float, B lanes wide, and the rows in double: a row is too short for the
// float sum to lose anything that matters.

// Fetches the row that is due three rows after row (n, y), for `write` or for reading: the rows of
// a patch lie far apart and are too short for the processor to see them coming.
template <int write, typename Rows>
CAFFE_EXT_INLINE void FetchAhead(int block, const Rows& x, int n, int y) {
  const int kLine = 64 / sizeof(float);
  const int later = n * x.height + y + 3;
  if (later >= x.images * x.height) {
    return;
  }
  const float* row = x.row(later / x.height, later % x.height);
  for (int i = 0; i < x.width * block; i += kLine) __builtin_prefetch(row + i, write);
}

// With s near the mean, the mean square distance from it needs no second round over the patch.
template <int B>
CAFFE_EXT_INLINE void Measure(const ConstPatchRows& x, float* mean, float* variance) {
  double shift_sum[B] = {0}, sum[B] = {0}, square[B] = {0};
  float shift[B];
  for (int y = 0; y < x.height; ++y) {
    const float* row = x.row(0, y);
    float part[B] = {0};
    for (int i = 0; i < x.width; ++i) {
      for (int c = 0; c < B; ++c) part[c] += row[i * B + c];
    }
    for (int c = 0; c < B; ++c) shift_sum[c] += part[c];
  }
  for (int c = 0; c < B; ++c) shift[c] = shift_sum[c] / (double(x.height) * x.width);
  for (int n = 0; n < x.images; ++n) {
    for (int y = 0; y < x.height; ++y) {
      const float* row = x.row(n, y);
      FetchAhead<0>(B, x, n, y);
      float part[B] = {0}, part_square[B] = {0};
      for (int i = 0; i < x.width; ++i) {
        for (int c = 0; c < B; ++c) {
          const float d = row[i * B + c] - shift[c];
          part[c] += d;
          part_square[c] += d * d;
        }
      }
      for (int c = 0; c < B; ++c) {
        sum[c] += part[c];
        square[c] += part_square[c];
      }
    }
  }
  const double values = double(x.images) * x.height * x.width;
  for (int c = 0; c < B; ++c) {
    const double offset = sum[c] / values;
    mean[c] = shift[c] + offset;
    const double square_mean = square[c] / values - offset * offset;
    variance[c] = square_mean < 0 ? 0 : square_mean;  // NaN stays
  }
}

template <int B>
CAFFE_EXT_INLINE void Normalize(const ConstPatchRows& x, const float* mean, const float* slope,
                                const float* shift, const PatchRows& z) {
  for (int n = 0; n < x.images; ++n) {
    for (int y = 0; y < x.height; ++y) {
      const float* from = x.row(n, y);
      float* to = z.row(n, y);
      FetchAhead<0>(B, x, n, y);
      for (int i = 0; i < x.width; ++i) {
        for (int c = 0; c < B; ++c) {
          const float y = (from[i * B + c] - mean[c]) * slope[c] + shift[c];
          to[i * B + c] = y < 0 ? 0 : y;  // NaN stays
        }
      }
    }
  }
}

template <int B>
CAFFE_EXT_INLINE void Mask(const ConstPatchRows& x, const ConstPatchRows& z, const float* mean,
                           const float* inv_std, const PatchRows& d, double* sum, double* dot) {
  for (int n = 0; n < x.images; ++n) {
    for (int y = 0; y < x.height; ++y) {
      const float* in = x.row(n, y);
      const float* out = z.row(n, y);
      float* diff = d.row(n, y);
      float part[B] = {0}, part_dot[B] = {0};
      for (int i = 0; i < x.width; ++i) {
        for (int c = 0; c < B; ++c) {
          const float kept = out[i * B + c] > 0 ? diff[i * B + c] : 0.f;
          diff[i * B + c] = kept;
          part[c] += kept;
          part_dot[c] += kept * ((in[i * B + c] - mean[c]) * inv_std[c]);
        }
      }
      for (int c = 0; c < B; ++c) {
        sum[c] += part[c];
        dot[c] += part_dot[c];
      }
    }
  }
}

template <int B>
CAFFE_EXT_INLINE void Finish(const ConstPatchRows& x, const ConstPatchRows& d,
                             const ConstPatchRows& t, const float* mean, const float* slope,
                             const float* diff_mean, const float* diff_slope, const PatchRows& dx) {
  for (int n = 0; n < x.images; ++n) {
    for (int y = 0; y < x.height; ++y) {
      const float* in = x.row(n, y);
      const float* diff = d.row(n, y);
      float* out = dx.row(n, y);
      FetchAhead<0>(B, x, n, y);
      FetchAhead<1>(B, dx, n, y);
      if (t.data) {
        FetchAhead<0>(B, t, n, y);
        const float* top = t.row(n, y);
        for (int i = 0; i < x.width; ++i) {
          for (int c = 0; c < B; ++c) {
            const int at = i * B + c;
            out[at] =
                slope[c] * (diff[at] - diff_mean[c] - (in[at] - mean[c]) * diff_slope[c]) + top[at];
          }
        }
      } else {
        for (int i = 0; i < x.width; ++i) {
          for (int c = 0; c < B; ++c) {
            const int at = i * B + c;
            out[at] = slope[c] * (diff[at] - diff_mean[c] - (in[at] - mean[c]) * diff_slope[c]);
          }
        }
      }
    }
  }
}

void MeasurePatch(int block, const ConstPatchRows& x, float* mean, float* variance) {
  block == 16 ? Measure<16>(x, mean, variance) : Measure<8>(x, mean, variance);
}

void NormalizePatch(int block, const ConstPatchRows& x, const float* mean, const float* slope,
                    const float* shift, const PatchRows& z) {
  block == 16 ? Normalize<16>(x, mean, slope, shift, z) : Normalize<8>(x, mean, slope, shift, z);
}

void AddPatch(int block, const ConstPatchRows& x, const ConstPatchRows& o, const PatchRows& y) {
  for (int n = 0; n < x.images; ++n) {
    for (int row = 0; row < x.height; ++row) {
      const float* a = x.row(n, row);
      const float* b = o.row(n, row);
      float* to = y.row(n, row);
      FetchAhead<1>(block, y, n, row);
      for (int i = 0; i < x.width * block; ++i) to[i] = a[i] + b[i];
    }
  }
}

void CopyPatch(int block, const ConstPatchRows& x, const PatchRows& y) {
  for (int n = 0; n < x.images; ++n) {
    for (int row = 0; row < x.height; ++row) {
      const float* from = x.row(n, row);
      FetchAhead<0>(block, x, n, row);
      float* to = y.row(n, row);
      for (int i = 0; i < x.width * block; ++i) to[i] = from[i];
    }
  }
}

void MaskDiff(int block, const ConstPatchRows& x, const ConstPatchRows& z, const float* mean,
              const float* inv_std, const PatchRows& d, double* sum, double* dot) {
  block == 16 ? Mask<16>(x, z, mean, inv_std, d, sum, dot)
              : Mask<8>(x, z, mean, inv_std, d, sum, dot);
}

void FinishDiff(int block, const ConstPatchRows& x, const ConstPatchRows& d,
                const ConstPatchRows& t, const float* mean, const float* slope,
                const float* diff_mean, const float* diff_slope, const PatchRows& dx) {
  block == 16 ? Finish<16>(x, d, t, mean, slope, diff_mean, diff_slope, dx)
              : Finish<8>(x, d, t, mean, slope, diff_mean, diff_slope, dx);
}

}  // namespace

const RegionPasses region_passes = {MeasurePatch, NormalizePatch, AddPatch,
                                    CopyPatch,    MaskDiff,       FinishDiff};

}  // namespace CAFFE_EXT_ISA
}  // namespace caffe_ext
