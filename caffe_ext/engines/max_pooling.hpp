// Max pooling on blocked memory, in which NaN is never lost.
#ifndef CAFFE_EXT_ENGINES_MAX_POOLING_HPP_
#define CAFFE_EXT_ENGINES_MAX_POOLING_HPP_

#include <stdint.h>

#include "engines/isa.hpp"

namespace caffe_ext {

/// Windows over a map; each has at least one pixel inside of it.
struct PoolingWindows {
  int height, width;          ///< of the map
  int out_height, out_width;  ///< windows down and across
  int kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;

  /// Whether the place inside of a window fits into a byte.
  bool Served() const { return kernel_h <= 255 / kernel_w; }
};

/**
 * @brief Passes over one plane of height x width x B floats (engines/isa.hpp); B is 8 or 16.
 *
 * oneDNN's pooling, like everything that asks `x > max`, passes over NaN. Here a window with a NaN
 * becomes NaN, and its gradient goes to that place.
 */
struct MaxPooling {
  /// y = max(x) of each window; in `where` the first place of it, row by row inside of the window.
  void (*pool)(int block, const PoolingWindows& windows, const float* x, float* y, uint8_t* where);

  /// dx = dy at that place, added up where windows share it; 0 elsewhere.
  void (*spread)(int block, const PoolingWindows& windows, const uint8_t* where, const float* dy,
                 float* dx);
};

CAFFE_EXT_KERNEL_TABLE(MaxPooling, max_pooling)

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_MAX_POOLING_HPP_
