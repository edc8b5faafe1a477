// Which gradients are summed together, and when they may be.
#ifndef CAFFE_EXT_PARALLEL_BUCKETS_HPP_
#define CAFFE_EXT_PARALLEL_BUCKETS_HPP_

#include <stddef.h>

#include <vector>

#include "caffe/net.hpp"

namespace caffe_ext {

/// A parameter blob as the buckets see it.
struct Gradient {
  int param;     ///< index into Net::learnable_params()
  int layer;     ///< the gradient is whole once this layer's backward has run
  size_t count;  ///< of its values
};

/// Gradients that travel as one message.
struct Bucket {
  std::vector<int> params;  ///< indices into Net::learnable_params()
  int layer;                ///< all of them are whole once this layer's backward has run
  size_t count;             ///< of their values together
};

/// The gradients that ranks have to sum: of shared parameters once, after the last of their
/// layers; of frozen ones (lr_mult 0) only with `frozen`.
std::vector<Gradient> GradientsOf(const caffe::Net<float>& net, bool frozen);

/// Fills buckets of at least `least` values (the last may be smaller) in backward's order. A
/// gradient of as many values has a bucket of its own, which those of fewer values do not wait for.
std::vector<Bucket> FillBuckets(std::vector<Gradient> gradients, size_t least);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_PARALLEL_BUCKETS_HPP_
