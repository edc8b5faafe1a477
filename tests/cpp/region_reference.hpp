#ifndef TESTS_CPP_REGION_REFERENCE_HPP_
#define TESTS_CPP_REGION_REFERENCE_HPP_

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/filler.hpp"
#include "caffe/layers/region_layer.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "values.hpp"

namespace caffe {

// A Region layer's parameters from the text of its region_param.
inline LayerParameter RegionParam(const string& text, Phase phase = TRAIN) {
  LayerParameter param;
  param.set_name("region2");
  param.set_type("Region");
  param.set_phase(phase);
  CHECK(google::protobuf::TextFormat::ParseFromString(text, param.mutable_region_param()));
  return param;
}

// Every blob away from its special values (0, 1), the running statistics to something that a few
// forwards could have left.
template <typename Dtype>
void RandomizeBlobs(const LayerParameter& param, Layer<Dtype>* layer) {
  const RegionParameter& region = param.region_param();
  const int first_statistic = region.bias_term() ? 2 : 1;
  const double factor = 3.7;
  for (int i = 0; i < static_cast<int>(layer->blobs().size()); ++i) {
    Blob<Dtype>* blob = layer->blobs()[i].get();
    const int statistic = region.batch_norm() ? i - first_statistic : -1;
    if (statistic == 1) {
      FillerParameter uniform;
      uniform.set_min(.5 * factor);
      uniform.set_max(2 * factor);
      UniformFiller<Dtype>(uniform).Fill(blob);
    } else if (statistic == 2) {
      blob->mutable_cpu_data()[0] = factor;
    } else if (statistic == 0) {
      FillGaussian(.3 * factor, factor, blob);
    } else {
      FillGaussian(.2, .6, blob);
    }
  }
}

// The layer's definition, pixel by pixel in double, sharing nothing with the layer. It takes a
// copy of the blobs, so that a forward of the layer does not change what is expected of it.
class RegionReference {
 public:
  template <typename Dtype>
  RegionReference(const LayerParameter& param, const Layer<Dtype>& layer)
      : param_(param.region_param()) {
    use_global_stats_ =
        param_.has_use_global_stats() ? param_.use_global_stats() : param.phase() == TEST;
    train_ = param.phase() == TRAIN;
    int next = 0;
    // blobs() is not const in Caffe, but reading is all that happens here.
    const auto take = [&](bool applies) {
      vector<double> values;
      if (applies) {
        const Blob<Dtype>& blob = *const_cast<Layer<Dtype>&>(layer).blobs()[next++];
        values.assign(blob.cpu_data(), blob.cpu_data() + blob.count());
      }
      return values;
    };
    weight_ = take(true);
    bias_ = take(param_.bias_term());
    running_mean = take(param_.batch_norm());
    running_variance = take(param_.batch_norm());
    factor = take(param_.batch_norm());
    scale_ = take(param_.affine());
    shift_ = take(param_.affine());
  }

  template <typename Dtype>
  void Forward(const Blob<Dtype>& bottom) {
    num_ = bottom.shape(0);
    channels_ = bottom.shape(1);
    height_ = bottom.shape(2);
    width_ = bottom.shape(3);
    outputs_ = param_.has_num_output() ? param_.num_output() : channels_;
    kink = std_min = std::numeric_limits<double>::infinity();
    top.assign(num_ * outputs_ * height_ * width_, 0.);
    vector<double> active(bottom.count());
    const int rows = param_.grid_h();
    const int cols = param_.grid_w();
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < cols; ++j) {
        const int y0 = std::floor(i * static_cast<double>(height_) / rows);
        const int y1 = std::floor((i + 1) * static_cast<double>(height_) / rows);
        const int x0 = std::floor(j * static_cast<double>(width_) / cols);
        const int x1 = std::floor((j + 1) * static_cast<double>(width_) / cols);
        for (int c = 0; c < channels_; ++c) {
          Activate(bottom, i * cols + j, c, y0, y1, x0, x1, &active);
        }
        Convolve(bottom, i * cols + j, y0, y1, x0, x1, active);
      }
    }
    if (train_ && param_.batch_norm() && !use_global_stats_) {
      factor[0] = factor[0] * param_.moving_average_fraction() + 1;
    }
  }

  vector<double> top;
  vector<double> running_mean, running_variance, factor;  // as the forward leaves them
  double kink;     // the smallest distance of any value from the ReLU's kink
  double std_min;  // the smallest standard deviation that divided

 private:
  template <typename Dtype>
  void Activate(const Blob<Dtype>& bottom, int g, int c, int y0, int y1, int x0, int x1,
                vector<double>* active) {
    const int gc = g * channels_ + c;
    double mean = 0;
    double variance = 0;
    const double m = num_ * (y1 - y0) * (x1 - x0);
    if (param_.batch_norm() && use_global_stats_) {
      mean = factor[0] == 0 ? 0 : running_mean[gc] / factor[0];
      variance = factor[0] == 0 ? 0 : running_variance[gc] / factor[0];
    } else if (param_.batch_norm()) {
      for (int n = 0; n < num_; ++n)
        for (int y = y0; y < y1; ++y)
          for (int x = x0; x < x1; ++x) mean += bottom.data_at(n, c, y, x);
      mean /= m;
      for (int n = 0; n < num_; ++n)
        for (int y = y0; y < y1; ++y)
          for (int x = x0; x < x1; ++x)
            variance += std::pow(bottom.data_at(n, c, y, x) - mean, 2) / m;
      if (train_) {
        const double keep = param_.moving_average_fraction();
        running_mean[gc] = keep * running_mean[gc] + mean;
        running_variance[gc] = keep * running_variance[gc] + variance * (m > 1 ? m / (m - 1) : 1);
      }
    }
    const double std = param_.batch_norm() ? std::sqrt(variance + param_.eps()) : 1;
    std_min = std::min(std_min, std);
    for (int n = 0; n < num_; ++n) {
      for (int y = y0; y < y1; ++y) {
        for (int x = x0; x < x1; ++x) {
          double value = (bottom.data_at(n, c, y, x) - mean) / std;
          if (param_.affine()) {
            value = value * scale_[gc] + shift_[gc];
          }
          kink = std::min(kink, std::fabs(value));
          (*active)[bottom.offset(n, c, y, x)] = value > 0 ? value : 0;
        }
      }
    }
  }

  template <typename Dtype>
  void Convolve(const Blob<Dtype>& bottom, int g, int y0, int y1, int x0, int x1,
                const vector<double>& active) {
    const int k = param_.kernel_size();
    for (int n = 0; n < num_; ++n) {
      for (int o = 0; o < outputs_; ++o) {
        for (int y = y0; y < y1; ++y) {
          for (int x = x0; x < x1; ++x) {
            double sum = param_.bias_term() ? bias_[g * outputs_ + o] : 0;
            for (int c = 0; c < channels_; ++c) {
              for (int ky = 0; ky < k; ++ky) {
                for (int kx = 0; kx < k; ++kx) {
                  const int yy = y + ky - (k - 1) / 2;
                  const int xx = x + kx - (k - 1) / 2;
                  if (yy >= y0 && yy < y1 && xx >= x0 && xx < x1) {
                    sum += active[bottom.offset(n, c, yy, xx)] *
                           weight_[(((g * outputs_ + o) * channels_ + c) * k + ky) * k + kx];
                  }
                }
              }
            }
            if (param_.identity()) {
              sum += bottom.data_at(n, o, y, x);
            }
            top[((n * outputs_ + o) * height_ + y) * width_ + x] = sum;
          }
        }
      }
    }
  }

  RegionParameter param_;
  bool use_global_stats_, train_;
  int num_, channels_, height_, width_, outputs_;
  vector<double> weight_, bias_, scale_, shift_;
};

}  // namespace caffe

#endif  // TESTS_CPP_REGION_REFERENCE_HPP_
