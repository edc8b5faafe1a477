// What the Region layer's parameters ask for: its set-up, its blobs, and what it refuses.
#include <algorithm>
#include <climits>
#include <cmath>
#include <string>
#include <vector>

#include "caffe/filler.hpp"
#include "caffe/layers/region_layer.hpp"
#include "caffe/util/math_functions.hpp"
#include "given_blobs.hpp"

namespace caffe {

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
    caffe_ext::CheckGivenBlobs(Where(), this->blobs_, shapes);
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

template void RegionLayer<float>::LayerSetUp(const vector<Blob<float>*>&,
                                             const vector<Blob<float>*>&);
template void RegionLayer<double>::LayerSetUp(const vector<Blob<double>*>&,
                                              const vector<Blob<double>*>&);
template void RegionLayer<float>::Reshape(const vector<Blob<float>*>&, const vector<Blob<float>*>&);
template void RegionLayer<double>::Reshape(const vector<Blob<double>*>&,
                                           const vector<Blob<double>*>&);

}  // namespace caffe
