#include "limits/nan_layers.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "caffe/layers/accuracy_layer.hpp"
#include "caffe/layers/clip_layer.hpp"
#include "caffe/layers/eltwise_layer.hpp"
#include "caffe/layers/hinge_loss_layer.hpp"
#include "caffe/layers/softmax_loss_layer.hpp"
#include "caffe/layers/threshold_layer.hpp"

namespace caffe_ext {

namespace {

using caffe::Blob;

template <typename Dtype>
using Blobs = std::vector<Blob<Dtype>*>;

// Where a blob is NaN. The sum of magnitudes, which either device has, is NaN just then.
template <typename Dtype>
std::vector<int> NanOf(const Blob<Dtype>& blob) {
  std::vector<int> places;
  if (blob.count() == 0 || !std::isnan(blob.asum_data())) {
    return places;
  }
  const Dtype* const values = blob.cpu_data();
  for (int i = 0; i < blob.count(); ++i) {
    if (std::isnan(values[i])) {
      places.push_back(i);
    }
  }
  return places;
}

template <typename Dtype>
void SetNan(Dtype* value) {
  *value = std::numeric_limits<Dtype>::quiet_NaN();
}

// Whether the label of a score, at this place in blobs of N x C x inner, is to be counted.
template <typename Dtype>
bool IsCounted(const Blob<Dtype>& scores, int axis, const Blob<Dtype>& labels, int score,
               bool has_ignore_label, int ignore_label) {
  const int inner = scores.count(axis + 1);
  const int label = score / scores.count(axis) * inner + score % inner;
  return !has_ignore_label || static_cast<int>(labels.cpu_data()[label]) != ignore_label;
}

// Each output depends on the inputs at its own place.
template <template <typename> class Base, typename Dtype>
class Elementwise : public Base<Dtype> {
 public:
  using Base<Dtype>::Base;

 protected:
  virtual void Forward_cpu(const Blobs<Dtype>& bottom, const Blobs<Dtype>& top) {
    const std::vector<int> nan = NanOfAll(bottom);  // before, as the pass may be in place
    Base<Dtype>::Forward_cpu(bottom, top);
    Restore(nan, top);
  }
  virtual void Forward_gpu(const Blobs<Dtype>& bottom, const Blobs<Dtype>& top) {
    const std::vector<int> nan = NanOfAll(bottom);
    Base<Dtype>::Forward_gpu(bottom, top);
    Restore(nan, top);
  }

 private:
  static std::vector<int> NanOfAll(const Blobs<Dtype>& bottom) {
    std::vector<int> all;
    for (const Blob<Dtype>* blob : bottom) {
      const std::vector<int> places = NanOf(*blob);
      all.insert(all.end(), places.begin(), places.end());
    }
    return all;
  }
  static void Restore(const std::vector<int>& nan, const Blobs<Dtype>& top) {
    for (const int place : nan) {
      SetNan(top[0]->mutable_cpu_data() + place);
    }
  }
};

template <typename Dtype>
class Accuracy : public caffe::AccuracyLayer<Dtype> {
 public:
  using caffe::AccuracyLayer<Dtype>::AccuracyLayer;

 protected:
  virtual void Forward_cpu(const Blobs<Dtype>& bottom, const Blobs<Dtype>& top) {
    caffe::AccuracyLayer<Dtype>::Forward_cpu(bottom, top);
    Restore(bottom, top);
  }
  virtual void Forward_gpu(const Blobs<Dtype>& bottom, const Blobs<Dtype>& top) {
    caffe::AccuracyLayer<Dtype>::Forward_gpu(bottom, top);
    Restore(bottom, top);
  }

 private:
  void Restore(const Blobs<Dtype>& bottom, const Blobs<Dtype>& top) const {
    for (const int place : NanOf(*bottom[0])) {
      if (IsCounted(*bottom[0], this->label_axis_, *bottom[1], place, this->has_ignore_label_,
                    this->ignore_label_)) {
        SetNan(top[0]->mutable_cpu_data());
      }
    }
  }
};

template <typename Dtype>
class HingeLoss : public caffe::HingeLossLayer<Dtype> {
 public:
  using caffe::HingeLossLayer<Dtype>::HingeLossLayer;

 protected:
  virtual void Forward_cpu(const Blobs<Dtype>& bottom, const Blobs<Dtype>& top) {
    caffe::HingeLossLayer<Dtype>::Forward_cpu(bottom, top);
    for (const int place : NanOf(*bottom[0])) {
      SetNan(bottom[0]->mutable_cpu_diff() + place);  // the margin, for the backward pass
      SetNan(top[0]->mutable_cpu_data());
    }
  }
};

template <typename Dtype>
class SoftmaxWithLoss : public caffe::SoftmaxWithLossLayer<Dtype> {
 public:
  using caffe::SoftmaxWithLossLayer<Dtype>::SoftmaxWithLossLayer;

 protected:
  virtual void Forward_gpu(const Blobs<Dtype>& bottom, const Blobs<Dtype>& top) {
    caffe::SoftmaxWithLossLayer<Dtype>::Forward_gpu(bottom, top);
    for (const int place : NanOf(this->prob_)) {
      if (IsCounted(this->prob_, this->softmax_axis_, *bottom[1], place, this->has_ignore_label_,
                    this->ignore_label_)) {
        SetNan(top[0]->mutable_cpu_data());
      }
    }
  }
};

}  // namespace

template <typename Dtype>
caffe::shared_ptr<caffe::Layer<Dtype> > CreateNanLayer(const caffe::LayerParameter& param) {
  typedef caffe::shared_ptr<caffe::Layer<Dtype> > LayerPtr;
  const std::string& type = param.type();
  if (type == "Accuracy") {
    return LayerPtr(new Accuracy<Dtype>(param));
  }
  if (type == "Clip") {
    return LayerPtr(new Elementwise<caffe::ClipLayer, Dtype>(param));
  }
  if (type == "Eltwise" &&
      param.eltwise_param().operation() == caffe::EltwiseParameter_EltwiseOp_MAX) {
    return LayerPtr(new Elementwise<caffe::EltwiseLayer, Dtype>(param));
  }
  if (type == "HingeLoss") {
    return LayerPtr(new HingeLoss<Dtype>(param));
  }
  if (type == "SoftmaxWithLoss") {
    return LayerPtr(new SoftmaxWithLoss<Dtype>(param));
  }
  if (type == "Threshold") {
    return LayerPtr(new Elementwise<caffe::ThresholdLayer, Dtype>(param));
  }
  return LayerPtr();
}

template caffe::shared_ptr<caffe::Layer<float> > CreateNanLayer(const caffe::LayerParameter&);
template caffe::shared_ptr<caffe::Layer<double> > CreateNanLayer(const caffe::LayerParameter&);

}  // namespace caffe_ext
