#ifndef DRML_LAYERS_LABEL_WATCH_HPP_
#define DRML_LAYERS_LABEL_WATCH_HPP_

#include <cstdint>
#include <string>

#include "caffe/blob.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe_ext {

/**
 * @brief Looks for labels that were written for another loss: 0 for absent, as
 * SigmoidCrossEntropyLoss takes them, where 0 means unknown here. A net that is trained on those
 * learns to say "present" whatever it sees, at a loss of nearly 0.
 *
 * One absent label (-1) shows that labels are as they should be, and ends the watch: nearly always
 * in the first batch. So does one above 1, which only intensities have. Otherwise the labels are
 * counted, and a fault is found once there are kEnough of them, kEnoughPresent of which are 1, and
 * some are 0. Both numbers are far beyond what a batch or a small test set without absent labels
 * comes to.
 */
class LabelWatch {
 public:
  static const int64_t kEnough = 10000;
  static const int64_t kEnoughPresent = 100;

  /// Whether there is nothing left to look for.
  bool over() const { return over_; }
  /// Whether enough labels were looked at.
  bool enough() const { return present_ + unknown_ >= kEnough; }

  /// Looks at more labels. Values that are no label count as nothing.
  template <typename Value>
  void Look(const Value* labels, int64_t count) {
    for (int64_t i = 0; i < count && !over_; ++i) {
      over_ = labels[i] == -1 || labels[i] > 1;
      present_ += labels[i] == 1;
      unknown_ += labels[i] == 0;
    }
  }

  /// What is wrong with the labels, or "": how many are 1, 0 and -1, and what that does.
  std::string Fault() const;

  /// For a layer that computes from labels: reads its loss_param.ignore_label, by which a prototxt
  /// says that 0 does mean unknown. Returns what is wrong with it, or "".
  std::string SetUp(const caffe::LayerParameter& layer);
  /// For the same layer: looks at more labels, unless it is over. A fault is a fatal message in
  /// training. In a test, where the labels of one small set come again and again, it is an error
  /// message, once; so is a warning where all of enough labels are unknown. title begins the
  /// message. In TRAIN, a layer with a backward pass calls this there, where a net learns from the
  /// labels: a gradient check, or somebody who looks at one batch, runs forward again and again.
  template <typename Dtype>
  void Watch(const caffe::Blob<Dtype>& labels, const std::string& title, caffe::Phase phase) {
    if (!over_) {
      Look(labels.cpu_data(), labels.count());
      Report(title, phase);
    }
  }

 private:
  void Report(const std::string& title, caffe::Phase phase);

  bool over_ = false, told_ = false;
  int64_t present_ = 0, unknown_ = 0;
};

}  // namespace caffe_ext

#endif  // DRML_LAYERS_LABEL_WATCH_HPP_
