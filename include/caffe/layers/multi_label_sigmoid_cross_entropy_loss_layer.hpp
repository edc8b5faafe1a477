#ifndef CAFFE_MULTI_LABEL_SIGMOID_CROSS_ENTROPY_LOSS_LAYER_HPP_
#define CAFFE_MULTI_LABEL_SIGMOID_CROSS_ENTROPY_LOSS_LAYER_HPP_

#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layers/base_multi_label_loss.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe_ext {
class LabelWatch;
}

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
 * Bottoms, tops, and the parameters normalization, normalize and loss_weight: as
 * BaseMultiLabelLossLayer says; x are scores, and Y in {-1, 0, 1}. Further tops:
 *   -# (optional) the scores' shape: probabilities p, for reading only: no gradient flows back
 *      from here, and its loss_weight must be 0 (which it is where none is given)
 *
 * Further parameters:
 *   - loss_param.ignore_label: 0 or unset. Unset, a training is stopped at labels 0 and 1 without
 *     any -1 once there are 10,000 of them (in backward passes), as 0 was probably written for
 *     absent; a test logs an error. 0 says that it does mean unknown.
 *   - multi_label_loss_param.pos_weight: w, one positive value for all classes or one per class;
 *     default 1.
 *
 * Source: the multi-label loss of "Deep Region and Multi-label Learning for Facial Action Unit
 * Detection", CVPR 2016; pos_weight and the other normalizations are additions.
 */
template <typename Dtype>
class MultiLabelSigmoidCrossEntropyLossLayer : public BaseMultiLabelLossLayer<Dtype> {
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
  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom);
  virtual void Forward_gpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Backward_gpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom);

  virtual const char* ValueName() const { return "score"; }
  virtual const char* LabelsAre() const;
  /// Stops a training where enough labels look as if 0 were written for absent.
  virtual void WatchLabels(const Blob<Dtype>& labels);

  shared_ptr<caffe_ext::LabelWatch> watch_;
};

}  // namespace caffe

#endif  // CAFFE_MULTI_LABEL_SIGMOID_CROSS_ENTROPY_LOSS_LAYER_HPP_
