// Inner product on oneDNN.
#ifndef CAFFE_EXT_ENGINES_INNER_PRODUCT_HPP_
#define CAFFE_EXT_ENGINES_INNER_PRODUCT_HPP_

#include <vector>

#include "caffe/layers/inner_product_layer.hpp"
#include "engines/onednn.hpp"

namespace caffe_ext {

/**
 * @brief The stock InnerProduct, its gradients run by oneDNN on plain memory.
 *
 * The forward product reads the weights once where the images are few (few_images_product.hpp),
 * else it is the stock one, which measured faster than oneDNN's. The weights' gradient is written,
 * not added, where the diff is known to be zero (the first backward after Net::ClearParamDiffs);
 * else, and with `transpose`, the stock code runs.
 */
class EngineInnerProduct : public caffe::InnerProductLayer<float> {
 public:
  typedef caffe::InnerProductLayer<float> Plain;
  typedef std::vector<caffe::Blob<float>*> Blobs;

  explicit EngineInnerProduct(const caffe::LayerParameter& param)
      : Plain(param), planned_images_(-1), threads_(0), usable_(false) {}

 protected:
  virtual void Forward_cpu(const Blobs& bottom, const Blobs& top);
  virtual void Backward_cpu(const Blobs& top, const std::vector<bool>& propagate_down,
                            const Blobs& bottom);

 private:
  /// Primitives for the present batch and number of threads; false: this one runs as stock.
  bool Plan();
  void AddWeightDiff(const float* bottom_data, const float* top_diff);

  int planned_images_, threads_;
  bool usable_;
  onednn::Desc source_, weights_, target_;
  dnnl::inner_product_backward_weights backward_weights_;
  dnnl::inner_product_backward_data backward_data_;
  std::vector<float> columns_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_INNER_PRODUCT_HPP_
