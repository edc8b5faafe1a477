#include "caffe/layers/region_layer.hpp"

#include <algorithm>
#include <vector>

#include "caffe/util/math_functions.hpp"
#include "region_rows.hpp"

// The passes on the CPU. region_set_up.cpp reads the parameters, region_statistics.cpp measures,
// region_products.cpp multiplies.

namespace caffe {

using caffe_ext::ClearLanes;
using caffe_ext::ForEachRow;
using caffe_ext::SumLanes;

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
