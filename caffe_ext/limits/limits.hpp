// What is read from files is bounded: docs/limits.md lists these, and what a fault says.
#ifndef CAFFE_EXT_LIMITS_LIMITS_HPP_
#define CAFFE_EXT_LIMITS_LIMITS_HPP_

#include <climits>
#include <cstdint>

namespace caffe_ext {

/// Of an image, read from its header before it is decoded: the largest photos of phones, 16320 x
/// 12240, are read. drml/io/limits.py has the same two numbers.
const int64_t kMaxImageSide = 16384;
const int64_t kMaxImagePixels = 16384 * 12288;
/// Of an image as it is stored.
const int64_t kMaxImageBytes = int64_t(256) << 20;
/// Of a record of an LMDB.
const int64_t kMaxDatumBytes = int64_t(512) << 20;
const int64_t kMaxLabels = 65536;
/// Of a text file of images and labels.
const int64_t kMaxListBytes = int64_t(1) << 30;
/// Of a message written as text: a net, a solver. (One in binary has protobuf's limit, 2 GB.)
const int64_t kMaxTextBytes = int64_t(64) << 20;
const int64_t kMaxNetLayers = 10000;

/// A label or an index, which comes as a floating-point number: without its fraction; INT_MIN,
/// which is none, where an int cannot hold it.
template <typename Dtype>
inline int ToIndex(Dtype value) {
  return value > -2147483648.0 && value < 2147483648.0 ? static_cast<int>(value) : INT_MIN;
}

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LIMITS_LIMITS_HPP_
