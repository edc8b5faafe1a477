// The part of Caffe's data layers that knows where they are in their data.
#ifndef CAFFE_EXT_TRAINING_DATA_POSITION_HPP_
#define CAFFE_EXT_TRAINING_DATA_POSITION_HPP_

#include <boost/shared_ptr.hpp>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "caffe/proto/caffe.pb.h"
#include "caffe/resumable.hpp"

namespace caffe {
template <typename Dtype>
class Batch;
template <typename Dtype>
class HDF5DataLayer;
}  // namespace caffe

// The definitions are in data_layers.cpp and hdf5_data_layer.cpp; patches/33-data-position.patch
// makes these classes bases.
namespace caffe_ext {

/// Base of Batch: where reading stands behind it.
struct BatchPosition {
  caffe::LayerState state_;
};

/// Base of BasePrefetchingDataLayer, whose thread reads ahead of the training.
template <typename Dtype>
class PrefetchPosition : public caffe::Resumable {
 public:
  virtual bool SaveState(caffe::LayerState* state) const;
  virtual std::string RestoreState(const caffe::LayerState& state);

 protected:
  /// Where reading stands, on the thread that reads or while there is none; nothing where a type of
  /// layer does not tell. This knows Data, ImageData and WindowData.
  virtual void SaveReading(caffe::LayerState* state) const;
  /// Lets reading go on from there, while no thread reads. Returns why it cannot, or "".
  virtual std::string RestoreReading(const caffe::LayerState& state);

  /// Keeps where reading stands: before the first batch, and behind a batch that was read.
  void BeginReading() { SaveReading(&first_state_); }
  void MarkBatch(caffe::Batch<Dtype>* batch) const;

  /// Lines of an ImageData's list: an image and its label.
  typedef std::vector<std::pair<std::string, int> > Lines;
  /// Before an ImageData shuffles its lines.
  void BeginShuffle(const Lines& lines, void* generator);

 private:
  caffe::LayerState first_state_;  // where reading stood at the start
  // Of an ImageData that shuffles: the lines as the list has them, the generator before the first
  // shuffle, and how many shuffles there were.
  Lines list_;
  std::string first_order_;
  uint64_t shuffles_ = 0;
};

/// Base of HDF5DataLayer. It shuffles by a generator of its own, as nobody can save the state of
/// rand().
template <typename Dtype>
class Hdf5Position : public caffe::Resumable {
 public:
  virtual bool SaveState(caffe::LayerState* state) const;
  virtual std::string RestoreState(const caffe::LayerState& state);

 protected:
  Hdf5Position();
  /// Another order of the files; of the rows of the file that is loaded.
  void ShuffleFiles();
  void ShuffleRows();
  /// Stops the run where rows of the file that is loaded have another shape than the first file's.
  void CheckRows(const char* filename);

 private:
  caffe::HDF5DataLayer<Dtype>* layer() const;

  boost::shared_ptr<void> order_;              // a caffe::rng_t
  std::string order_of_rows_;                  // the generator before the rows were shuffled
  std::vector<std::vector<int> > row_shapes_;  // by top, of the file that came first
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_TRAINING_DATA_POSITION_HPP_
