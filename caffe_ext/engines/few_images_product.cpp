#include "engines/few_images_product.hpp"

#include <stddef.h>

#include <algorithm>

#include "caffe/common.hpp"
#include "engines/clones.hpp"
#include "engines/onednn.hpp"

namespace caffe_ext {

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)

namespace {

// Outputs at a time: as many sums in registers.
const int kRows = 8;
// Inputs at a time: the images' share of them stays in the nearest caches.
const int kChunk = 2048;

// sums[r][lane] = sum over k of w[r][k] * x[k][lane]. Function by macro, since the vectors must be
// of the size that the function's own target has.
#define CAFFE_EXT_FEW_IMAGES_KERNEL(name, isa, lanes)                                       \
  __attribute__((target(isa))) void name(int inputs, const float* x, const float* const* w, \
                                         float* sums) {                                     \
    typedef float Vector __attribute__((vector_size(lanes * 4), aligned(4), may_alias));    \
    Vector s0 = {}, s1 = {}, s2 = {}, s3 = {}, s4 = {}, s5 = {}, s6 = {}, s7 = {};          \
    const float *w0 = w[0], *w1 = w[1], *w2 = w[2], *w3 = w[3];                             \
    const float *w4 = w[4], *w5 = w[5], *w6 = w[6], *w7 = w[7];                             \
    for (int k = 0; k < inputs; ++k) {                                                      \
      const Vector v = *reinterpret_cast<const Vector*>(x + ptrdiff_t(k) * lanes);          \
      s0 += w0[k] * v;                                                                      \
      s1 += w1[k] * v;                                                                      \
      s2 += w2[k] * v;                                                                      \
      s3 += w3[k] * v;                                                                      \
      s4 += w4[k] * v;                                                                      \
      s5 += w5[k] * v;                                                                      \
      s6 += w6[k] * v;                                                                      \
      s7 += w7[k] * v;                                                                      \
    }                                                                                       \
    Vector* out = reinterpret_cast<Vector*>(sums);                                          \
    out[0] = s0, out[1] = s1, out[2] = s2, out[3] = s3;                                     \
    out[4] = s4, out[5] = s5, out[6] = s6, out[7] = s7;                                     \
  }

CAFFE_EXT_FEW_IMAGES_KERNEL(SumAvx512, "avx512f,fma,prefer-vector-width=512", 16)
CAFFE_EXT_FEW_IMAGES_KERNEL(SumAvx2, "avx2,fma", 8)

// Both gradients are products C = A B whose B is read (the images, the weights) or whose C is
// written (the weights' gradient) once, row by row. Tiles of C are summed in registers, over so
// many rows of B at a time; a stretch of them stays in the caches for the tiles of C that need it.
const int kTile = 4, kDepth = 64, kStretch = 512;

// c[r][k] (+)= sum over p of a[p][r] * b[p][k], for Rows rows and Vectors x Lanes columns.
template <int Lanes, int Rows, int Vectors>
CAFFE_EXT_INLINE void Tile(int depth, const float* a, const float* b, size_t step, bool add,
                           float* c) {
  typedef float Vector __attribute__((vector_size(Lanes * 4), aligned(4), may_alias));
  Vector sums[Rows][Vectors] = {};
  for (int p = 0; p < depth; ++p) {
    const Vector* const row = reinterpret_cast<const Vector*>(b + p * step);
    for (int r = 0; r < Rows; ++r) {
      for (int v = 0; v < Vectors; ++v) sums[r][v] += a[p * Rows + r] * row[v];
    }
  }
  for (int r = 0; r < Rows; ++r) {
    Vector* const out = reinterpret_cast<Vector*>(c + r * step);
    for (int v = 0; v < Vectors; ++v) out[v] = add ? out[v] + sums[r][v] : sums[r][v];
  }
}

template <int Lanes, int Rows, int Vectors>
CAFFE_EXT_INLINE void Tiles(int columns, int depth, const float* a, const float* b, size_t step,
                            bool add, float* c) {
  int k = 0;
  for (; k + Lanes * Vectors <= columns; k += Lanes * Vectors) {
    Tile<Lanes, Rows, Vectors>(depth, a, b + k, step, add, c + k);
  }
  for (; k + Lanes <= columns; k += Lanes) {
    Tile<Lanes, Rows, 1>(depth, a, b + k, step, add, c + k);
  }
  for (; k < columns; ++k) {
    Tile<1, Rows, 1>(depth, a, b + k, step, add, c + k);
  }
}

// The same for kTile rows or one, compiled for a set of instructions, of which Vectors are as many
// as there are registers for.
#define CAFFE_EXT_FEW_IMAGES_TILES(name, isa, lanes, vectors)                               \
  __attribute__((target(isa))) void name(int rows, int columns, int depth, const float* a,  \
                                         const float* b, size_t step, bool add, float* c) { \
    rows == kTile ? Tiles<lanes, kTile, vectors>(columns, depth, a, b, step, add, c)        \
                  : Tiles<lanes, 1, vectors>(columns, depth, a, b, step, add, c);           \
  }

CAFFE_EXT_FEW_IMAGES_TILES(TilesAvx512, "avx512f,fma,prefer-vector-width=512", 16, 4)
CAFFE_EXT_FEW_IMAGES_TILES(TilesAvx2, "avx2,fma", 8, 2)

// Rows of C from `first` on that are summed together.
int TileRows(int first, int rows) { return rows - first >= kTile ? kTile : 1; }

// A as the tiles read it: for each tile of rows of C, its values of p = 0, of p = 1 ... side by
// side. Row r of C has the values a[r * row_step + p * depth_step].
void PackRows(int rows, int depth, const float* a, size_t row_step, size_t depth_step,
              std::vector<float>* packed) {
  packed->resize(size_t(rows) * depth);
#pragma omp parallel for schedule(static)
  for (int tile = 0; tile < (rows + kTile - 1) / kTile; ++tile) {
    const int end = std::min(rows, (tile + 1) * kTile);
    for (int first = tile * kTile, size; first < end; first += size) {
      size = TileRows(first, rows);
      float* out = packed->data() + size_t(first) * depth;
      for (int p = 0; p < depth; ++p) {
        for (int r = 0; r < size; ++r) *out++ = a[(first + r) * row_step + p * depth_step];
      }
    }
  }
}

}  // namespace

bool FewImagesProductServes() {
  const int avx2 = static_cast<int>(dnnl::cpu_isa::avx2);  // each later set has these bits, too
  return (static_cast<int>(dnnl::get_effective_cpu_isa()) & avx2) == avx2;
}

void FewImagesProduct(int images, int inputs, int outputs, const float* x, const float* w,
                      const float* bias, float* y, std::vector<float>* scratch) {
  const bool wide = onednn::ChannelBlock() == 16;
  const int lanes = wide ? 16 : 8;
  const auto sum_up = wide ? SumAvx512 : SumAvx2;
  const int groups = (images + lanes - 1) / lanes;
  // Lanes beyond the last image are zero.
  scratch->resize(size_t(groups) * inputs * lanes);
  float* const columns = scratch->data();
#pragma omp parallel for schedule(static) collapse(2)
  for (int group = 0; group < groups; ++group) {
    for (int k = 0; k < inputs; ++k) {
      float* const column = columns + (size_t(group) * inputs + k) * lanes;
      for (int lane = 0; lane < lanes; ++lane) {
        const int image = group * lanes + lane;
        column[lane] = image < images ? x[size_t(image) * inputs + k] : 0;
      }
    }
  }
  const int blocks = (outputs + kRows - 1) / kRows;
#pragma omp parallel for schedule(static)
  for (int block = 0; block < blocks; ++block) {
    const int first = block * kRows;
    const int rows = std::min(kRows, outputs - first);
    float sums[kRows * 16];
    for (int from = 0; from == 0 || from < inputs; from += kChunk) {
      const float* weights[kRows];
      for (int r = 0; r < kRows; ++r) {
        weights[r] = w + size_t(first + std::min(r, rows - 1)) * inputs + from;
      }
      for (int group = 0; group < groups; ++group) {
        sum_up(std::min(kChunk, inputs - from), columns + (size_t(group) * inputs + from) * lanes,
               weights, sums);
        const int end = std::min(lanes, images - group * lanes);
        for (int lane = 0; lane < end; ++lane) {
          float* const out = y + size_t(group * lanes + lane) * outputs + first;
          for (int r = 0; r < rows; ++r) {
            const float before = from > 0 ? out[r] : bias ? bias[first + r] : 0;
            out[r] = before + sums[r * lanes + lane];
          }
        }
      }
    }
  }
}

void FewImagesWeightDiff(int images, int inputs, int outputs, const float* x, const float* dy,
                         bool add, float* dw, std::vector<float>* scratch) {
  const auto tiles = onednn::ChannelBlock() == 16 ? TilesAvx512 : TilesAvx2;
  PackRows(outputs, images, dy, 1, outputs, scratch);
  const float* const packed = scratch->data();
  const int kGroup = 16 * kTile;
#pragma omp parallel for schedule(static)
  for (int group = 0; group < (outputs + kGroup - 1) / kGroup; ++group) {
    const int end = std::min(outputs, (group + 1) * kGroup);
    for (int k = 0; k < inputs; k += kStretch) {
      for (int first = group * kGroup, rows; first < end; first += rows) {
        rows = TileRows(first, outputs);
        tiles(rows, std::min(kStretch, inputs - k), images, packed + size_t(first) * images, x + k,
              inputs, add, dw + size_t(first) * inputs + k);
      }
    }
  }
}

void FewImagesBottomDiff(int images, int inputs, int outputs, const float* dy, const float* w,
                         float* dx, std::vector<float>* scratch) {
  const auto tiles = onednn::ChannelBlock() == 16 ? TilesAvx512 : TilesAvx2;
  PackRows(images, outputs, dy, outputs, 1, scratch);
  const float* const packed = scratch->data();
#pragma omp parallel for schedule(static)
  for (int stretch = 0; stretch < (inputs + kStretch - 1) / kStretch; ++stretch) {
    const int k = stretch * kStretch;
    for (int n = 0; n < outputs; n += kDepth) {
      for (int first = 0, rows; first < images; first += rows) {
        rows = TileRows(first, images);
        tiles(rows, std::min(kStretch, inputs - k), std::min(kDepth, outputs - n),
              packed + size_t(first) * outputs + size_t(n) * rows, w + size_t(n) * inputs + k,
              inputs, n > 0, dx + size_t(first) * inputs + k);
      }
    }
  }
}

#else

bool FewImagesProductServes() { return false; }

void FewImagesWeightDiff(int, int, int, const float*, const float*, bool, float*,
                         std::vector<float>*) {
  LOG(FATAL) << "no kernel for this processor; ask FewImagesProductServes first";
}

void FewImagesBottomDiff(int, int, int, const float*, const float*, float*, std::vector<float>*) {
  LOG(FATAL) << "no kernel for this processor; ask FewImagesProductServes first";
}

void FewImagesProduct(int, int, int, const float*, const float*, const float*, float*,
                      std::vector<float>*) {
  LOG(FATAL) << "no kernel for this processor; ask FewImagesProductServes first";
}

#endif

}  // namespace caffe_ext
