// What surrounds every pass of a layer.
#ifndef CAFFE_EXT_LIMITS_LAYER_PASS_HPP_
#define CAFFE_EXT_LIMITS_LAYER_PASS_HPP_

#include <vector>

#include "limits/host_memory.hpp"

namespace caffe {
template <typename Dtype>
class Blob;
template <typename Dtype>
class Layer;
}  // namespace caffe

namespace caffe_ext {

/// SetUp, Reshape of a net, Forward or Backward.
enum class Pass { kSetUp, kReshape, kForward, kBackward };

/**
 * @brief Lives as long as a pass of a layer runs (patches/42-checked-nets.patch).
 *
 * Fatal messages name the layer. What would let Caffe's code read or write where it must not is
 * checked first: the shapes of the inputs (check_net.hpp), files before SetUp (check_files.hpp),
 * and on the CPU labels and indices before Forward and Backward (check_values.hpp).
 */
template <typename Dtype>
class LayerPass {
 public:
  typedef std::vector<caffe::Blob<Dtype>*> Blobs;
  LayerPass(Pass pass, const caffe::Layer<Dtype>& layer, const Blobs& bottom, const Blobs& top);

 private:
  const LayerAtWork at_work_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LIMITS_LAYER_PASS_HPP_
