#ifndef CAFFE_REGION_LAYER_HPP_
#define CAFFE_REGION_LAYER_HPP_

#include <stdint.h>

#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layer.hpp"
#include "caffe/proto/caffe.pb.h"

// The geometry below is plain arithmetic that a kernel needs as much as the host does.
#ifdef __CUDACC__
#define CAFFE_REGION_INLINE __host__ __device__ inline
#else
#define CAFFE_REGION_INLINE inline
#endif

namespace caffe_ext {
class DeviceBuffer;
}

namespace caffe {

/// @brief One cell of the grid: rows [y0, y1) and columns [x0, x1) of every plane.
struct RegionPatch {
  int y0, y1, x0, x1;

  CAFFE_REGION_INLINE int height() const { return y1 - y0; }
  CAFFE_REGION_INLINE int width() const { return x1 - x0; }
  CAFFE_REGION_INLINE int area() const { return height() * width(); }
};

/// @brief Where everything lies: the patches in a plane, and one patch's part of each blob.
struct RegionGeometry {
  int num, channels, height, width;  // of the bottom
  int grid_h, grid_w;
  int num_output, kernel_size;

  /// G, the number of patches; patch g is row g / grid_w, column g % grid_w of the grid.
  CAFFE_REGION_INLINE int patches() const { return grid_h * grid_w; }

  CAFFE_REGION_INLINE RegionPatch patch(int g) const {
    const int row = g / grid_w;
    const int col = g % grid_w;
    RegionPatch patch = {Border(row, height, grid_h), Border(row + 1, height, grid_h),
                         Border(col, width, grid_w), Border(col + 1, width, grid_w)};
    return patch;
  }

  /// Where cell i begins when `size` pixels are cut into `cells`; i = cells: the end.
  static CAFFE_REGION_INLINE int Border(int i, int size, int cells) {
    return static_cast<int>(static_cast<int64_t>(i) * size / cells);
  }

  /// Inputs of one output value, C_in * k * k: the rows of a column matrix.
  CAFFE_REGION_INLINE int taps() const { return channels * kernel_size * kernel_size; }

  CAFFE_REGION_INLINE int bottom_offset(int n, int c, int y, int x) const {
    return ((n * channels + c) * height + y) * width + x;
  }
  CAFFE_REGION_INLINE int top_offset(int n, int c, int y, int x) const {
    return ((n * num_output + c) * height + y) * width + x;
  }
  /// Patch g's weights, a num_output x taps() matrix, and so weight_offset(1) values.
  CAFFE_REGION_INLINE int weight_offset(int g) const { return g * num_output * taps(); }
  /// Patch g's values in a G x num_output blob: bias.
  CAFFE_REGION_INLINE int output_offset(int g) const { return g * num_output; }
  /// Patch g's values in a G x C blob: statistics, scale, shift.
  CAFFE_REGION_INLINE int channel_offset(int g) const { return g * channels; }
};

/**
 * @brief Cuts the map into a grid of patches and learns each by itself: batch normalisation,
 *        ReLU and a convolution with weights of its own, added to the patch.
 *
 * For patch g of the grid, rows @f$ \lfloor iH/g_h \rfloor \ldots \lfloor (i+1)H/g_h \rfloor @f$
 * and columns likewise,
 * @f[
 *   y_g = x_g + b_g + W_g * \max(0, \mathrm{BN}_g(x_g)), \qquad
 *   \mathrm{BN}_g(x)_c = s_{gc} \frac{x_c - \mu_{gc}}{\sqrt{\sigma^2_{gc} + \epsilon}} + t_{gc}
 * @f]
 * where * is a k x k correlation of stride 1 that sees zeros beyond the border of the *patch*,
 * and @f$ \mu_{gc}, \sigma^2_{gc} @f$ are taken over the batch and the pixels of the patch, or
 * from the running statistics.
 *
 * bottom: N x C x H x W.  top: N x num_output x H x W, never the bottom itself; with
 * group_sparsity a second one, a scalar: @f$ \lambda \sum_g \| W_g \|_2 @f$, a term of the loss.
 *
 * Blobs, in this order, those that apply (G = grid_h * grid_w):
 *   - weight            G x num_output x C x k x k
 *   - bias              G x num_output              (bias_term)
 *   - running mean      G x C                       (batch_norm)
 *   - running variance  G x C                       (batch_norm)
 *   - factor            1                           (batch_norm)
 *   - scale             G x C                       (affine)
 *   - shift             G x C                       (affine)
 *
 * Running mean and variance are sums, to be divided by the factor, as in BatchNorm; the solver
 * must not touch these three, so their lr_mult and decay_mult are 0.
 *
 * region_param:
 *   - grid_h, grid_w (8, 8): the grid; the map may not be smaller.
 *   - num_output (the bottom's channels): must be the bottom's channels with identity.
 *   - kernel_size (3): odd.
 *   - bias_term (true).
 *   - weight_filler, bias_filler (constant 0): applied patch by patch, so that fan-in and
 *     fan-out are those of one patch's convolution.
 *   - batch_norm (true): without it the patch goes to the ReLU as it is.
 *   - use_global_stats (true in TEST, false in TRAIN): running statistics, not the batch's.
 *   - moving_average_fraction (.999), eps (1e-5): as in BatchNorm.
 *   - affine (false): learn scale (starts at 1) and shift (starts at 0).
 *   - identity (true): add the patch.
 *   - group_sparsity (0): lambda, the weight of that term. It draws all weights of a patch to zero
 *     together, so that training finds the patches that do not matter. The second top has
 *     loss_weight 1 unless the layer gives loss_weights, one for each top.
 *
 * A batch without images passes through and changes nothing, running statistics included.
 *
 * Source: K. Zhao, W.-S. Chu, H. Zhang, "Deep Region and Multi-label Learning for Facial Action
 * Unit Detection", CVPR 2016, section 3.2. More in src/layers/region_layer.md.
 */
template <typename Dtype>
class RegionLayer : public Layer<Dtype> {
 public:
  explicit RegionLayer(const LayerParameter& param)
      : Layer<Dtype>(param), group_sparsity_(0), column_bytes_(kColumnBytes) {}
  virtual void LayerSetUp(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Reshape(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);

  virtual inline const char* type() const { return "Region"; }
  virtual inline int ExactNumBottomBlobs() const { return 1; }
  virtual inline int MinTopBlobs() const { return 1; }
  virtual inline int MaxTopBlobs() const { return 2; }

 protected:
  // About a core's second-level cache: larger column matrices measured slower, smaller ones, too.
  static const size_t kColumnBytes = 1 << 20;

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
  void CheckSizes() const;
  vector<vector<int> > PlaceBlobs();
  void CreateBlobs(const vector<vector<int> >& shapes);
  void FillPatchByPatch(const FillerParameter& filler, Blob<Dtype>* blob) const;
  void FixStatistics();
  void SetUpSparsity(const vector<Blob<Dtype>*>& top);

  // A patch's statistics, into mean_ and inv_std_.
  bool UsesBatchStatistics() const { return batch_norm_ && !use_global_stats_; }
  void LoadStatistics();
  void MeasurePatch(int g, const Dtype* bottom_data);
  void UpdateRunningStatistics();

  // A patch in images [first, last), gathered: rows are channels, columns the patch's pixels,
  // image after image. Each works on the data or diff of the scratch blobs below.
  int ImagesPerGroup(const RegionPatch& patch) const;
  void ReshapeScratch(const RegionPatch& patch, int images);
  void NormalizePatch(int g, int first, int last, const Dtype* bottom_data);
  void Im2Col(const RegionPatch& patch, int images);
  void Col2Im(const RegionPatch& patch, int images);
  void ScatterTop(int g, int first, int last, const Dtype* bottom_data, Dtype* top_data);
  void GatherTopDiff(int g, int first, int last, const Dtype* top_diff);

  // Gradients of one patch.
  void AddWeightDiff(int g, int columns);
  void AddBiasDiff(int g, int columns);
  void ColumnDiff(int g, int columns);
  void GatherNormDiff(int g, int first, int last, const Dtype* bottom_data, Dtype* bottom_diff);
  void AddAffineDiff(int g);
  void FinishBottomDiff(int g, const Dtype* bottom_data, const Dtype* top_diff, Dtype* bottom_diff);

  // The second top, and its gradient added to the weight's; where there is none, they do nothing.
  void ForwardSparsity(const vector<Blob<Dtype>*>& top);
  void BackwardSparsity(const vector<Blob<Dtype>*>& top);

  bool WantsDiff(int blob) const { return blob >= 0 && this->param_propagate_down_[blob]; }
  /// The learned scale or shift of patch g, NULL where there is none.
  const Dtype* ChannelData(int blob, int g) const;

  RegionGeometry geometry_;
  bool bias_term_, batch_norm_, use_global_stats_, affine_, identity_;
  Dtype moving_average_fraction_, eps_;
  double group_sparsity_;
  /// Positions in blobs_; -1 where the blob does not apply. The weight is always the first.
  int bias_id_, mean_id_, variance_id_, factor_id_, scale_id_, shift_id_;

  /// What this forward normalised with, G x C each: Backward must see the same.
  Blob<Dtype> mean_, variance_, inv_std_;
  /// Norm of each patch's weights in this forward; G values, with group_sparsity.
  Blob<double> weight_norms_;

  /// No more than this for one group of images in columns_, unless one image needs more.
  size_t column_bytes_;
  Blob<Dtype> normalized_;  // C x columns: max(0, BN(x)) and its diff
  Blob<Dtype> columns_;     // taps x columns: what the weights meet, and its diff
  Blob<Dtype> output_;      // num_output x columns: their product, and the top's diff
  /// Per channel of a patch: sums of the diff d of BN(x), and of d * (x - mean) * inv_std.
  vector<double> diff_sum_, diff_dot_;
  /// One partial sum per pixel column of a patch (see the .cpp).
  vector<double> lanes_, dot_lanes_;
  /// Partial sums of a backward pass on the GPU (see the .cu).
  shared_ptr<caffe_ext::DeviceBuffer> scratch_;
};

}  // namespace caffe

#undef CAFFE_REGION_INLINE

#endif  // CAFFE_REGION_LAYER_HPP_
