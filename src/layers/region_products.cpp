// The matrix products of the Region layer on the CPU, and the matrix of columns that they take.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "caffe/layers/region_layer.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe {

namespace {

// What one tap (dy, dx) of the kernel sees of an h x w plane: pixel (y + dy, x + dx) for output
// (y, x), so element i + shift for element i, for i in [first, last). Of these the columns in
// which x + dx leaves the plane got a pixel of a neighbouring row and must be zero instead.
struct TapView {
  int shift, first, last;
  int zero_begin, zero_end;

  TapView(int h, int w, int dy, int dx)
      : shift(dy * w + dx), first(0), last(0), zero_begin(0), zero_end(0) {
    if (std::abs(dy) >= h || std::abs(dx) >= w) {
      return;  // this tap never meets the plane
    }
    first = std::max(0, -dy) * w + std::max(0, -dx);
    last = (h - std::max(0, dy)) * w - std::max(0, dx);
    zero_begin = dx > 0 ? w - dx : 0;
    zero_end = dx > 0 ? w : -dx;
  }

  template <typename Dtype>
  void ClearOutside(int h, int w, Dtype* plane) const {
    std::fill(plane, plane + first, Dtype(0));
    std::fill(plane + last, plane + h * w, Dtype(0));
    for (int y = 0; y < h; ++y) {
      std::fill(plane + y * w + zero_begin, plane + y * w + zero_end, Dtype(0));
    }
  }
};

// Calls visit(tap, channel, row of the column matrix) for every row of the column matrix.
template <typename Visit>
inline void ForEachTap(const RegionGeometry& geometry, const RegionPatch& patch,
                       const Visit& visit) {
  const int k = geometry.kernel_size;
  const int pad = (k - 1) / 2;
  int row = 0;
  for (int c = 0; c < geometry.channels; ++c) {
    for (int ky = 0; ky < k; ++ky) {
      for (int kx = 0; kx < k; ++kx, ++row) {
        visit(TapView(patch.height(), patch.width(), ky - pad, kx - pad), c, row);
      }
    }
  }
}

}  // namespace

// normalized_ data -> columns_ data
template <typename Dtype>
void RegionLayer<Dtype>::Im2Col(const RegionPatch& patch, int images) {
  const int area = patch.area();
  const Dtype* normalized = normalized_.cpu_data();
  Dtype* columns = columns_.mutable_cpu_data();
  ForEachTap(geometry_, patch, [=](const TapView& tap, int c, int row) {
    for (int n = 0; n < images; ++n) {
      const Dtype* from = normalized + (c * images + n) * area;
      Dtype* to = columns + (row * images + n) * area;
      std::copy(from + tap.first + tap.shift, from + tap.last + tap.shift, to + tap.first);
      tap.ClearOutside(patch.height(), patch.width(), to);
    }
  });
}

// columns_ diff (spoiled outside the taps' reach) -> normalized_ diff
template <typename Dtype>
void RegionLayer<Dtype>::Col2Im(const RegionPatch& patch, int images) {
  const int area = patch.area();
  Dtype* columns = columns_.mutable_cpu_diff();
  Dtype* normalized = normalized_.mutable_cpu_diff();
  caffe_set(normalized_.count(), Dtype(0), normalized);
  ForEachTap(geometry_, patch, [=](const TapView& tap, int c, int row) {
    for (int n = 0; n < images; ++n) {
      Dtype* from = columns + (row * images + n) * area;
      Dtype* to = normalized + (c * images + n) * area + tap.shift;
      tap.ClearOutside(patch.height(), patch.width(), from);
      for (int i = tap.first; i < tap.last; ++i) {
        to[i] += from[i];
      }
    }
  });
}

template <typename Dtype>
void RegionLayer<Dtype>::AddWeightDiff(int g, int columns) {
  caffe_cpu_gemm<Dtype>(CblasNoTrans, CblasTrans, geometry_.num_output, geometry_.taps(), columns,
                        1, output_.cpu_diff(), columns_.cpu_data(), 1,
                        this->blobs_[0]->mutable_cpu_diff() + geometry_.weight_offset(g));
}

template <typename Dtype>
void RegionLayer<Dtype>::ColumnDiff(int g, int columns) {
  caffe_cpu_gemm<Dtype>(CblasTrans, CblasNoTrans, geometry_.taps(), columns, geometry_.num_output,
                        1, this->blobs_[0]->cpu_data() + geometry_.weight_offset(g),
                        output_.cpu_diff(), 0, columns_.mutable_cpu_diff());
}

template void RegionLayer<float>::Im2Col(const RegionPatch&, int);
template void RegionLayer<double>::Im2Col(const RegionPatch&, int);
template void RegionLayer<float>::Col2Im(const RegionPatch&, int);
template void RegionLayer<double>::Col2Im(const RegionPatch&, int);
template void RegionLayer<float>::AddWeightDiff(int, int);
template void RegionLayer<double>::AddWeightDiff(int, int);
template void RegionLayer<float>::ColumnDiff(int, int);
template void RegionLayer<double>::ColumnDiff(int, int);

}  // namespace caffe
