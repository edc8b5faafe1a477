#ifndef CAFFE_BASE_MULTI_LABEL_DATA_HPP_
#define CAFFE_BASE_MULTI_LABEL_DATA_HPP_

#include <stdint.h>

#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layers/base_data_layer.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe_ext {
class LabelledImages;
class RecordOrder;
class WorkerPool;
}  // namespace caffe_ext

namespace caffe {

/**
 * @brief What layers have in common that feed images and their K labels, decoded and transformed on
 *        several threads into batches that are ready ahead of time. Where the images come from is a
 *        layer's own.
 *
 * Tops:
 *   -# N x 3 x crop x crop (N x 3 x height x width without a crop): (image - mean) * scale, BGR,
 *      by Caffe's DataTransformer: crop and mirror at random in TRAIN, centre crop in TEST; in
 * TRAIN, the image's colours and place are changed at random before, where `augmentation` asks for
 * it
 *   -# N x K: labels
 *
 * Order: in TRAIN solver r of S reads records r, r + S, r + 2S ...; in TEST each reads all. An
 * epoch holds each of these records once; batches go on across its end. What stands at position p
 * of the run (the p-th image since the start), how it is augmented and cropped and whether it is
 * mirrored are functions of (seed, p) alone, the seed being drawn from Caffe's generator at set-up:
 * a fixed random_seed gives the same batches whatever the number of threads. A snapshot keeps both,
 * so that training which goes on from it sees the images that it would have seen.
 *
 * A solver's test passes begin at the first record each (BeginPass). In them, an epoch's last batch
 * has only the records that are left, so that `test_iter: 0` tests on each record once.
 *
 * A fault in a record stops the run with a message that names it.
 *
 * A layer that inherits from this calls StopInternalThread in its destructor: the thread's virtual
 * calls must not meet an object that is half gone.
 */
template <typename Dtype>
class BaseMultiLabelDataLayer : public BasePrefetchingDataLayer<Dtype> {
 public:
  /// data_param: what the layer's own parameters come to.
  BaseMultiLabelDataLayer(const LayerParameter& param, const MultiLabelDataParameter& data_param);
  virtual ~BaseMultiLabelDataLayer();
  virtual void DataLayerSetUp(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual int BeginPass();

  virtual inline int ExactNumBottomBlobs() const { return 0; }
  virtual inline int ExactNumTopBlobs() const { return 2; }

 protected:
  /// What one thread needs to load a record.
  struct Worker;

  /// Opens what data_param() names; throws a std::exception that says what is wrong with it.
  virtual shared_ptr<caffe_ext::LabelledImages> Open() const = 0;

  /// Called on the prefetch thread.
  virtual void load_batch(Batch<Dtype>* batch);
  virtual void SaveReading(LayerState* state) const;
  virtual string RestoreReading(const LayerState& state);
  /// The batch is on the GPU already: the prefetch thread has sent it there.
  virtual void Forward_gpu(const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);

  const MultiLabelDataParameter& data_param() const { return data_param_; }
  /// "MultiLabelData layer 'name'", the start of every message.
  string Title() const;

 private:
  void CheckParameters() const;
  /// Reads a record into worker.sample; returns what is wrong with it, or "".
  string Read(size_t record, Worker* worker) const;
  /// Reads the record that stands at a position and writes its image and labels; returns as Read.
  string Load(uint64_t position, size_t record, Worker* worker, Dtype* data, Dtype* labels) const;
  /// Sets what follows from the seed: the order of the records, augmentation, crops and mirrors.
  void Seed(uint64_t seed);
  /// Stops the run with a message that names the record.
  void Fail(size_t record, const string& fault) const;

  MultiLabelDataParameter data_param_;
  shared_ptr<caffe_ext::LabelledImages> records_;
  shared_ptr<caffe_ext::RecordOrder> order_;
  shared_ptr<caffe_ext::WorkerPool> pool_;
  vector<shared_ptr<Worker> > workers_;
  /// Of the next image to load, counted from the start of the run or pass.
  uint64_t position_;
  /// Whether batches end with the epoch; see BeginPass.
  bool in_passes_;
  uint64_t seed_;
  /// Stream of the crops and mirrors, and that of the augmentation.
  uint64_t transform_seed_, augmentation_seed_;
  /// Whether images are augmented: in TRAIN, where the parameters ask for it.
  bool augments_;
  /// K; 0 until it is known.
  int num_labels_;
  /// Shape of one transformed image, with a batch axis of 1; empty until it is known.
  vector<int> image_shape_;
};

}  // namespace caffe

#endif  // CAFFE_BASE_MULTI_LABEL_DATA_HPP_
