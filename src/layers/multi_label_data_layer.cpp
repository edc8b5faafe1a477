#include "caffe/layers/multi_label_data_layer.hpp"

#include <algorithm>
#include <climits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "label_watch.hpp"
#include "labelled_images.hpp"
#include "limits/limits.hpp"
#include "lmdb_index.hpp"
#include "record_order.hpp"

namespace caffe_ext {

static const int kChannels = 3;

std::string ReadDatum(const char* bytes, size_t size, LabelledImage* sample) {
  std::ostringstream fault;
  caffe::Datum* datum = &sample->datum;
  if (static_cast<int64_t>(size) > kMaxDatumBytes) {
    fault << "it has " << size << " bytes; a record may have " << kMaxDatumBytes;
    return fault.str();
  }
  if (!datum->ParseFromArray(bytes, static_cast<int>(size))) {
    return "it is not a Datum; make the LMDB again";
  }
  if (datum->labels_size() == 0) {
    return "it has no labels; write them to Datum.labels (Datum.label is not read)";
  }
  if (datum->labels_size() > kMaxLabels) {
    fault << "it has " << datum->labels_size() << " labels; a record may have " << kMaxLabels;
    return fault.str();
  }
  sample->labels.assign(datum->labels().begin(), datum->labels().end());
  for (size_t k = 0; k < sample->labels.size(); ++k) {
    // Occurrences and intensities: which of the two a label is, only the net's losses know.
    const int label = sample->labels[k];
    if ((label < -1 || label > 5) && label != 9) {
      fault << "its label " << k << " is " << label
            << "; labels are -1 (absent), 0 (unknown) or 1 (present), intensities 0 to 5 or 9 "
            << "(unknown)";
      return fault.str();
    }
  }
  if (datum->encoded()) {
    return DecodeImage(datum->data(), &sample->image);
  }
  sample->image.release();
  const std::string& data = datum->data();
  const int64_t height = datum->height(), width = datum->width();
  if (datum->channels() != kChannels) {
    fault << "its raw image has " << datum->channels() << " channels instead of " << kChannels;
    return fault.str();
  }
  if (height <= 0 || width <= 0 || height > INT_MAX / kChannels / width ||
      static_cast<int64_t>(data.size()) != kChannels * height * width) {
    fault << "its raw image has " << data.size() << " bytes of data instead of " << kChannels
          << " x " << height << " x " << width << " (encoded images need encoded: true, values in "
          << "float_data are not supported)";
    return fault.str();
  }
  return std::string();
}

}  // namespace caffe_ext

namespace caffe {

namespace {

class LmdbImages : public caffe_ext::LabelledImages {
 public:
  explicit LmdbImages(const MultiLabelDataParameter& param)
      : records_(param.source()),
        zero_one_(param.label_values() == MultiLabelDataParameter::ZERO_ONE) {
    if (!param.has_label_values()) {
      CheckKind();
    }
  }

  virtual size_t size() const { return records_.size(); }
  virtual string name() const { return "LMDB '" + records_.path() + "'"; }
  virtual string Name(size_t record) const {
    return "record '" + records_.Key(record) + "' of " + name();
  }

  virtual string Read(size_t record, caffe_ext::LabelledImage* sample) const {
    const string unread = records_.Read(record, &sample->bytes);
    const string fault =
        unread.empty() ? caffe_ext::ReadDatum(sample->bytes.data(), sample->bytes.size(), sample)
                       : unread;
    return fault.empty() && zero_one_ ? FromZeroOne(&sample->labels) : fault;
  }

  virtual string Changed() const {
    const string change = records_.Changed();
    if (!change.empty()) {
      return name() + " " + change;
    }
    if (!told_ && records_.Replaced()) {
      told_ = true;
      LOG(WARNING) << name()
                   << " was moved, removed or replaced by another one; this run goes on with "
                   << "the one it began with, and the next will open what has the name then.";
    }
    return string();
  }

 private:
  static string FromZeroOne(vector<int>* labels) {
    for (size_t k = 0; k < labels->size(); ++k) {
      if ((*labels)[k] != 0 && (*labels)[k] != 1) {
        return "its label " + std::to_string(k) + " is " + std::to_string((*labels)[k]) +
               "; with label_values: ZERO_ONE labels are 0 (absent) and 1 (present)";
      }
      (*labels)[k] = (*labels)[k] == 0 ? -1 : 1;
    }
    return string();
  }

  // Looks at records from all over the LMDB, as a test set may be sorted by its labels. Nearly
  // always the first of them ends the watch. Those with a fault are met again when they are read.
  void CheckKind() const {
    caffe_ext::LabelWatch watch;
    string bytes;
    Datum datum;
    const size_t most = std::min<size_t>(size(), caffe_ext::LabelWatch::kEnough);
    for (size_t i = 0; i < most && !watch.over() && !watch.enough(); ++i) {
      const size_t record = caffe_ext::Below(caffe_ext::Draw(0, i), size());
      if (records_.Read(record, &bytes).empty() && datum.ParseFromString(bytes)) {
        watch.Look(datum.labels().data(), datum.labels_size());
      }
    }
    const string fault = watch.Fault();
    if (!fault.empty()) {
      throw std::runtime_error(
          name() + ": " + fault +
          ". Tell the layer what the labels are: label_values: ZERO_ONE (0 "
          "is absent), or label_values: SIGNED (0 is unknown; the loss then needs loss_param { "
          "ignore_label: 0 })");
    }
  }

  caffe_ext::LmdbIndex records_;
  const bool zero_one_;
  mutable bool told_ = false;
};

}  // namespace

template <typename Dtype>
MultiLabelDataLayer<Dtype>::MultiLabelDataLayer(const LayerParameter& param)
    : BaseMultiLabelDataLayer<Dtype>(param, param.multi_label_data_param()) {
  const MultiLabelDataParameter& data_param = param.multi_label_data_param();
  CHECK(!data_param.has_root_folder() && !data_param.has_new_height() &&
        !data_param.has_new_width())
      << this->Title() << ": root_folder, new_height and new_width are for a list of images "
      << "(MultiLabelImageData), not for an LMDB; remove them.";
}

template <typename Dtype>
MultiLabelDataLayer<Dtype>::~MultiLabelDataLayer() {
  this->StopInternalThread();
}

template <typename Dtype>
shared_ptr<caffe_ext::LabelledImages> MultiLabelDataLayer<Dtype>::Open() const {
  return shared_ptr<caffe_ext::LabelledImages>(new LmdbImages(this->data_param()));
}

INSTANTIATE_CLASS(MultiLabelDataLayer);
REGISTER_LAYER_CLASS(MultiLabelData);

}  // namespace caffe
