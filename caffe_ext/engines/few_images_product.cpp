#include "engines/few_images_product.hpp"

#include <stddef.h>

#include <algorithm>

#include "engines/few_images_kernels.hpp"
#include "engines/isa.hpp"

namespace caffe_ext {

namespace {

// Outputs, and rows of a product, at a time.
const int kRows = kFewImagesRows, kTile = kFewImagesTile;
// Inputs at a time: the images' share of them stays in the nearest caches. A multiple of lanes.
const int kChunk = 2048;

// Both gradients are products C = A B whose B is read (the images, the weights) or whose C is
// written (the weights' gradient) once, row by row. Tiles of C are summed in registers, over so
// many rows of B at a time; a stretch of them stays in the caches for the tiles of C that need it.
const int kDepth = 32, kStretch = 1024;

// Floats from row to row of a copy of B: an odd number of lines of the cache, since rows a power
// of two apart, as 4,096 inputs are, would all want the same few places of it.
int PaddedStep(int columns) { return ((columns + 15) / 16 | 1) * 16; }

// Rows of `columns` values, PaddedStep(columns) apart.
void PadRows(int rows, int columns, const float* from, std::vector<float>* padded) {
  const size_t step = PaddedStep(columns);
  padded->resize(rows * step);
#pragma omp parallel for schedule(static)
  for (int row = 0; row < rows; ++row) {
    std::copy_n(from + size_t(row) * columns, columns, padded->data() + row * step);
  }
}

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

// The images side by side, `lanes` of them at a time, for each input. Lanes beyond the last image
// are zero.
void Columns(int images, int inputs, const float* x, int lanes, std::vector<float>* columns) {
  const int groups = (images + lanes - 1) / lanes;
  columns->resize(size_t(groups) * inputs * lanes);
#pragma omp parallel for schedule(static) collapse(2)
  for (int group = 0; group < groups; ++group) {
    for (int k = 0; k < inputs; ++k) {
      float* const column = columns->data() + (size_t(group) * inputs + k) * lanes;
      for (int lane = 0; lane < lanes; ++lane) {
        const int image = group * lanes + lane;
        column[lane] = image < images ? x[size_t(image) * inputs + k] : 0;
      }
    }
  }
}

}  // namespace

bool FewImagesProductServes() { return ActiveIsa() != Isa::kGeneric; }

void FewImagesProduct(int images, int inputs, int outputs, const float* x, const float* w,
                      const float* bias, float* y, std::vector<float>* scratch) {
  const int lanes = Lanes(ActiveIsa());
  const auto& kernels = few_images_kernels(ActiveIsa());
  // A lane for each row of the weights, or for each image.
  const bool by_rows = images <= kFewestImages;
  const int groups = by_rows ? 1 : (images + lanes - 1) / lanes;
  if (!by_rows) {
    Columns(images, inputs, x, lanes, scratch);
  }
  const int block_rows = by_rows ? lanes : kRows;
  const int blocks = (outputs + block_rows - 1) / block_rows;
#pragma omp parallel for schedule(static)
  for (int block = 0; block < blocks; ++block) {
    const int first = block * block_rows;
    const int rows = std::min(block_rows, outputs - first);
    float sums[16 * 16];  // of rows and lanes, or of images and rows
    for (int from = 0; from == 0 || from < inputs; from += kChunk) {
      const int chunk = std::min(kChunk, inputs - from);
      const float* weights[16];
      for (int r = 0; r < block_rows; ++r) {
        weights[r] = w + size_t(first + std::min(r, rows - 1)) * inputs + from;
      }
      for (int group = 0; group < groups; ++group) {
        const int image = group * lanes;
        if (by_rows) {
          kernels.row_sums(images, chunk, x + from, inputs, weights, sums);
        } else {
          kernels.sums(chunk, scratch->data() + (size_t(group) * inputs + from) * lanes, weights,
                       sums);
        }
        const int count = by_rows ? images : std::min(lanes, images - image);
        for (int i = 0; i < count; ++i) {
          float* const out = y + size_t(image + i) * outputs + first;
          for (int r = 0; r < rows; ++r) {
            const float before = from > 0 ? out[r] : bias ? bias[first + r] : 0;
            out[r] = before + sums[by_rows ? i * lanes + r : r * lanes + i];
          }
        }
      }
    }
  }
}

void FewImagesWeightDiff(int images, int inputs, int outputs, const float* x, const float* dy,
                         bool add, float* dw) {
  const auto tiles = few_images_kernels(ActiveIsa()).tiles;
  std::vector<float> packed, padded;
  PackRows(outputs, images, dy, 1, outputs, &packed);
  PadRows(images, inputs, x, &padded);
  const int kGroup = 16 * kTile;
#pragma omp parallel for schedule(static)
  for (int group = 0; group < (outputs + kGroup - 1) / kGroup; ++group) {
    const int end = std::min(outputs, (group + 1) * kGroup);
    for (int k = 0; k < inputs; k += kStretch) {
      for (int first = group * kGroup, rows; first < end; first += rows) {
        rows = TileRows(first, outputs);
        tiles(rows, std::min(kStretch, inputs - k), images, packed.data() + size_t(first) * images,
              padded.data() + k, PaddedStep(inputs), add, dw + size_t(first) * inputs + k, inputs);
      }
    }
  }
}

void FewImagesWeightDiffPieces(int images, int inputs, int outputs, const float* x, const float* dy,
                               const WeightDiffPiece& use) {
  const auto tiles = few_images_kernels(ActiveIsa()).tiles;
  std::vector<float> packed, padded;
  PackRows(outputs, images, dy, 1, outputs, &packed);
  PadRows(images, inputs, x, &padded);
#pragma omp parallel for schedule(static)
  for (int tile = 0; tile < (outputs + kTile - 1) / kTile; ++tile) {
    float piece[kTile * kFewImagesPiece];
    const int end = std::min(outputs, (tile + 1) * kTile);
    for (int first = tile * kTile, rows; first < end; first += rows) {
      rows = TileRows(first, outputs);
      for (int k = 0; k < inputs; k += kFewImagesPiece) {
        const int columns = std::min(kFewImagesPiece, inputs - k);
        tiles(rows, columns, images, packed.data() + size_t(first) * images, padded.data() + k,
              PaddedStep(inputs), false, piece, kFewImagesPiece);
        for (int r = 0; r < rows; ++r) {
          use(size_t(first + r) * inputs + k, columns, piece + r * kFewImagesPiece);
        }
      }
    }
  }
}

void FewImagesBottomDiff(int images, int inputs, int outputs, const float* dy, const float* w,
                         float* dx) {
  const auto tiles = few_images_kernels(ActiveIsa()).tiles;
  std::vector<float> packed;
  PackRows(images, outputs, dy, outputs, 1, &packed);
  const int step = PaddedStep(kStretch);
#pragma omp parallel
  {
    std::vector<float> block(size_t(kDepth) * step);
#pragma omp for schedule(static)
    for (int stretch = 0; stretch < (inputs + kStretch - 1) / kStretch; ++stretch) {
      const int k = stretch * kStretch, columns = std::min(kStretch, inputs - k);
      for (int n = 0; n < outputs; n += kDepth) {
        const int depth = std::min(kDepth, outputs - n);
        for (int p = 0; p < depth; ++p) {
          std::copy_n(w + size_t(n + p) * inputs + k, columns, block.data() + p * step);
        }
        for (int first = 0, rows; first < images; first += rows) {
          rows = TileRows(first, images);
          tiles(rows, columns, depth, packed.data() + size_t(first) * outputs + size_t(n) * rows,
                block.data(), step, n > 0, dx + size_t(first) * inputs + k, inputs);
        }
      }
    }
  }
}

}  // namespace caffe_ext
