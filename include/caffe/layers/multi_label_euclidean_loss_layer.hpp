#ifndef CAFFE_MULTI_LABEL_EUCLIDEAN_LOSS_LAYER_HPP_
#define CAFFE_MULTI_LABEL_EUCLIDEAN_LOSS_LAYER_HPP_

#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layers/base_multi_label_loss.hpp"
#include "caffe/proto/caffe.pb.h"

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
 * Bottoms, tops, and the parameters normalization, normalize and loss_weight: as
 * BaseMultiLabelLossLayer says; x are estimates, and Y in [0, 5] or 9. Blobs: none.
 *
 * Further parameters:
 *   - loss_param.ignore_label: refused; 9 means unknown already.
 *   - multi_label_euclidean_loss_param.weight: w, one positive value for all classes or one per
 *     class; default 1.
 *   - multi_label_euclidean_loss_param.delta: the distance from which the loss grows linearly; 0
 *     (default): squared everywhere.
 *
 * Source: Caffe's EuclideanLoss, which this equals where all labels are known; Huber, "Robust
 * Estimation of a Location Parameter", Annals of Mathematical Statistics 35 (1964), for delta.
 */
template <typename Dtype>
class MultiLabelEuclideanLossLayer : public BaseMultiLabelLossLayer<Dtype> {
 public:
  explicit MultiLabelEuclideanLossLayer(const LayerParameter& param)
      : BaseMultiLabelLossLayer<Dtype>(param), delta_(0) {}
  virtual void LayerSetUp(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);

  virtual inline const char* type() const { return "MultiLabelEuclideanLoss"; }

 protected:
  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom);
  virtual void Forward_gpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Backward_gpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom);

  virtual const char* ValueName() const { return "estimate"; }
  virtual const char* LabelsAre() const;

  double delta_;
};

}  // namespace caffe

#endif  // CAFFE_MULTI_LABEL_EUCLIDEAN_LOSS_LAYER_HPP_
