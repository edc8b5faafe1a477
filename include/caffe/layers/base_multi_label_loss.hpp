#ifndef CAFFE_BASE_MULTI_LABEL_LOSS_HPP_
#define CAFFE_BASE_MULTI_LABEL_LOSS_HPP_

#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layers/loss_layer.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe_ext {
class DeviceBuffer;
struct BadLabel;
}  // namespace caffe_ext

namespace caffe {

/**
 * @brief Base of the losses that compare N x C values x with labels Y that may be unknown:
 * @f[
 *   L = \frac{1}{Z} \sum_n \sum_c [Y_{nc} \textrm{ known}]\, \ell(x_{nc}, Y_{nc}, w_c)
 * @f]
 * It checks shapes and labels, computes Z, and adds up the terms on the CPU and the GPU. A loss
 * that inherits from it states \f$ \ell \f$ and its derivative as a class of terms
 * (src/layers/multi_label_terms.hpp), passes that to the four functions at the end of the list
 * below, and calls SetWeight in its LayerSetUp. The sum is a double's.
 *
 * Bottoms:
 *   -# N x C (or any shape of N samples with C values each, such as N x C x 1 x 1): x
 *   -# the same N and C: labels Y; a value that is no label of the loss stops the run (in GPU mode
 *      at the backward pass, before a weight changes, or at the next forward pass; L is NaN)
 * Tops:
 *   -# scalar: L
 *
 * Parameters:
 *   - loss_param.normalization: Z. BATCH_SIZE: N (the default of these losses), VALID: the number
 *     of known labels in the batch, FULL: N * C, NONE: 1. At least 1, so that a batch without any
 *     known label gives L = 0 and a gradient of 0.
 *   - loss_param.normalize (deprecated; only where normalization is unset): true: VALID, false:
 *     BATCH_SIZE.
 *   - loss_weight: as for every loss.
 */
template <typename Dtype>
class BaseMultiLabelLossLayer : public LossLayer<Dtype> {
 public:
  explicit BaseMultiLabelLossLayer(const LayerParameter& param);
  /// Reads the normalization.
  virtual void LayerSetUp(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Reshape(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);

 protected:
  /// What messages call a value of the first bottom, such as "score".
  virtual const char* ValueName() const = 0;
  /// What messages say of the values that are labels, such as "labels are 0 or 1".
  virtual const char* LabelsAre() const = 0;
  /// Sees the labels of every forward pass of a test, and of every backward pass of a training.
  virtual void WatchLabels(const Blob<Dtype>& labels) {}
  /// Sets w to the values of the parameter of this name: one for all classes, or one per class; to
  /// 1 where there is none. Stops the run at a value that is not positive.
  void SetWeight(const string& name, const google::protobuf::RepeatedField<float>& values);
  /// "Type layer 'name'", the start of every message.
  string Title() const;

  // The passes, given the terms of the loss: multi_label_loss_passes.hpp and .cuh define them.

  template <typename Terms>
  void ForwardTerms_cpu(const Terms& terms, const vector<Blob<Dtype>*>& bottom,
                        const vector<Blob<Dtype>*>& top);
  /// Sets the first bottom's gradient, scaled by the loss weight that top[0]'s diff holds.
  template <typename Terms>
  void BackwardTerms_cpu(const Terms& terms, const vector<Blob<Dtype>*>& top,
                         const vector<bool>& propagate_down, const vector<Blob<Dtype>*>& bottom);
  template <typename Terms>
  void ForwardTerms_gpu(const Terms& terms, const vector<Blob<Dtype>*>& bottom,
                        const vector<Blob<Dtype>*>& top);
  template <typename Terms>
  void BackwardTerms_gpu(const Terms& terms, const vector<Blob<Dtype>*>& top,
                         const vector<bool>& propagate_down, const vector<Blob<Dtype>*>& bottom);

 private:
  /// Z, given how many labels of the batch are known.
  double Normalizer(int samples, int classes, int known) const;
  /// Stops the run at a label that is none.
  void FailAtLabel(int index, int classes, double value) const;
  /// Stops the run where the GPU has reported a label since the last forward pass.
  void StopAtBadLabel(int classes) const;

  LossParameter_NormalizationMode normalization_;
  /// Z of the last forward pass, where that ran.
  Blob<double> normalizer_;
  /// w, one value or one per class, and the name of its parameter.
  Blob<double> weight_;
  string weight_name_;
  /// Partial sums of a forward pass on the GPU.
  shared_ptr<caffe_ext::DeviceBuffer> scratch_;
  /// In host memory that the GPU writes to, so that no iteration waits for a copy.
  shared_ptr<caffe_ext::BadLabel> bad_label_;
};

}  // namespace caffe

#endif  // CAFFE_BASE_MULTI_LABEL_LOSS_HPP_
