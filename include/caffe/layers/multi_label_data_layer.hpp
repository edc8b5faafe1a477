#ifndef CAFFE_MULTI_LABEL_DATA_LAYER_HPP_
#define CAFFE_MULTI_LABEL_DATA_LAYER_HPP_

#include <stdint.h>

#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layers/base_data_layer.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe_ext {
class LmdbIndex;
class RecordOrder;
class WorkerPool;
}  // namespace caffe_ext

namespace caffe {

/**
 * @brief Feeds images and their K labels from one LMDB, decoded and transformed on several threads
 * into batches that are ready ahead of time.
 *
 * A record is a Datum with an encoded image (or raw bytes, 3 x height x width) and `labels`, K
 * values in {-1, 0, 1}. Grey images become colour.
 *
 * Tops:
 *   -# N x 3 x crop x crop (N x 3 x height x width without a crop): (image - mean) * scale, BGR,
 *      by Caffe's DataTransformer: crop and mirror at random in TRAIN, centre crop in TEST
 *   -# N x K: labels
 *
 * Parameters (multi_label_data_param):
 *   - source: the LMDB's folder
 *   - batch_size: N
 *   - num_labels: K; default: as many as the first record has
 *   - shuffle: a new order each epoch; default: true in TRAIN, false in TEST
 *   - prefetch (4): batches made ready ahead of time
 *   - threads (0): threads that decode and transform, at most N; 0: one per core that the process
 *     may use, or OMP_NUM_THREADS
 * and transform_param as everywhere in Caffe, but for force_gray, which is refused.
 *
 * Order: in TRAIN solver r of S reads records r, r + S, r + 2S ...; in TEST each reads all. An
 * epoch holds each of these records once; batches go on across its end. What stands at position p
 * of the run (the p-th image since the start), how it is cropped and whether it is mirrored are
 * functions of (seed, p) alone, the seed being drawn from Caffe's generator at set-up: a fixed
 * random_seed gives the same batches whatever the number of threads.
 *
 * A fault in the LMDB or in a record stops the run with a message that names the LMDB and the key.
 *
 * Source: the paper's training on crops and mirrored faces ("Deep Region and Multi-label Learning
 * for Facial Action Unit Detection", CVPR 2016); the rest is ours.
 */
template <typename Dtype>
class MultiLabelDataLayer : public BasePrefetchingDataLayer<Dtype> {
 public:
  explicit MultiLabelDataLayer(const LayerParameter& param);
  virtual ~MultiLabelDataLayer();
  virtual void DataLayerSetUp(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);

  virtual inline const char* type() const { return "MultiLabelData"; }
  virtual inline int ExactNumBottomBlobs() const { return 0; }
  virtual inline int ExactNumTopBlobs() const { return 2; }

 protected:
  /// What one thread needs to load a record.
  struct Worker;

  /// Called on the prefetch thread.
  virtual void load_batch(Batch<Dtype>* batch);
  /// The batch is on the GPU already: the prefetch thread has sent it there.
  virtual void Forward_gpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);

  void CheckParameters() const;
  /// Reads a record into worker.datum and worker.image; returns what is wrong with it, or "".
  string Read(size_t record, Worker* worker) const;
  /// Reads the record that stands at a position and writes its image and labels; returns as Read.
  string Load(uint64_t position, size_t record, Worker* worker, Dtype* data, Dtype* labels) const;
  /// Stops the run with a message that names the record's key.
  void Fail(size_t record, const string& fault) const;
  /// "MultiLabelData layer 'name'", the start of every message.
  string Title() const;

  shared_ptr<caffe_ext::LmdbIndex> records_;
  shared_ptr<caffe_ext::RecordOrder> order_;
  shared_ptr<caffe_ext::WorkerPool> pool_;
  vector<shared_ptr<Worker> > workers_;
  /// Of the next image to load, counted from the start of the run.
  uint64_t position_;
  /// Stream of the crops and mirrors.
  uint64_t transform_seed_;
  /// K; 0 until it is known.
  int num_labels_;
  /// Shape of one transformed image, with a batch axis of 1; empty until it is known.
  vector<int> image_shape_;
};

}  // namespace caffe

#endif  // CAFFE_MULTI_LABEL_DATA_LAYER_HPP_
