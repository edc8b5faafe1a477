#ifndef CAFFE_MULTI_LABEL_SIGMOID_CROSS_ENTROPY_LOSS_LAYER_HPP_
#define CAFFE_MULTI_LABEL_SIGMOID_CROSS_ENTROPY_LOSS_LAYER_HPP_

#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layers/loss_layer.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe_ext {
class DeviceBuffer;
class LabelWatch;
struct BadLabel;
}  // namespace caffe_ext

namespace caffe {

/**
 * @brief Cross-entropy over C independent yes/no classes whose labels may be unknown:
 * @f[
 *   L = -\frac{1}{Z} \sum_n \sum_c \left\{ [Y_{nc} > 0]\, w_c \log p_{nc}
 *                                        + [Y_{nc} < 0] \log(1 - p_{nc}) \right\},
 *   \qquad p = \sigma(x)
 * @f]
 * @f[
 *   \frac{\partial L}{\partial x_{nc}} = \frac{1}{Z} \left\{ [Y_{nc} < 0]\, p_{nc}
 *                                        - [Y_{nc} > 0]\, w_c (1 - p_{nc}) \right\}
 * @f]
 * A label is 1 (present), -1 (absent) or 0 (unknown: no loss, no gradient). The scores enter
 * before the sigmoid, so that values of +-1e4 and beyond stay exact. The sum is a double's.
 *
 * Bottoms:
 *   -# N x C (or any shape of N samples with C values each, such as N x C x 1 x 1): scores x
 *   -# the same N and C: labels Y in {-1, 0, 1}; anything else stops the run (in GPU mode at the
 *      backward pass, before a weight changes, or at the next forward pass; the loss is NaN)
 * Tops:
 *   -# scalar: L
 *   -# (optional) the scores' shape: probabilities p, for reading only: no gradient flows back
 *      from here, and its loss_weight must be 0 (which it is where none is given)
 *
 * Parameters:
 *   - loss_param.normalization: what Z is. BATCH_SIZE: N (the default of this layer), VALID: the
 *     number of known labels, FULL: N * C, NONE: 1. At least 1, so that a batch without any known
 *     label gives L = 0 and a gradient of 0.
 *   - loss_param.normalize (deprecated; only where normalization is unset): true: VALID, false:
 *     BATCH_SIZE.
 *   - loss_param.ignore_label: 0 or unset. Unset, a training is stopped at labels 0 and 1 without
 *     any -1 once there are 10,000 of them (in backward passes), as 0 was probably written for
 *     absent; a test logs an error. 0 says that it does mean unknown.
 *   - multi_label_loss_param.pos_weight: w, one positive value for all classes or one per class;
 *     default 1.
 *   - loss_weight: as for every loss.
 *
 * Source: the multi-label loss of "Deep Region and Multi-label Learning for Facial Action Unit
 * Detection", CVPR 2016; pos_weight and the other normalizations are additions.
 */
template <typename Dtype>
class MultiLabelSigmoidCrossEntropyLossLayer : public LossLayer<Dtype> {
 public:
  explicit MultiLabelSigmoidCrossEntropyLossLayer(const LayerParameter& param);
  virtual void LayerSetUp(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Reshape(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);

  virtual inline const char* type() const { return "MultiLabelSigmoidCrossEntropyLoss"; }
  virtual inline int ExactNumTopBlobs() const { return -1; }
  virtual inline int MinTopBlobs() const { return 1; }
  virtual inline int MaxTopBlobs() const { return 2; }

 protected:
  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  /// Sets the scores' gradient, scaled by the loss weight that top[0]'s diff holds.
  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom);
  virtual void Forward_gpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Backward_gpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom);

  /// Z, given how many labels of the batch are known.
  double Normalizer(int samples, int classes, int known) const;
  /// Stops the run at a label that is none.
  void FailAtLabel(int index, int classes, double value) const;
  /// Stops a training where enough labels look as if 0 were written for absent.
  void WatchLabels(const Blob<Dtype>& labels);
  /// Stops the run where the GPU has reported a label since the last forward pass.
  void StopAtBadLabel(int classes) const;
  /// "MultiLabelSigmoidCrossEntropyLoss layer 'name'", the start of every message.
  string Title() const;

  LossParameter_NormalizationMode normalization_;
  /// Z of the last forward pass, where that ran.
  Blob<double> normalizer_;
  /// Weight of the positive terms: one value, or one per class.
  Blob<double> pos_weight_;
  shared_ptr<caffe_ext::LabelWatch> watch_;
  /// Partial sums of a forward pass on the GPU.
  shared_ptr<caffe_ext::DeviceBuffer> scratch_;
  /// In host memory that the GPU writes to, so that no iteration waits for a copy.
  shared_ptr<caffe_ext::BadLabel> bad_label_;
};

}  // namespace caffe

#endif  // CAFFE_MULTI_LABEL_SIGMOID_CROSS_ENTROPY_LOSS_LAYER_HPP_
