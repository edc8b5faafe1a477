// im2col and col2im of 2-D convolutions, row by row and on all cores.
//
// The plain convolution spends a third of its time in upstream's element-by-element loops. These
// copy whole rows, and share the rows of the column matrix (im2col) or the channels of the image
// (col2im) among the threads; every element is written by one thread, in upstream's order, so the
// results are the same to the bit. Upstream's pair is compiled under the names in
// engines/upstream.hpp, for the tests.
#include "caffe/util/im2col.hpp"

#include <algorithm>
#include <cstddef>

namespace caffe {
namespace {

// One axis of a convolution: where output position 0 reads, and which outputs read inside.
struct Axis {
  int in, out, kernel, pad, stride, dilation;

  Axis(int in_size, int kernel_size, int pad_size, int stride_size, int dilation_size)
      : in(in_size),
        out(Outputs(in_size + 2 * pad_size - (dilation_size * (kernel_size - 1) + 1), stride_size)),
        kernel(kernel_size),
        pad(pad_size),
        stride(stride_size),
        dilation(dilation_size) {}

  // Upstream's formula, which rounds towards zero: one output where the kernel is larger than the
  // padded input by less than the stride. Larger still, and there is none; upstream counts below
  // zero there and never comes to an end.
  static int Outputs(int room, int stride_size) { return std::max(0, room / stride_size + 1); }

  // Input position that output `position` reads with tap `tap`; outside [0, in) in the padding.
  int Source(int position, int tap) const { return position * stride - pad + tap * dilation; }

  // The outputs [*first, *last) read inside the input with this tap.
  void Inside(int tap, int* first, int* last) const {
    const int start = Source(0, tap);
    *first = start >= 0 ? 0 : std::min(out, (-start + stride - 1) / stride);
    *last = start >= in ? 0 : std::min(out, (in - 1 - start) / stride + 1);
    *last = std::max(*first, *last);
  }
};

}  // namespace

template <typename Dtype>
void im2col_cpu(const Dtype* data_im, const int channels, const int height, const int width,
                const int kernel_h, const int kernel_w, const int pad_h, const int pad_w,
                const int stride_h, const int stride_w, const int dilation_h, const int dilation_w,
                Dtype* data_col) {
  const Axis y(height, kernel_h, pad_h, stride_h, dilation_h);
  const Axis x(width, kernel_w, pad_w, stride_w, dilation_w);
  const int rows = channels * kernel_h * kernel_w;
#pragma omp parallel for schedule(static)
  for (int row = 0; row < rows; ++row) {
    const int tap_x = row % kernel_w, tap_y = row / kernel_w % kernel_h;
    const Dtype* image =
        data_im + static_cast<size_t>(row / (kernel_w * kernel_h)) * height * width;
    Dtype* col = data_col + static_cast<size_t>(row) * y.out * x.out;
    int first, last;
    x.Inside(tap_x, &first, &last);
    for (int out_y = 0; out_y < y.out; ++out_y, col += x.out) {
      const int in_y = y.Source(out_y, tap_y);
      if (in_y < 0 || in_y >= height || first == last) {
        std::fill(col, col + x.out, Dtype(0));
        continue;
      }
      const Dtype* source = image + static_cast<size_t>(in_y) * width + x.Source(first, tap_x);
      std::fill(col, col + first, Dtype(0));
      if (stride_w == 1) {
        std::copy(source, source + (last - first), col + first);
      } else {
        for (int out_x = first; out_x < last; ++out_x, source += stride_w) col[out_x] = *source;
      }
      std::fill(col + last, col + x.out, Dtype(0));
    }
  }
}

template <typename Dtype>
void col2im_cpu(const Dtype* data_col, const int channels, const int height, const int width,
                const int kernel_h, const int kernel_w, const int pad_h, const int pad_w,
                const int stride_h, const int stride_w, const int dilation_h, const int dilation_w,
                Dtype* data_im) {
  const Axis y(height, kernel_h, pad_h, stride_h, dilation_h);
  const Axis x(width, kernel_w, pad_w, stride_w, dilation_w);
#pragma omp parallel for schedule(static)
  for (int channel = 0; channel < channels; ++channel) {
    Dtype* image = data_im + static_cast<size_t>(channel) * height * width;
    std::fill(image, image + static_cast<size_t>(height) * width, Dtype(0));
    const Dtype* col =
        data_col + static_cast<size_t>(channel) * kernel_h * kernel_w * y.out * x.out;
    for (int tap_y = 0; tap_y < kernel_h; ++tap_y) {
      for (int tap_x = 0; tap_x < kernel_w; ++tap_x) {
        int first, last;
        x.Inside(tap_x, &first, &last);
        for (int out_y = 0; out_y < y.out; ++out_y, col += x.out) {
          const int in_y = y.Source(out_y, tap_y);
          if (in_y < 0 || in_y >= height || first == last) continue;
          Dtype* target = image + static_cast<size_t>(in_y) * width + x.Source(first, tap_x);
          const Dtype* source = col + first;
          const int count = last - first;
          if (stride_w == 1) {
            for (int i = 0; i < count; ++i) target[i] += source[i];
          } else {
            for (int i = 0; i < count; ++i) target[static_cast<size_t>(i) * stride_w] += source[i];
          }
        }
      }
    }
  }
}

#define INSTANTIATE(Dtype)                                                                        \
  template void im2col_cpu<Dtype>(const Dtype*, int, int, int, int, int, int, int, int, int, int, \
                                  int, Dtype*);                                                   \
  template void col2im_cpu<Dtype>(const Dtype*, int, int, int, int, int, int, int, int, int, int, \
                                  int, Dtype*)
INSTANTIATE(float);
INSTANTIATE(double);
#undef INSTANTIATE

}  // namespace caffe
