#ifndef WEIGHTED_MEAN_LAYER_HPP_
#define WEIGHTED_MEAN_LAYER_HPP_

#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layer.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe {

/**
 * @brief The mean of each channel over the positions of a map, weighted by a second map: with
 * weights of 0 and 1, the mean over a part of the face; with weights that a layer computes,
 * attention.
 * @f[
 *   y_{nc} = \frac{1}{Z_n} \sum_i w_{ni} x_{nci}, \qquad Z_n = \max(\sum_i w_{ni}, \epsilon)
 * @f]
 * @f[
 *   \frac{\partial y_{nc}}{\partial x_{nci}} = \frac{w_{ni}}{Z_n}, \qquad
 *   \frac{\partial y_{nc}}{\partial w_{ni}} =
 *     \frac{x_{nci} - [\sum_i w_{ni} > \epsilon]\, y_{nc}}{Z_n}
 * @f]
 *
 * Bottoms:
 *   -# N x C x ...: maps x of any number of axes, P positions in each channel
 *   -# N x 1 x ..., or any shape of N samples with P values each: weights w, not negative
 * Tops:
 *   -# N x C: means y
 *
 * Parameters ([caffe.weighted_mean_param]):
 *   - min_sum (1e-6): epsilon, positive. A sample without any weight has a mean of 0.
 *
 * A value that is not finite makes the means of its sample and channel NaN or infinite, also where
 * its weight is 0.
 */
template <typename Dtype>
class WeightedMeanLayer : public Layer<Dtype> {
 public:
  explicit WeightedMeanLayer(const LayerParameter& param) : Layer<Dtype>(param) {}
  virtual void LayerSetUp(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Reshape(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);

  virtual inline const char* type() const { return "WeightedMean"; }
  virtual inline int ExactNumBottomBlobs() const { return 2; }
  virtual inline int ExactNumTopBlobs() const { return 1; }

 protected:
  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom);
  virtual void Forward_gpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Backward_gpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom);

  /// Channels, and positions of a channel.
  int channels_, positions_;
  double min_sum_;
  /// Sum of the weights of each sample, of the last forward pass.
  Blob<double> sums_;
};

}  // namespace caffe

#endif  // WEIGHTED_MEAN_LAYER_HPP_
