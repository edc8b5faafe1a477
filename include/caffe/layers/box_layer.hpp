#ifndef CAFFE_BOX_LAYER_HPP_
#define CAFFE_BOX_LAYER_HPP_

#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layer.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe {

/**
 * @brief Cuts patches of one size out of a map:
 * @f$ y^i_{n,c,h,w} = x_{n,\,c,\,y_i + h,\,x_i + w} @f$.
 *
 * Bottom: N x C x H x W.
 * Tops: one for each patch i, N x C x height x width. Patches may overlap; where they do, the
 * bottom's gradient is the sum of theirs, and 0 where there is none.
 *
 * Parameters (box_param):
 *   - width, height: of every patch, in pixels
 *   - xcoord, ycoord: of each patch's first column and row, one for each top, in their order
 *
 * Source: the region layer as the authors of "Deep Region and Multi-label Learning for Facial
 * Action Unit Detection", CVPR 2016, wrote it down in their prototxts; see
 * src/layers/authors_layers.md.
 */
template <typename Dtype>
class BoxLayer : public Layer<Dtype> {
 public:
  explicit BoxLayer(const LayerParameter& param) : Layer<Dtype>(param) {}
  virtual void LayerSetUp(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Reshape(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);

  virtual inline const char* type() const { return "Box"; }
  virtual inline int ExactNumBottomBlobs() const { return 1; }
  virtual inline int MinTopBlobs() const { return 1; }

 protected:
  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom);
  virtual void Forward_gpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Backward_gpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom);

  /// "Box layer 'name'", the start of every message.
  string Title() const;
};

}  // namespace caffe

#endif  // CAFFE_BOX_LAYER_HPP_
