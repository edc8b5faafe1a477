#ifndef CAFFE_LOCALLY_CONNECTED_LAYER_HPP_
#define CAFFE_LOCALLY_CONNECTED_LAYER_HPP_

#include <stdint.h>

#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layer.hpp"
#include "caffe/proto/caffe.pb.h"
#include "caffe/syncedmem.hpp"

// The geometry below is plain arithmetic that a kernel needs as much as the host does.
#ifdef __CUDACC__
#define CAFFE_LOCALLY_CONNECTED_INLINE __host__ __device__ inline
#else
#define CAFFE_LOCALLY_CONNECTED_INLINE inline
#endif

namespace caffe_ext {
class DeviceBuffer;
template <typename Dtype>
struct LocalProducts;
}  // namespace caffe_ext

namespace caffe {

/// @brief Where everything lies: bottom, top, and one position's part of the weights.
struct LocallyConnectedGeometry {
  int num, channels, height, width;    // of the bottom
  int num_output, output_h, output_w;  // of the top
  int kernel_h, kernel_w;
  int stride_h, stride_w, pad_h, pad_w;

  /// Positions of the top; position p is row p / output_w, column p % output_w.
  CAFFE_LOCALLY_CONNECTED_INLINE int positions() const { return output_h * output_w; }
  /// Inputs of one output value, C * kernel_h * kernel_w.
  CAFFE_LOCALLY_CONNECTED_INLINE int taps() const { return channels * kernel_h * kernel_w; }
  /// Position p's weights, a taps() x num_output matrix.
  CAFFE_LOCALLY_CONNECTED_INLINE int weight_offset(int p) const { return p * taps() * num_output; }

  /// How many positions there are along an axis; not positive: the kernel does not fit.
  static CAFFE_LOCALLY_CONNECTED_INLINE int64_t Outputs(int64_t size, int64_t kernel,
                                                        int64_t stride, int64_t pad) {
    return size + 2 * pad < kernel ? 0 : (size + 2 * pad - kernel) / stride + 1;
  }
};

/**
 * @brief A convolution whose weights and biases are not shared: each position of the top has its
 *        own.
 *
 * @f[
 *   y_{n o i j} = b_{o i j} + \sum_{c, u, v} W_{i j c u v o} \,
 *                 x_{n, c, i s_h + u - p_h, j s_w + v - p_w}
 * @f]
 * with zeros beyond the border of the map.
 *
 * bottom: N x C x H x W.
 * top: N x num_output x H' x W', H' = floor((H + 2 pad_h - kernel_h) / stride_h) + 1, W' likewise.
 *
 * Blobs:
 *   - weight  H' x W' x C x kernel_h x kernel_w x num_output
 *   - bias    num_output x H' x W'                             (bias_term)
 *
 * The weights come position by position, and within one the outputs are next to each other: all
 * three products then read them from the first to the last, once, in whole vectors.
 *
 * N may change between batches; C, H and W are fixed by the weights.
 *
 * convolution_param, as in Convolution:
 *   - num_output: required.
 *   - kernel_size, or kernel_h and kernel_w: required.
 *   - stride, or stride_h and stride_w (1).
 *   - pad, or pad_h and pad_w (0).
 *   - bias_term (true).
 *   - weight_filler, bias_filler (constant 0): applied position by position, so that fan-in and
 *     fan-out are those of one position's num_output x C x kernel_h x kernel_w weights.
 *   - group and dilation can only be 1, axis can only be 1.
 *
 * Source: Y. Taigman, M. Yang, M. Ranzato, L. Wolf, "DeepFace: Closing the Gap to Human-Level
 * Performance in Face Verification", CVPR 2014, section 3. More in
 * src/layers/locally_connected_layer.md.
 */
template <typename Dtype>
class LocallyConnectedLayer : public Layer<Dtype> {
 public:
  explicit LocallyConnectedLayer(const LayerParameter& param)
      : Layer<Dtype>(param), products_(NULL) {}
  virtual void LayerSetUp(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Reshape(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);

  virtual inline const char* type() const { return "LocallyConnected"; }
  virtual inline int ExactNumBottomBlobs() const { return 1; }
  virtual inline int ExactNumTopBlobs() const { return 1; }

 protected:
  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom);
  virtual void Forward_gpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Backward_gpu(const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
                            const vector<Blob<Dtype>*>& bottom);

  // Set-up.
  string Where() const;
  void CheckMap(const Blob<Dtype>& bottom) const;
  void ReadParameters(const Blob<Dtype>& bottom);
  void CheckWhatIsLeftOut() const;
  void PlacePositions();
  vector<vector<int> > BlobShapes() const;
  void CreateBlobs(const vector<vector<int> >& shapes);
  void FillWeight();
  void FillBias();

  // The CPU's passes. Images lie in groups of as many as a vector has lanes.
  virtual const caffe_ext::LocalProducts<Dtype>& ProductsFor(int images) const;
  int Lanes() const;
  int Groups() const { return (geometry_.num + Lanes() - 1) / Lanes(); }
  Dtype* SpreadMemory(shared_ptr<SyncedMemory>* memory) const;
  const Dtype* SpreadBottom(const Dtype* bottom_data);
  void GatherBottomDiff(const Dtype* input_diffs, Dtype* bottom_diff) const;
  void AddWeightDiff(const Dtype* inputs, const Dtype* top_diff, Dtype* weight_diff) const;
  void AddBiasDiff(const Dtype* top_diff, Dtype* bias_diff) const;
  const Dtype* SpreadDataDiff(const Dtype* top_diff, const Dtype* weight);

  bool WantsDiff(int blob) const {
    return blob < static_cast<int>(this->blobs_.size()) && this->param_propagate_down_[blob];
  }

  LocallyConnectedGeometry geometry_;
  bool bias_term_;
  /// The inner loops for this processor and this number of images (see
  /// locally_connected_products.hpp).
  const caffe_ext::LocalProducts<Dtype>* products_;
  /// The bottom, and its diff: groups x C x padded H x padded W x lanes. SyncedMemory, as it begins
  /// at a cache line, which whole vectors then never cross, holds zeros at first, and is not bound
  /// to a blob's number of values.
  shared_ptr<SyncedMemory> inputs_, input_diffs_;
  /// Bottom and top with the images last, of a pass on the GPU (see the .cu).
  shared_ptr<caffe_ext::DeviceBuffer> scratch_;
};

}  // namespace caffe

#undef CAFFE_LOCALLY_CONNECTED_INLINE

#endif  // CAFFE_LOCALLY_CONNECTED_LAYER_HPP_
