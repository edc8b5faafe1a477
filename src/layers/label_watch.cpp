#include "label_watch.hpp"

#include <sstream>

#include "caffe/common.hpp"

namespace caffe_ext {

const int64_t LabelWatch::kEnough;
const int64_t LabelWatch::kEnoughPresent;

std::string LabelWatch::Fault() const {
  if (over_ || !enough() || present_ < kEnoughPresent || unknown_ == 0) {
    return std::string();
  }
  std::ostringstream fault;
  fault << "of the first " << present_ + unknown_ << " labels, " << present_ << " are 1, "
        << unknown_ << " are 0 and none is -1. Here 0 means unknown and -1 absent, so a net would "
        << "learn to predict 'present' for everything";
  return fault.str();
}

std::string LabelWatch::SetUp(const caffe::LayerParameter& layer) {
  if (!layer.loss_param().has_ignore_label()) {
    return std::string();
  }
  over_ = true;
  return layer.loss_param().ignore_label() == 0
             ? ""
             : "loss_param.ignore_label may only be 0, the label that means unknown; write 0 for "
               "labels to ignore";
}

void LabelWatch::Report(const std::string& title, caffe::Phase phase) {
  const std::string fault = Fault();
  if (!fault.empty()) {
    const std::string message =
        title + ": " + fault +
        ". If 0 means absent in your data, write -1 for it: label_values: ZERO_ONE in a "
        "MultiLabelData or MultiLabelImageData layer does so, and for other data a layer between "
        "the labels and this one, type: 'Power' power_param { scale: 2 shift: -1 }. If 0 does mean "
        "unknown, add loss_param { ignore_label: 0 } to this layer.";
    LOG_IF(FATAL, phase == caffe::TRAIN) << message;
    LOG(ERROR) << message << " The figures of this test are those of a set without absent labels.";
    over_ = true;
  }
  if (!over_ && !told_ && present_ == 0 && enough()) {
    told_ = true;
    LOG(WARNING) << title << ": the first " << unknown_ << " labels are all 0, which means "
                 << "unknown, so nothing follows from them. If 0 means absent in your data, write "
                 << "-1 for it.";
  }
}

}  // namespace caffe_ext
