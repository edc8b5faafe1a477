#ifndef CAFFE_SPLICE_LAYER_HPP_
#define CAFFE_SPLICE_LAYER_HPP_

#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layer.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe {

/**
 * @brief Puts patches together to a map, Box the other way round:
 * @f$ y_{n,\,c,\,y_i + h,\,x_i + w} = x^i_{n,c,h,w} @f$.
 *
 * Bottoms: one for each patch i, N x C x h_i x w_i; sizes may differ.
 * Top: N x C x H x W, just large enough. The patches must fill it, without gaps or overlaps.
 *
 * Parameters (splice_param):
 *   - xcoord, ycoord: of each patch's first column and row, one for each bottom, in their order
 *
 * Source: the region layer as the authors of "Deep Region and Multi-label Learning for Facial
 * Action Unit Detection", CVPR 2016, wrote it down in their prototxts; see
 * src/layers/authors_layers.md.
 */
template <typename Dtype>
class SpliceLayer : public Layer<Dtype> {
 public:
  explicit SpliceLayer(const LayerParameter& param) : Layer<Dtype>(param) {}
  virtual void LayerSetUp(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Reshape(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);

  virtual inline const char* type() const { return "Splice"; }
  virtual inline int MinBottomBlobs() const { return 1; }
  virtual inline int ExactNumTopBlobs() const { return 1; }

 protected:
  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom);
  virtual void Forward_gpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Backward_gpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom);

  /// Stops the run unless the patches fill a height x width map, each pixel once.
  void CheckCover(const vector<Blob<Dtype>*>& bottom, int height, int width) const;
  /// "Splice layer 'name'", the start of every message.
  string Title() const;
};

}  // namespace caffe

#endif  // CAFFE_SPLICE_LAYER_HPP_
