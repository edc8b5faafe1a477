#ifndef CAFFE_MULTI_LABEL_IMAGE_DATA_LAYER_HPP_
#define CAFFE_MULTI_LABEL_IMAGE_DATA_LAYER_HPP_

#include "caffe/layers/base_multi_label_data.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe {

/**
 * @brief Feeds images and their K labels straight from disk, as a text file lists them: lines
 * `path l1 .. lK`. Decoded and transformed on several threads, as MultiLabelData does it.
 *
 * Tops, order and random numbers: see BaseMultiLabelDataLayer.
 *
 * Parameters of MultiLabelImageData (multi_label_data_param):
 *   - source: the list
 *   - batch_size, num_labels, shuffle, prefetch, threads, augmentation: as MultiLabelData has them;
 *     num_labels is needed where paths have spaces
 *   - root_folder (""): put before each path
 *   - new_height, new_width (0): images are brought to this size where both are given
 *   - label_values: SIGNED: -1 absent, 0 unknown, 1 present; ZERO_ONE: 0 absent, 1 present. Unset:
 *     SIGNED, but a list with labels 0 and without any -1 is refused
 * Parameters of MultilabelImageData, the authors' name of it (image_data_param; see
 * src/layers/authors_layers.md):
 *   - source, batch_size, multilabel_num (K), shuffle (false), root_folder, new_height, new_width
 * and transform_param, but for force_gray.
 *
 * The list is checked as a whole before anything runs: a line with the wrong number of labels, a
 * label that is none and an image that is not there stop the run with list, line and value.
 *
 * Source: the data layer of the authors' prototxts; threads, order and checks are ours.
 */
template <typename Dtype>
class MultiLabelImageDataLayer : public BaseMultiLabelDataLayer<Dtype> {
 public:
  explicit MultiLabelImageDataLayer(const LayerParameter& param);
  virtual ~MultiLabelImageDataLayer();

  virtual inline const char* type() const { return this->layer_param_.type().c_str(); }

 protected:
  virtual shared_ptr<caffe_ext::LabelledImages> Open() const;
};

}  // namespace caffe

#endif  // CAFFE_MULTI_LABEL_IMAGE_DATA_LAYER_HPP_
