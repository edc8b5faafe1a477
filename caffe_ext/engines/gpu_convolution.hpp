// Convolutions on the GPU whose matrix products take several images at once.
#ifndef CAFFE_EXT_ENGINES_GPU_CONVOLUTION_HPP_
#define CAFFE_EXT_ENGINES_GPU_CONVOLUTION_HPP_

#ifndef CPU_ONLY

#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layers/conv_layer.hpp"

namespace caffe_ext {

/**
 * @brief Caffe's convolution, whose passes on the GPU launch a few kernels for a group of images
 * rather than for each image.
 *
 * Channels of one image and images of one batch lie in memory one behind the other, so that one
 * im2col over n * C channels gives the columns of n images. One strided product of cuBLAS then
 * multiplies them all. A group has as many images as fit into ColumnBytes(). The gradient of the
 * weights is a product for each image, and their sum.
 *
 * Convolutions of other than two axes, on the CPU, and with `engine: CAFFE`, are upstream's.
 */
template <typename Dtype>
class GpuConvolution : public caffe::ConvolutionLayer<Dtype> {
 public:
  typedef std::vector<caffe::Blob<Dtype>*> Blobs;
  using caffe::ConvolutionLayer<Dtype>::ConvolutionLayer;

  /// Scratch memory that a layer takes at most, if its batch has more than one image.
  static size_t& ColumnBytes();

 protected:
  virtual void Forward_gpu(const Blobs& bottom, const Blobs& top);
  virtual void Backward_gpu(const Blobs& top, const std::vector<bool>& propagate_down,
                            const Blobs& bottom);

 private:
  // The products of one group, and the lengths of what belongs to one image.
  struct Sizes {
    int outputs, depth, places;  // of a group's product: outputs x places = (outputs x depth) * ...
    int columns;                 // values of an image's columns
    int images;                  // at once, with columns alone
    int images_of_weights;       // at once, with a gradient of the weights each
  };
  bool Batches() const;
  Sizes FindSizes() const;
  const Dtype* Columns(const Dtype* data, int images);
  void AddBias(const Dtype* bias, int images, Dtype* top);
  void AddBiasDiff(const Dtype* top_diff, Dtype* bias_diff);
  void AddWeightDiff(const Sizes& sizes, const Dtype* columns, const Dtype* top_diff, int images,
                     Dtype* weight_diff);
  const Dtype* Ones(int count);

  caffe::Blob<Dtype> columns_, weight_diffs_, map_sums_, ones_;
};

}  // namespace caffe_ext

#endif  // CPU_ONLY

#endif  // CAFFE_EXT_ENGINES_GPU_CONVOLUTION_HPP_
