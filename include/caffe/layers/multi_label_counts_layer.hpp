#ifndef CAFFE_MULTI_LABEL_COUNTS_LAYER_HPP_
#define CAFFE_MULTI_LABEL_COUNTS_LAYER_HPP_

#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layer.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe_ext {
class LabelWatch;
}  // namespace caffe_ext

namespace caffe {

/**
 * @brief Counts, class by class, how the predictions for a batch compare with its labels, so that
 * the F1 of a test pass can be computed from what Caffe prints, and, with a second top, whether the
 * net tells samples apart at all:
 * @f[
 *   F1 = \frac{2\,TP}{2\,TP + FP + FN}
 * @f]
 *
 * A class counts as predicted where p = sigmoid(x), rounded to Dtype as a Sigmoid layer's output
 * is, is at least the threshold. Samples whose label is unknown count nowhere.
 *
 * Bottoms:
 *   -# N x C (or any shape of N samples with C values each): scores x, before the sigmoid
 *   -# the same N and C: labels in {-1, 0, 1}; anything else stops the run (in GPU mode: makes the
 *      class's values NaN)
 * Tops:
 *   -# C x 4: true positives, false positives, false negatives, true negatives
 *   -# (optional) C x 4, the moments: the sum of the scores x whose label is 1 and the sum of their
 *      squares, then the two sums of those whose label is -1. They are accumulated as doubles. How
 *      much the outputs differ between samples, and an estimate of the ROC-AUC, follow from them
 *      and the counts, for a whole test pass as for one batch.
 *   All values of a class are NaN where one of its scores is.
 *
 * Parameters (multi_label_counts_param):
 *   - threshold (0.5): a probability, from 0 to 1
 * and loss_param.ignore_label: 0 or unset, as in MultiLabelSigmoidCrossEntropyLoss: whether 0 is
 * known to mean unknown, where 10,000 labels without any -1 would be an error.
 *
 * The solver prints means over test_iter batches with six digits: round(mean * test_iter) is the
 * exact count below 98,000 (see src/layers/multi_label_counts_layer.md).
 *
 * No gradient flows back from here.
 *
 * Source: F1-frame, the figure of "Deep Region and Multi-label Learning for Facial Action Unit
 * Detection", CVPR 2016; the layer is ours.
 */
template <typename Dtype>
class MultiLabelCountsLayer : public Layer<Dtype> {
 public:
  explicit MultiLabelCountsLayer(const LayerParameter& param);
  virtual void LayerSetUp(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Reshape(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);

  virtual inline const char* type() const { return "MultiLabelCounts"; }
  virtual inline int ExactNumBottomBlobs() const { return 2; }
  virtual inline int MinTopBlobs() const { return 1; }
  virtual inline int MaxTopBlobs() const { return 2; }
  virtual inline bool AllowForceBackward(const int bottom_index) const { return false; }

 protected:
  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Forward_gpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  /// Stops the run where somebody asks for a gradient.
  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom);

  /// The second top, C x 4, of N x C scores and labels, `count` of each.
  static void SumMoments(int count, int classes, const Dtype* scores, const Dtype* labels,
                         Dtype* moments);
  double threshold() const { return this->layer_param_.multi_label_counts_param().threshold(); }
  /// "MultiLabelCounts layer 'name'", the start of every message.
  string Title() const;

  /// Says so (in TRAIN: stops the run) where enough labels look as if 0 were written for absent.
  shared_ptr<caffe_ext::LabelWatch> watch_;
};

}  // namespace caffe

#endif  // CAFFE_MULTI_LABEL_COUNTS_LAYER_HPP_
