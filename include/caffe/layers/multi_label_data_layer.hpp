#ifndef CAFFE_MULTI_LABEL_DATA_LAYER_HPP_
#define CAFFE_MULTI_LABEL_DATA_LAYER_HPP_

#include "caffe/layers/base_multi_label_data.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe {

/**
 * @brief Feeds images and their K labels from one LMDB, decoded and transformed on several threads
 * into batches that are ready ahead of time.
 *
 * A record is a Datum with an encoded image (or raw bytes, 3 x height x width) and `labels`, K
 * values: occurrences in {-1, 0, 1} (absent, unknown, present), or intensities in {0 .. 5, 9}. Grey
 * images become colour.
 *
 * Tops, order and random numbers: see BaseMultiLabelDataLayer.
 *
 * Parameters (multi_label_data_param):
 *   - source: the LMDB's folder
 *   - batch_size: N
 *   - num_labels: K; default: as many as the first record has
 *   - shuffle: a new order each epoch; default: true in TRAIN, false in TEST
 *   - prefetch (4): batches made ready ahead of time
 *   - threads (0): threads that decode and transform, at most N; 0: one per core that the process
 *     may use, or OMP_NUM_THREADS
 *   - augmentation (none): in TRAIN, the largest random changes of an image before its crop:
 *     brightness, contrast, saturation (shares, 0 to 1), hue, rotation (degrees, 0 to 180), scale
 *     (a share, 0 to 0.9), each 0 where unset; see src/layers/augmentation.hpp
 *   - label_values: SIGNED: as above; ZERO_ONE: records have 0 for absent, which becomes -1. Unset:
 *     SIGNED, but an LMDB with labels 0 and 1 and without any -1 is refused, as far as 10,000
 *     labels from all over it tell
 * and transform_param as everywhere in Caffe, but for force_gray, which is refused.
 *
 * A fault in the LMDB or in a record stops the run with a message that names the LMDB and the key.
 *
 * Source: the paper's training on crops and mirrored faces ("Deep Region and Multi-label Learning
 * for Facial Action Unit Detection", CVPR 2016); the rest is ours.
 */
template <typename Dtype>
class MultiLabelDataLayer : public BaseMultiLabelDataLayer<Dtype> {
 public:
  explicit MultiLabelDataLayer(const LayerParameter& param);
  virtual ~MultiLabelDataLayer();

  virtual inline const char* type() const { return "MultiLabelData"; }

 protected:
  virtual shared_ptr<caffe_ext::LabelledImages> Open() const;
};

}  // namespace caffe

#endif  // CAFFE_MULTI_LABEL_DATA_LAYER_HPP_
