#include "caffe/layers/region_layer.hpp"

#include <algorithm>
#include <climits>
#include <cmath>
#include <string>
#include <vector>

#include "caffe/filler.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe {

namespace {

// Calls visit(offset in the plane's data, offset in the patch's own data) for each row of the
// patch in one channel of images [first, last). `channels` are those of the visited blob.
template <typename Visit>
inline void ForEachRow(const RegionGeometry& geometry, const RegionPatch& patch, int channels,
                       int c, int first, int last, const Visit& visit) {
  const int width = patch.width();
  int local = c * (last - first) * patch.area();
  for (int n = first; n < last; ++n) {
    const int plane = (n * channels + c) * geometry.height;
    for (int y = patch.y0; y < patch.y1; ++y, local += width) {
      visit((plane + y) * geometry.width + patch.x0, local);
    }
  }
}

// Sums over a patch keep one partial sum per pixel column: the loop along a row then adds
// element by element, which a compiler can vectorise without reordering any sum.
void ClearLanes(int width, vector<double>* lanes) { lanes->assign(width, 0.); }

double SumLanes(const vector<double>& lanes) {
  double sum = 0;
  for (double lane : lanes) {
    sum += lane;
  }
  return sum;
}

// What one tap (dy, dx) of the kernel sees of an h x w plane: pixel (y + dy, x + dx) for output
// (y, x), so element i + shift for element i, for i in [first, last). Of these the columns in
// which x + dx leaves the plane got a pixel of a neighbouring row and must be zero instead.
struct TapView {
  int shift, first, last;
  int zero_begin, zero_end;

  TapView(int h, int w, int dy, int dx)
      : shift(dy * w + dx), first(0), last(0), zero_begin(0), zero_end(0) {
    if (std::abs(dy) >= h || std::abs(dx) >= w) {
      return;  // this tap never meets the plane
    }
    first = std::max(0, -dy) * w + std::max(0, -dx);
    last = (h - std::max(0, dy)) * w - std::max(0, dx);
    zero_begin = dx > 0 ? w - dx : 0;
    zero_end = dx > 0 ? w : -dx;
  }

  template <typename Dtype>
  void ClearOutside(int h, int w, Dtype* plane) const {
    std::fill(plane, plane + first, Dtype(0));
    std::fill(plane + last, plane + h * w, Dtype(0));
    for (int y = 0; y < h; ++y) {
      std::fill(plane + y * w + zero_begin, plane + y * w + zero_end, Dtype(0));
    }
  }
};

// Calls visit(tap, channel, row of the column matrix) for every row of the column matrix.
template <typename Visit>
inline void ForEachTap(const RegionGeometry& geometry, const RegionPatch& patch,
                       const Visit& visit) {
  const int k = geometry.kernel_size;
  const int pad = (k - 1) / 2;
  int row = 0;
  for (int c = 0; c < geometry.channels; ++c) {
    for (int ky = 0; ky < k; ++ky) {
      for (int kx = 0; kx < k; ++kx, ++row) {
        visit(TapView(patch.height(), patch.width(), ky - pad, kx - pad), c, row);
      }
    }
  }
}

}  // namespace

// ---------------------------------------------------------------------------------------------
// Set-up

template <typename Dtype>
string RegionLayer<Dtype>::Where() const {
  return "Region layer '" + this->layer_param_.name() + "': ";
}

// What every bottom has to be, whatever the weights.
template <typename Dtype>
void RegionLayer<Dtype>::CheckMap(const Blob<Dtype>& bottom) const {
  const RegionParameter& param = this->layer_param_.region_param();
  CHECK_EQ(bottom.num_axes(), 4) << Where() << "the bottom must have 4 axes (N x C x H x W), got "
                                 << bottom.shape_string();
  CHECK(static_cast<int64_t>(param.grid_h()) <= bottom.shape(2) &&
        static_cast<int64_t>(param.grid_w()) <= bottom.shape(3))
      << Where() << "a grid of " << param.grid_h() << "x" << param.grid_w()
      << " is larger than the map of " << bottom.shape(2) << "x" << bottom.shape(3)
      << "; lower grid_h and grid_w";
}

template <typename Dtype>
void RegionLayer<Dtype>::ReadParameters(const Blob<Dtype>& bottom) {
  const RegionParameter& param = this->layer_param_.region_param();
  CHECK(param.grid_h() > 0 && param.grid_w() > 0)
      << Where() << "grid_h and grid_w must be at least 1, got " << param.grid_h() << " and "
      << param.grid_w();
  CheckMap(bottom);
  geometry_.channels = bottom.shape(1);
  CHECK_GT(geometry_.channels, 0) << Where() << "the bottom has no channels";
  geometry_.height = bottom.shape(2);
  geometry_.width = bottom.shape(3);
  geometry_.grid_h = param.grid_h();
  geometry_.grid_w = param.grid_w();
  CHECK(param.kernel_size() % 2 == 1 && param.kernel_size() <= INT_MAX)
      << Where() << "kernel_size must be odd, got " << param.kernel_size();
  geometry_.kernel_size = param.kernel_size();
  CHECK(!param.has_num_output() || (param.num_output() > 0 && param.num_output() <= INT_MAX))
      << Where() << "num_output must be at least 1, got " << param.num_output();
  geometry_.num_output = param.has_num_output() ? param.num_output() : geometry_.channels;
  bias_term_ = param.bias_term();
  batch_norm_ = param.batch_norm();
  affine_ = param.affine();
  identity_ = param.identity();
  CHECK(batch_norm_ || !affine_) << Where() << "affine is part of the normalisation and needs "
                                 << "batch_norm: true";
  CHECK(!identity_ || geometry_.num_output == geometry_.channels)
      << Where() << "num_output " << geometry_.num_output << " differs from the bottom's "
      << geometry_.channels << " channels; this needs identity: false";
  use_global_stats_ =
      param.has_use_global_stats() ? param.use_global_stats() : this->phase_ == TEST;
  moving_average_fraction_ = param.moving_average_fraction();
  CHECK(moving_average_fraction_ >= 0 && moving_average_fraction_ <= 1)
      << Where() << "moving_average_fraction must lie in [0, 1], got " << moving_average_fraction_;
  eps_ = param.eps();
  CHECK_GT(eps_, 0) << Where() << "eps must be positive";
  group_sparsity_ = param.group_sparsity();
  CHECK(group_sparsity_ >= 0 && std::isfinite(group_sparsity_))
      << Where() << "group_sparsity must not be negative, got " << group_sparsity_;
}

// A blob holds no more than INT_MAX values, and so do the weights and the column matrix of one
// patch of one image.
template <typename Dtype>
void RegionLayer<Dtype>::CheckSizes() const {
  const double taps =
      static_cast<double>(geometry_.channels) * geometry_.kernel_size * geometry_.kernel_size;
  const double weights = taps * geometry_.num_output * geometry_.grid_h * geometry_.grid_w;
  CHECK_LE(weights, INT_MAX) << Where() << "a grid of " << geometry_.grid_h << "x"
                             << geometry_.grid_w << " with kernel_size " << geometry_.kernel_size
                             << " needs more weights than a blob can hold; lower one of them";
  // The largest patch is the size rounded up.
  const double area = std::ceil(static_cast<double>(geometry_.height) / geometry_.grid_h) *
                      std::ceil(static_cast<double>(geometry_.width) / geometry_.grid_w);
  CHECK_LE(area * std::max<double>(taps, geometry_.num_output), INT_MAX)
      << Where() << "the column matrix of one patch of the map of " << geometry_.height << "x"
      << geometry_.width << " is larger than a blob can hold; take a finer grid";
}

// Numbers the blobs that apply and returns their shapes in that order.
template <typename Dtype>
vector<vector<int> > RegionLayer<Dtype>::PlaceBlobs() {
  const int patches = geometry_.patches();
  const int k = geometry_.kernel_size;
  vector<vector<int> > shapes;
  const auto place = [&shapes](bool applies, const vector<int>& shape) {
    if (!applies) {
      return -1;
    }
    shapes.push_back(shape);
    return static_cast<int>(shapes.size()) - 1;
  };
  const vector<int> per_channel = {patches, geometry_.channels};
  place(true, {patches, geometry_.num_output, geometry_.channels, k, k});
  bias_id_ = place(bias_term_, {patches, geometry_.num_output});
  mean_id_ = place(batch_norm_, per_channel);
  variance_id_ = place(batch_norm_, per_channel);
  factor_id_ = place(batch_norm_, {1});
  scale_id_ = place(affine_, per_channel);
  shift_id_ = place(affine_, per_channel);
  return shapes;
}

// The fillers derive fan-in and fan-out from the blob's first axes, so each patch's part is
// filled as the blob of a convolution of its own.
template <typename Dtype>
void RegionLayer<Dtype>::FillPatchByPatch(const FillerParameter& filler_param,
                                          Blob<Dtype>* blob) const {
  Blob<Dtype> one_patch(vector<int>(blob->shape().begin() + 1, blob->shape().end()));
  const shared_ptr<Filler<Dtype> > filler(GetFiller<Dtype>(filler_param));
  for (int g = 0; g < geometry_.patches(); ++g) {
    filler->Fill(&one_patch);
    caffe_copy(one_patch.count(), one_patch.cpu_data(),
               blob->mutable_cpu_data() + g * one_patch.count());
  }
}

template <typename Dtype>
void RegionLayer<Dtype>::CreateBlobs(const vector<vector<int> >& shapes) {
  const RegionParameter& param = this->layer_param_.region_param();
  this->blobs_.resize(shapes.size());
  for (size_t i = 0; i < shapes.size(); ++i) {
    this->blobs_[i].reset(new Blob<Dtype>(shapes[i]));
    caffe_set(this->blobs_[i]->count(), Dtype(0), this->blobs_[i]->mutable_cpu_data());
  }
  FillPatchByPatch(param.weight_filler(), this->blobs_[0].get());
  if (bias_term_) {
    FillPatchByPatch(param.bias_filler(), this->blobs_[bias_id_].get());
  }
  if (affine_) {
    Blob<Dtype>* scale = this->blobs_[scale_id_].get();
    caffe_set(scale->count(), Dtype(1), scale->mutable_cpu_data());
  }
}

template <typename Dtype>
void RegionLayer<Dtype>::CheckBlobs(const vector<vector<int> >& shapes) const {
  CHECK_EQ(this->blobs_.size(), shapes.size())
      << Where() << "its parameters ask for " << shapes.size() << " blobs, " << this->blobs_.size()
      << " were given";
  for (size_t i = 0; i < shapes.size(); ++i) {
    CHECK(this->blobs_[i]->shape() == shapes[i])
        << Where() << "blob " << i << " must be " << Blob<Dtype>(shapes[i]).shape_string()
        << ", was given as " << this->blobs_[i]->shape_string();
  }
}

// Takes the running statistics away from the solver, without taking from the user the right to
// speak of the blobs behind them.
template <typename Dtype>
void RegionLayer<Dtype>::FixStatistics() {
  if (!batch_norm_) {
    return;
  }
  while (this->layer_param_.param_size() <= factor_id_) {
    ParamSpec* spec = this->layer_param_.add_param();
    if (this->layer_param_.param_size() > mean_id_) {
      spec->set_lr_mult(0.f);
      spec->set_decay_mult(0.f);
    }
  }
  for (int i = mean_id_; i <= factor_id_; ++i) {
    CHECK_EQ(this->layer_param_.param(i).lr_mult(), 0.f)
        << Where() << "param " << i << " is a running statistic and needs lr_mult: 0";
  }
}

// The second top is there exactly for the sparsity term, and a loss unless told otherwise.
template <typename Dtype>
void RegionLayer<Dtype>::SetUpSparsity(const vector<Blob<Dtype>*>& top) {
  if (group_sparsity_ == 0) {
    CHECK_EQ(top.size(), 1) << Where() << "a second top holds the term of group_sparsity, which "
                            << "is 0; remove that top or set region_param's group_sparsity";
    return;
  }
  CHECK_EQ(top.size(), 2) << Where() << "group_sparsity needs a second top for its term of the "
                          << "loss; add top: \"" << this->layer_param_.name() << "_sparsity\"";
  if (this->layer_param_.loss_weight_size() == 0) {
    this->layer_param_.add_loss_weight(0);
    this->layer_param_.add_loss_weight(1);
  }
}

template <typename Dtype>
void RegionLayer<Dtype>::LayerSetUp(const vector<Blob<Dtype>*>& bottom,
                                    const vector<Blob<Dtype>*>& top) {
  ReadParameters(*bottom[0]);
  SetUpSparsity(top);
  CheckSizes();
  const vector<vector<int> > shapes = PlaceBlobs();
  if (this->blobs_.empty()) {
    CreateBlobs(shapes);
  } else {
    LOG(INFO) << "Skipping parameter initialization";
    CheckBlobs(shapes);
  }
  FixStatistics();
  this->param_propagate_down_.resize(this->blobs_.size(), true);
}

template <typename Dtype>
void RegionLayer<Dtype>::Reshape(const vector<Blob<Dtype>*>& bottom,
                                 const vector<Blob<Dtype>*>& top) {
  CHECK_NE(bottom[0], top[0]) << Where() << "cannot work in place";
  CheckMap(*bottom[0]);
  CHECK_EQ(bottom[0]->shape(1), geometry_.channels)
      << Where() << "the weights are for " << geometry_.channels << " channels, the bottom has "
      << bottom[0]->shape(1);
  geometry_.num = bottom[0]->shape(0);
  geometry_.height = bottom[0]->shape(2);
  geometry_.width = bottom[0]->shape(3);
  CheckSizes();
  top[0]->Reshape({geometry_.num, geometry_.num_output, geometry_.height, geometry_.width});
  const vector<int> per_channel = {geometry_.patches(), geometry_.channels};
  mean_.Reshape(per_channel);
  variance_.Reshape(per_channel);
  inv_std_.Reshape(per_channel);
  if (group_sparsity_ > 0) {
    top[1]->Reshape(vector<int>());
    weight_norms_.Reshape({geometry_.patches()});
  }
}

// ---------------------------------------------------------------------------------------------
// Statistics

// The running ones, or those that leave the patch as it is.
template <typename Dtype>
void RegionLayer<Dtype>::LoadStatistics() {
  const int count = mean_.count();
  if (!batch_norm_) {
    caffe_set(count, Dtype(0), mean_.mutable_cpu_data());
    caffe_set(count, Dtype(1), inv_std_.mutable_cpu_data());
    return;
  }
  const Dtype factor = this->blobs_[factor_id_]->cpu_data()[0];
  const Dtype weight = factor == 0 ? Dtype(0) : 1 / factor;  // 0: nothing was ever summed
  caffe_cpu_scale(count, weight, this->blobs_[mean_id_]->cpu_data(), mean_.mutable_cpu_data());
  const Dtype* variance = this->blobs_[variance_id_]->cpu_data();
  Dtype* inv_std = inv_std_.mutable_cpu_data();
  for (int i = 0; i < count; ++i) {
    inv_std[i] = 1 / std::sqrt(weight * variance[i] + eps_);
  }
}

// The batch's own: the mean first, then the mean square distance from it. The second round over
// a channel finds it in the cache, and nothing cancels when the mean is large.
template <typename Dtype>
void RegionLayer<Dtype>::MeasurePatch(int g, const Dtype* bottom_data) {
  const RegionPatch patch = geometry_.patch(g);
  const int width = patch.width();
  const double values = static_cast<double>(geometry_.num) * patch.area();
  for (int c = 0; c < geometry_.channels; ++c) {
    ClearLanes(width, &lanes_);
    double* lanes = lanes_.data();
    ForEachRow(geometry_, patch, geometry_.channels, c, 0, geometry_.num, [&](int at, int) {
      const Dtype* x = bottom_data + at;
      for (int i = 0; i < width; ++i) {
        lanes[i] += x[i];
      }
    });
    const double mean = SumLanes(lanes_) / values;
    ClearLanes(width, &lanes_);
    ForEachRow(geometry_, patch, geometry_.channels, c, 0, geometry_.num, [&](int at, int) {
      const Dtype* x = bottom_data + at;
      for (int i = 0; i < width; ++i) {
        lanes[i] += (x[i] - mean) * (x[i] - mean);
      }
    });
    const double variance = SumLanes(lanes_) / values;
    const int gc = geometry_.channel_offset(g) + c;
    mean_.mutable_cpu_data()[gc] = mean;
    variance_.mutable_cpu_data()[gc] = variance;
    inv_std_.mutable_cpu_data()[gc] = 1 / std::sqrt(variance + eps_);
  }
}

template <typename Dtype>
void RegionLayer<Dtype>::UpdateRunningStatistics() {
  Dtype* factor = this->blobs_[factor_id_]->mutable_cpu_data();
  factor[0] = moving_average_fraction_ * factor[0] + 1;
  caffe_cpu_axpby(mean_.count(), Dtype(1), mean_.cpu_data(), moving_average_fraction_,
                  this->blobs_[mean_id_]->mutable_cpu_data());
  Dtype* sum = this->blobs_[variance_id_]->mutable_cpu_data();
  for (int g = 0; g < geometry_.patches(); ++g) {
    // Patches may differ in size, and so in what makes their variance unbiased.
    const double values = static_cast<double>(geometry_.num) * geometry_.patch(g).area();
    const Dtype unbiased = values > 1 ? values / (values - 1) : 1;
    caffe_cpu_axpby(geometry_.channels, unbiased,
                    variance_.cpu_data() + geometry_.channel_offset(g), moving_average_fraction_,
                    sum + geometry_.channel_offset(g));
  }
}

// ---------------------------------------------------------------------------------------------
// A patch in a group of images

template <typename Dtype>
int RegionLayer<Dtype>::ImagesPerGroup(const RegionPatch& patch) const {
  // The column matrix or, with far more outputs than inputs, their product.
  const size_t image_bytes =
      sizeof(Dtype) * std::max(geometry_.taps(), geometry_.num_output) * patch.area();
  const size_t images = std::max<size_t>(1, column_bytes_ / image_bytes);
  return static_cast<int>(std::min<size_t>(images, geometry_.num));
}

template <typename Dtype>
void RegionLayer<Dtype>::ReshapeScratch(const RegionPatch& patch, int images) {
  const int columns = images * patch.area();
  normalized_.Reshape({geometry_.channels, columns});
  columns_.Reshape({geometry_.taps(), columns});
  output_.Reshape({geometry_.num_output, columns});
}

template <typename Dtype>
const Dtype* RegionLayer<Dtype>::ChannelData(int blob, int g) const {
  return blob < 0 ? NULL : this->blobs_[blob]->cpu_data() + geometry_.channel_offset(g);
}

// bottom -> normalized_ data
template <typename Dtype>
void RegionLayer<Dtype>::NormalizePatch(int g, int first, int last, const Dtype* bottom_data) {
  const RegionPatch patch = geometry_.patch(g);
  const int width = patch.width();
  const Dtype* scale = ChannelData(scale_id_, g);
  const Dtype* shift = ChannelData(shift_id_, g);
  Dtype* normalized = normalized_.mutable_cpu_data();
  for (int c = 0; c < geometry_.channels; ++c) {
    const int gc = geometry_.channel_offset(g) + c;
    const Dtype mean = mean_.cpu_data()[gc];
    const Dtype slope = inv_std_.cpu_data()[gc] * (scale ? scale[c] : Dtype(1));
    const Dtype offset = shift ? shift[c] : Dtype(0);
    ForEachRow(geometry_, patch, geometry_.channels, c, first, last, [=](int at, int local) {
      const Dtype* x = bottom_data + at;
      Dtype* z = normalized + local;
      for (int i = 0; i < width; ++i) {
        z[i] = std::max((x[i] - mean) * slope + offset, Dtype(0));
      }
    });
  }
}

// normalized_ data -> columns_ data
template <typename Dtype>
void RegionLayer<Dtype>::Im2Col(const RegionPatch& patch, int images) {
  const int area = patch.area();
  const Dtype* normalized = normalized_.cpu_data();
  Dtype* columns = columns_.mutable_cpu_data();
  ForEachTap(geometry_, patch, [=](const TapView& tap, int c, int row) {
    for (int n = 0; n < images; ++n) {
      const Dtype* from = normalized + (c * images + n) * area;
      Dtype* to = columns + (row * images + n) * area;
      std::copy(from + tap.first + tap.shift, from + tap.last + tap.shift, to + tap.first);
      tap.ClearOutside(patch.height(), patch.width(), to);
    }
  });
}

// columns_ diff (spoiled outside the taps' reach) -> normalized_ diff
template <typename Dtype>
void RegionLayer<Dtype>::Col2Im(const RegionPatch& patch, int images) {
  const int area = patch.area();
  Dtype* columns = columns_.mutable_cpu_diff();
  Dtype* normalized = normalized_.mutable_cpu_diff();
  caffe_set(normalized_.count(), Dtype(0), normalized);
  ForEachTap(geometry_, patch, [=](const TapView& tap, int c, int row) {
    for (int n = 0; n < images; ++n) {
      Dtype* from = columns + (row * images + n) * area;
      Dtype* to = normalized + (c * images + n) * area + tap.shift;
      tap.ClearOutside(patch.height(), patch.width(), from);
      for (int i = tap.first; i < tap.last; ++i) {
        to[i] += from[i];
      }
    }
  });
}

// output_ data, bias and patch -> top
template <typename Dtype>
void RegionLayer<Dtype>::ScatterTop(int g, int first, int last, const Dtype* bottom_data,
                                    Dtype* top_data) {
  const RegionPatch patch = geometry_.patch(g);
  const int width = patch.width();
  const Dtype* output = output_.cpu_data();
  for (int c = 0; c < geometry_.num_output; ++c) {
    const Dtype bias =
        bias_term_ ? this->blobs_[bias_id_]->cpu_data()[geometry_.output_offset(g) + c] : Dtype(0);
    const bool identity = identity_;
    ForEachRow(geometry_, patch, geometry_.num_output, c, first, last, [=](int at, int local) {
      const Dtype* out = output + local;
      Dtype* y = top_data + at;
      if (identity) {  // then bottom and top have the same shape
        const Dtype* x = bottom_data + at;
        for (int i = 0; i < width; ++i) {
          y[i] = x[i] + (out[i] + bias);
        }
      } else {
        for (int i = 0; i < width; ++i) {
          y[i] = out[i] + bias;
        }
      }
    });
  }
}

// top's diff -> output_ diff
template <typename Dtype>
void RegionLayer<Dtype>::GatherTopDiff(int g, int first, int last, const Dtype* top_diff) {
  const RegionPatch patch = geometry_.patch(g);
  const int width = patch.width();
  Dtype* output = output_.mutable_cpu_diff();
  for (int c = 0; c < geometry_.num_output; ++c) {
    ForEachRow(geometry_, patch, geometry_.num_output, c, first, last, [=](int at, int local) {
      std::copy(top_diff + at, top_diff + at + width, output + local);
    });
  }
}

template <typename Dtype>
void RegionLayer<Dtype>::Forward_cpu(const vector<Blob<Dtype>*>& bottom,
                                     const vector<Blob<Dtype>*>& top) {
  ForwardSparsity(top);
  if (geometry_.num == 0) {
    return;
  }
  const Dtype* bottom_data = bottom[0]->cpu_data();
  const Dtype* weight = this->blobs_[0]->cpu_data();
  Dtype* top_data = top[0]->mutable_cpu_data();
  if (!UsesBatchStatistics()) {
    LoadStatistics();
  }
  for (int g = 0; g < geometry_.patches(); ++g) {
    if (UsesBatchStatistics()) {
      MeasurePatch(g, bottom_data);
    }
    const RegionPatch patch = geometry_.patch(g);
    const int group = ImagesPerGroup(patch);
    for (int first = 0; first < geometry_.num; first += group) {
      const int last = std::min(first + group, geometry_.num);
      ReshapeScratch(patch, last - first);
      NormalizePatch(g, first, last, bottom_data);
      Im2Col(patch, last - first);
      caffe_cpu_gemm<Dtype>(CblasNoTrans, CblasNoTrans, geometry_.num_output, output_.shape(1),
                            geometry_.taps(), 1, weight + geometry_.weight_offset(g),
                            columns_.cpu_data(), 0, output_.mutable_cpu_data());
      ScatterTop(g, first, last, bottom_data, top_data);
    }
  }
  // A test pass never changes the model, not even one on the batch's statistics.
  if (UsesBatchStatistics() && this->phase_ == TRAIN) {
    UpdateRunningStatistics();
  }
}

// ---------------------------------------------------------------------------------------------
// Group sparsity: a term of the loss that knows the weights alone, whatever the batch.

template <typename Dtype>
void RegionLayer<Dtype>::ForwardSparsity(const vector<Blob<Dtype>*>& top) {
  if (group_sparsity_ == 0) {
    return;
  }
  const Dtype* weight = this->blobs_[0]->cpu_data();
  double* norms = weight_norms_.mutable_cpu_data();
  const int taps = geometry_.taps();
  double sum = 0;
  for (int g = 0; g < geometry_.patches(); ++g) {
    ClearLanes(taps, &lanes_);
    double* lanes = lanes_.data();
    const Dtype* end = weight + geometry_.weight_offset(g + 1);
    for (const Dtype* w = weight + geometry_.weight_offset(g); w < end; w += taps) {
      for (int i = 0; i < taps; ++i) {
        lanes[i] += static_cast<double>(w[i]) * w[i];
      }
    }
    norms[g] = std::sqrt(SumLanes(lanes_));
    sum += norms[g];
  }
  top[1]->mutable_cpu_data()[0] = group_sparsity_ * sum;
}

// The gradient of |W| is W / |W|, and 0 is one of its subgradients at 0.
template <typename Dtype>
void RegionLayer<Dtype>::BackwardSparsity(const vector<Blob<Dtype>*>& top) {
  if (group_sparsity_ == 0 || !WantsDiff(0)) {
    return;
  }
  const Dtype* weight = this->blobs_[0]->cpu_data();
  Dtype* diff = this->blobs_[0]->mutable_cpu_diff();
  for (int g = 0; g < geometry_.patches(); ++g) {
    const double norm = weight_norms_.cpu_data()[g];
    // In double, for a norm may be so small that a float does not hold its inverse.
    const double scale = norm > 0 ? group_sparsity_ * top[1]->cpu_diff()[0] / norm : 0;
    for (int i = geometry_.weight_offset(g); i < geometry_.weight_offset(g + 1); ++i) {
      diff[i] += scale * weight[i];
    }
  }
}

// ---------------------------------------------------------------------------------------------
// Gradients

template <typename Dtype>
void RegionLayer<Dtype>::AddBiasDiff(int g, int columns) {
  const Dtype* diff = output_.cpu_diff();
  Dtype* bias_diff = this->blobs_[bias_id_]->mutable_cpu_diff() + geometry_.output_offset(g);
  const int width = geometry_.patch(g).width();
  for (int c = 0; c < geometry_.num_output; ++c) {
    ClearLanes(width, &lanes_);
    double* lanes = lanes_.data();
    for (const Dtype* d = diff + c * columns; d < diff + (c + 1) * columns; d += width) {
      for (int i = 0; i < width; ++i) {
        lanes[i] += d[i];
      }
    }
    bias_diff[c] += SumLanes(lanes_);
  }
}

template <typename Dtype>
void RegionLayer<Dtype>::AddWeightDiff(int g, int columns) {
  caffe_cpu_gemm<Dtype>(CblasNoTrans, CblasTrans, geometry_.num_output, geometry_.taps(), columns,
                        1, output_.cpu_diff(), columns_.cpu_data(), 1,
                        this->blobs_[0]->mutable_cpu_diff() + geometry_.weight_offset(g));
}

template <typename Dtype>
void RegionLayer<Dtype>::ColumnDiff(int g, int columns) {
  caffe_cpu_gemm<Dtype>(CblasTrans, CblasNoTrans, geometry_.taps(), columns, geometry_.num_output,
                        1, this->blobs_[0]->cpu_data() + geometry_.weight_offset(g),
                        output_.cpu_diff(), 0, columns_.mutable_cpu_diff());
}

// normalized_ diff, through the ReLU -> bottom_diff (unless NULL) as the diff of BN(x), for
// FinishBottomDiff; and its sums.
template <typename Dtype>
void RegionLayer<Dtype>::GatherNormDiff(int g, int first, int last, const Dtype* bottom_data,
                                        Dtype* bottom_diff) {
  const RegionPatch patch = geometry_.patch(g);
  const int width = patch.width();
  const Dtype* normalized = normalized_.cpu_data();
  Dtype* diff = normalized_.mutable_cpu_diff();
  for (int c = 0; c < geometry_.channels; ++c) {
    const int gc = geometry_.channel_offset(g) + c;
    const Dtype mean = mean_.cpu_data()[gc];
    const Dtype inv_std = inv_std_.cpu_data()[gc];
    ClearLanes(width, &lanes_);
    ClearLanes(width, &dot_lanes_);
    double* lanes = lanes_.data();
    double* dot_lanes = dot_lanes_.data();
    ForEachRow(geometry_, patch, geometry_.channels, c, first, last, [=](int at, int local) {
      const Dtype* x = bottom_data + at;
      const Dtype* z = normalized + local;
      Dtype* d = diff + local;
      for (int i = 0; i < width; ++i) {
        d[i] = z[i] > 0 ? d[i] : Dtype(0);
      }
      for (int i = 0; i < width; ++i) {
        lanes[i] += d[i];
        dot_lanes[i] += d[i] * ((x[i] - mean) * inv_std);
      }
      if (bottom_diff) {
        std::copy(d, d + width, bottom_diff + at);
      }
    });
    diff_sum_[c] += SumLanes(lanes_);
    diff_dot_[c] += SumLanes(dot_lanes_);
  }
}

template <typename Dtype>
void RegionLayer<Dtype>::AddAffineDiff(int g) {
  for (int c = 0; c < geometry_.channels; ++c) {
    const int gc = geometry_.channel_offset(g) + c;
    if (WantsDiff(scale_id_)) {
      this->blobs_[scale_id_]->mutable_cpu_diff()[gc] += diff_dot_[c];
    }
    if (WantsDiff(shift_id_)) {
      this->blobs_[shift_id_]->mutable_cpu_diff()[gc] += diff_sum_[c];
    }
  }
}

// With d the diff of BN(x), s the scale and x^ = (x - mean) * inv_std:
//   diff of x = s * inv_std * (d - mean(d) - x^ * mean(d * x^)) + diff of the top (identity),
// both means over the batch and the patch, and both gone where mean and inv_std are constants.
template <typename Dtype>
void RegionLayer<Dtype>::FinishBottomDiff(int g, const Dtype* bottom_data, const Dtype* top_diff,
                                          Dtype* bottom_diff) {
  const RegionPatch patch = geometry_.patch(g);
  const int width = patch.width();
  const double values = static_cast<double>(geometry_.num) * patch.area();
  const Dtype* scale = ChannelData(scale_id_, g);
  const bool identity = identity_;
  for (int c = 0; c < geometry_.channels; ++c) {
    const int gc = geometry_.channel_offset(g) + c;
    const Dtype mean = mean_.cpu_data()[gc];
    const Dtype inv_std = inv_std_.cpu_data()[gc];
    const Dtype slope = inv_std * (scale ? scale[c] : Dtype(1));
    const Dtype diff_mean = UsesBatchStatistics() ? diff_sum_[c] / values : 0;
    const Dtype diff_slope = UsesBatchStatistics() ? diff_dot_[c] / values * inv_std : 0;
    ForEachRow(geometry_, patch, geometry_.channels, c, 0, geometry_.num, [=](int at, int) {
      const Dtype* x = bottom_data + at;
      Dtype* d = bottom_diff + at;
      for (int i = 0; i < width; ++i) {
        d[i] = slope * (d[i] - diff_mean - (x[i] - mean) * diff_slope);
      }
      if (identity) {
        const Dtype* t = top_diff + at;
        for (int i = 0; i < width; ++i) {
          d[i] += t[i];
        }
      }
    });
  }
}

template <typename Dtype>
void RegionLayer<Dtype>::Backward_cpu(const vector<Blob<Dtype>*>& top,
                                      const vector<bool>& propagate_down,
                                      const vector<Blob<Dtype>*>& bottom) {
  BackwardSparsity(top);
  const bool wants_affine = WantsDiff(scale_id_) || WantsDiff(shift_id_);
  const bool wants_norm_diff = propagate_down[0] || wants_affine;
  if (geometry_.num == 0 || (!wants_norm_diff && !WantsDiff(0) && !WantsDiff(bias_id_))) {
    return;
  }
  const Dtype* bottom_data = bottom[0]->cpu_data();
  const Dtype* top_diff = top[0]->cpu_diff();
  Dtype* bottom_diff = propagate_down[0] ? bottom[0]->mutable_cpu_diff() : NULL;
  for (int g = 0; g < geometry_.patches(); ++g) {
    const RegionPatch patch = geometry_.patch(g);
    const int group = ImagesPerGroup(patch);
    diff_sum_.assign(geometry_.channels, 0.);
    diff_dot_.assign(geometry_.channels, 0.);
    for (int first = 0; first < geometry_.num; first += group) {
      const int last = std::min(first + group, geometry_.num);
      ReshapeScratch(patch, last - first);
      const int columns = output_.shape(1);
      GatherTopDiff(g, first, last, top_diff);
      if (WantsDiff(bias_id_)) {
        AddBiasDiff(g, columns);
      }
      NormalizePatch(g, first, last, bottom_data);
      if (WantsDiff(0)) {
        Im2Col(patch, last - first);
        AddWeightDiff(g, columns);
      }
      if (wants_norm_diff) {
        ColumnDiff(g, columns);
        Col2Im(patch, last - first);
        GatherNormDiff(g, first, last, bottom_data, bottom_diff);
      }
    }
    if (wants_affine) {
      AddAffineDiff(g);
    }
    if (bottom_diff) {
      FinishBottomDiff(g, bottom_data, top_diff, bottom_diff);
    }
  }
}

#ifdef CPU_ONLY
STUB_GPU(RegionLayer);
#endif

INSTANTIATE_CLASS(RegionLayer);
REGISTER_LAYER_CLASS(Region);

}  // namespace caffe
