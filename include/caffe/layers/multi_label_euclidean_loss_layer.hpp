#ifndef CAFFE_MULTI_LABEL_EUCLIDEAN_LOSS_LAYER_HPP_
#define CAFFE_MULTI_LABEL_EUCLIDEAN_LOSS_LAYER_HPP_

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
 * @brief Squared distance of C estimates from labels that may be unknown, such as the intensities
 * of action units:
 * @f[
 *   L = \frac{1}{Z} \sum_n \sum_c [Y_{nc} \neq 9]\, w_c\, h(x_{nc} - Y_{nc}), \qquad
 *   h(d) = \left\{ \begin{array}{ll} d^2 / 2 & |d| \le \delta \textrm{ or } \delta = 0 \\
 *                                    \delta (|d| - \delta / 2) & \textrm{otherwise}
 *          \end{array} \right.
 * @f]
 * @f[
 *   \frac{\partial L}{\partial x_{nc}} = \frac{1}{Z} [Y_{nc} \neq 9]\, w_c\,
 *      \min(\max(x_{nc} - Y_{nc}, -\delta), \delta)
 * @f]
 * (without the bounds where delta is 0). A label is a number from 0 (absent) to 5, or 9 (unknown:
 * no loss, no gradient), as FACS and the data sets code intensities. The sum is a double's.
 *
 * Bottoms:
 *   -# N x C (or any shape of N samples with C values each, such as N x C x 1 x 1): estimates x
 *   -# the same N and C: labels Y in [0, 5] or 9; anything else stops the run (in GPU mode at the
 *      backward pass, before a weight changes, or at the next forward pass; the loss is NaN)
 * Tops:
 *   -# scalar: L
 * Blobs: none.
 *
 * Parameters:
 *   - loss_param.normalization: Z: BATCH_SIZE (default): N; VALID: number of known labels in the
 *     batch; FULL: N * C; NONE: 1. At least 1 in each case.
 *   - loss_param.normalize (deprecated; only where normalization is unset): true: VALID, false:
 *     BATCH_SIZE.
 *   - loss_param.ignore_label: refused; 9 means unknown already.
 *   - multi_label_euclidean_loss_param.weight: w, one positive value for all classes or one per
 *     class; default 1.
 *   - multi_label_euclidean_loss_param.delta: the distance from which the loss grows linearly; 0
 *     (default): squared everywhere.
 *   - loss_weight: as for every loss.
 *
 * Source: Caffe's EuclideanLoss, which this equals where all labels are known; Huber, "Robust
 * Estimation of a Location Parameter", Annals of Mathematical Statistics 35 (1964), for delta.
 */
template <typename Dtype>
class MultiLabelEuclideanLossLayer : public LossLayer<Dtype> {
 public:
  explicit MultiLabelEuclideanLossLayer(const LayerParameter& param)
      : LossLayer<Dtype>(param),
        normalization_(LossParameter_NormalizationMode_BATCH_SIZE),
        delta_(0),
        normalizer_(vector<int>(1, 1)) {}
  virtual void LayerSetUp(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Reshape(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);

  virtual inline const char* type() const { return "MultiLabelEuclideanLoss"; }

 protected:
  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  /// Sets the estimates' gradient, scaled by the loss weight that top[0]'s diff holds.
  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom);
  virtual void Forward_gpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Backward_gpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom);

  /// Z, given how many labels of the batch are known.
  double Normalizer(int samples, int classes, int known) const;
  /// Stops the run at a label that is none.
  void FailAtLabel(int index, int classes, double value) const;
  /// Stops the run where the GPU has reported a label since the last forward pass.
  void StopAtBadLabel(int classes) const;
  /// "MultiLabelEuclideanLoss layer 'name'", the start of every message.
  string Title() const;

  LossParameter_NormalizationMode normalization_;
  double delta_;
  /// Z of the last forward pass, where that ran.
  Blob<double> normalizer_;
  /// Weight of the terms: one value, or one per class.
  Blob<double> weight_;
  /// Partial sums of a forward pass on the GPU.
  shared_ptr<caffe_ext::DeviceBuffer> scratch_;
  /// In host memory that the GPU writes to, so that no iteration waits for a copy.
  shared_ptr<caffe_ext::BadLabel> bad_label_;
};

}  // namespace caffe

#endif  // CAFFE_MULTI_LABEL_EUCLIDEAN_LOSS_LAYER_HPP_
