// Inner product for batches of few images.
#ifndef CAFFE_EXT_ENGINES_INNER_PRODUCT_HPP_
#define CAFFE_EXT_ENGINES_INNER_PRODUCT_HPP_

#include <string>
#include <vector>

#include "caffe/layers/inner_product_layer.hpp"
#include "engines/onednn_layer.hpp"

namespace caffe_ext {

/**
 * @brief The stock InnerProduct, its products run by few_images_product.hpp where the images are
 * few, and by the BLAS, as in the stock layer, where they are many or `transpose` is set.
 *
 * Where the weights' diff is known to be zero (the first backward after Net::ClearParamDiffs), it
 * is not added to. If the images are few and nobody has asked for its plain memory, it is kept as
 * two factors (factored_gradient.hpp).
 *
 * None of the products is oneDNN's. Its float32 gemm ("gemm:jit") keeps the stack pointer in its
 * own heap memory while it runs, in all releases before 3.11.2; a signal that arrives then has the
 * kernel write its frame there, over what stands in front, and the process ends later, in free().
 * Caffe handles SIGINT and SIGHUP, so every interrupted training ran that risk.
 * test_engine_signals.cpp holds that no layer of the engine does such a thing.
 */
class EngineInnerProduct : public OneDnnLayer<caffe::InnerProductLayer<float> > {
 public:
  typedef caffe::InnerProductLayer<float> Plain;

  explicit EngineInnerProduct(const caffe::LayerParameter& param) : OneDnnLayer(param) {}

 protected:
  virtual std::vector<int> PlanFor(const Blobs& bottom) const { return {M_}; }
  virtual bool Plan(const Blobs& bottom, const Blobs& top);
  virtual std::string KernelNames() const;
  virtual void PlannedForward(const Blobs& bottom, const Blobs& top);
  virtual void PlannedBackward(const Blobs& top, const std::vector<bool>& propagate_down,
                               const Blobs& bottom);

 private:
  /// Whether the products of few_images_product.hpp serve, which are fast up to `most` images.
  bool FewImages(int most) const;

  std::vector<float> scratch_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_INNER_PRODUCT_HPP_
