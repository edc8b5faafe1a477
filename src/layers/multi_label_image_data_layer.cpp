#include "caffe/layers/multi_label_image_data_layer.hpp"

#include <string>

#include "image_list.hpp"
#include "limits/limits.hpp"

namespace caffe {

namespace {

const char kAuthorsType[] = "MultilabelImageData";

// The authors' parameters in ours. What theirs has beyond those that their prototxts use is
// refused.
MultiLabelDataParameter FromAuthors(const LayerParameter& layer) {
  const string title = layer.type() + " layer '" + layer.name() + "'";
  const ImageDataParameter& theirs = layer.image_data_param();
  CHECK(!layer.has_multi_label_data_param())
      << title << ": multi_label_data_param is MultiLabelImageData's; this layer reads "
      << "image_data_param.";
  CHECK(!theirs.has_scale() && !theirs.has_mean_file() && !theirs.has_crop_size() &&
        !theirs.has_mirror())
      << title
      << ": image_data_param has scale, mean_file, crop_size or mirror; Caffe reads them from "
      << "transform_param.";
  CHECK_EQ(theirs.rand_skip(), 0) << title << ": rand_skip is not supported; remove it.";
  CHECK(theirs.is_color()) << title
                           << ": is_color: false is not supported; images have 3 channels.";
  MultiLabelDataParameter ours;
  ours.set_source(theirs.source());
  ours.set_batch_size(theirs.batch_size());
  ours.set_num_labels(theirs.multilabel_num());
  ours.set_shuffle(theirs.shuffle());
  ours.set_root_folder(theirs.root_folder());
  ours.set_new_height(theirs.new_height());
  ours.set_new_width(theirs.new_width());
  return ours;
}

}  // namespace

template <typename Dtype>
MultiLabelImageDataLayer<Dtype>::MultiLabelImageDataLayer(const LayerParameter& param)
    : BaseMultiLabelDataLayer<Dtype>(param, param.type() == kAuthorsType
                                                ? FromAuthors(param)
                                                : param.multi_label_data_param()) {
  CHECK_EQ(this->data_param().new_height() > 0, this->data_param().new_width() > 0)
      << this->Title() << ": new_height and new_width need each other.";
  CHECK(this->data_param().new_height() <= caffe_ext::kMaxImageSide &&
        this->data_param().new_width() <= caffe_ext::kMaxImageSide)
      << this->Title() << ": new_height and new_width may be " << caffe_ext::kMaxImageSide << ".";
}

template <typename Dtype>
MultiLabelImageDataLayer<Dtype>::~MultiLabelImageDataLayer() {
  this->StopInternalThread();
}

template <typename Dtype>
shared_ptr<caffe_ext::LabelledImages> MultiLabelImageDataLayer<Dtype>::Open() const {
  return shared_ptr<caffe_ext::LabelledImages>(new caffe_ext::ImageList(this->data_param()));
}

INSTANTIATE_CLASS(MultiLabelImageDataLayer);
REGISTER_LAYER_CLASS(MultiLabelImageData);

// The name that the authors' prototxts give it; see authors_layers.md.
template <typename Dtype>
shared_ptr<Layer<Dtype> > CreateMultilabelImageData(const LayerParameter& param) {
  return shared_ptr<Layer<Dtype> >(new MultiLabelImageDataLayer<Dtype>(param));
}
REGISTER_LAYER_CREATOR(MultilabelImageData, CreateMultilabelImageData);

}  // namespace caffe
