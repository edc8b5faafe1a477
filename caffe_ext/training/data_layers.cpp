// Where Caffe's data layers stand in their data, and how they go on from there: members that
// patches/33-data-position.patch declares in their headers.
#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "caffe/data_transformer.hpp"
#include "caffe/layers/base_data_layer.hpp"
#include "caffe/layers/data_layer.hpp"
#include "caffe/layers/hdf5_data_layer.hpp"
#include "caffe/layers/image_data_layer.hpp"
#include "caffe/layers/window_data_layer.hpp"
#include "caffe/util/rng.hpp"
#include "training/generator.hpp"

namespace caffe {

template <typename Dtype>
string DataTransformer<Dtype>::generator() const {
  return rng_ ? caffe_ext::GeneratorState(*static_cast<rng_t*>(rng_->generator())) : string();
}

template <typename Dtype>
bool DataTransformer<Dtype>::set_generator(const string& state) {
  if (!rng_ || state.empty()) {
    return !rng_ && state.empty();
  }
  return caffe_ext::SetGeneratorState(state, static_cast<rng_t*>(rng_->generator()));
}

template <typename Dtype>
bool BasePrefetchingDataLayer<Dtype>::SaveState(LayerState* state) const {
  *state = prefetch_current_ ? prefetch_current_->state_ : first_state_;
  return state->has_position();
}

template <typename Dtype>
string BasePrefetchingDataLayer<Dtype>::RestoreState(const LayerState& state) {
  StopInternalThread();
  // All that was read ahead is of the wrong place.
  Batch<Dtype>* batch;
  while (prefetch_full_.try_pop(&batch) || prefetch_free_.try_pop(&batch)) {
  }
  prefetch_current_ = NULL;
  for (size_t i = 0; i < prefetch_.size(); ++i) {
    prefetch_free_.push(prefetch_[i].get());
  }
  const string fault = RestoreReading(state);
  if (fault.empty()) {
    first_state_ = state;
  } else {
    RestoreReading(first_state_);
  }
  StartInternalThread();
  return fault;
}

template <typename Dtype>
void DataLayer<Dtype>::SaveReading(LayerState* state) const {
  state->set_position(offset_);
  state->set_generator(this->data_transformer_->generator());
}

template <typename Dtype>
string DataLayer<Dtype>::RestoreReading(const LayerState& state) {
  if (!this->data_transformer_->set_generator(state.generator())) {
    return "its crops and mirrors are not those of the snapshot";
  }
  cursor_->SeekToFirst();
  uint64_t left = state.position();
  for (uint64_t read = 1; left > 0; ++read, --left) {
    cursor_->Next();
    if (!cursor_->valid()) {
      cursor_->SeekToFirst();
      left = (left - 1) % read + 1;  // so many records there are: whole rounds can be left out
      read = 0;
    }
  }
  offset_ = state.position();
  return string();
}

template <typename Dtype>
void ImageDataLayer<Dtype>::SaveReading(LayerState* state) const {
  state->set_position(lines_id_);
  state->set_records(lines_.size());
  state->set_generator(this->data_transformer_->generator());
  state->set_first_order(first_order_);
  state->set_shuffles(shuffles_);
}

template <typename Dtype>
string ImageDataLayer<Dtype>::RestoreReading(const LayerState& state) {
  if (state.records() != lines_.size()) {
    return "its list has " + std::to_string(lines_.size()) + " lines, not the snapshot's " +
           std::to_string(state.records());
  }
  const bool shuffles = static_cast<bool>(prefetch_rng_);
  const uint64_t kMostShuffles = 1000000;
  if (state.position() >= lines_.size() || (state.shuffles() > 0) != shuffles ||
      state.shuffles() > kMostShuffles ||
      !this->data_transformer_->set_generator(state.generator())) {
    return "its parameters are not those of the snapshot";
  }
  lines_id_ = static_cast<int>(state.position());
  if (shuffles) {
    if (!caffe_ext::SetGeneratorState(state.first_order(),
                                      static_cast<rng_t*>(prefetch_rng_->generator()))) {
      return "the snapshot's random numbers are damaged";
    }
    lines_ = list_;
    for (shuffles_ = 0; shuffles_ < state.shuffles();) {
      ShuffleImages();
    }
  }
  return string();
}

// Its windows are drawn at random, one by one.
template <typename Dtype>
void WindowDataLayer<Dtype>::SaveReading(LayerState* state) const {
  if (prefetch_rng_) {
    state->set_position(0);
    state->set_generator(
        caffe_ext::GeneratorState(*static_cast<rng_t*>(prefetch_rng_->generator())));
  }
}

template <typename Dtype>
string WindowDataLayer<Dtype>::RestoreReading(const LayerState& state) {
  if (!prefetch_rng_ || !caffe_ext::SetGeneratorState(
                            state.generator(), static_cast<rng_t*>(prefetch_rng_->generator()))) {
    return "its crops and mirrors are not those of the snapshot";
  }
  return string();
}

template <typename Dtype>
void HDF5DataLayer<Dtype>::ShuffleFiles() {
  shuffle(file_permutation_.begin(), file_permutation_.end(),
          static_cast<rng_t*>(order_.generator()));
}

template <typename Dtype>
void HDF5DataLayer<Dtype>::ShuffleRows() {
  rng_t* generator = static_cast<rng_t*>(order_.generator());
  order_of_rows_ = caffe_ext::GeneratorState(*generator);
  std::iota(data_permutation_.begin(), data_permutation_.end(), 0);
  shuffle(data_permutation_.begin(), data_permutation_.end(), generator);
}

template <typename Dtype>
bool HDF5DataLayer<Dtype>::SaveState(LayerState* state) const {
  state->set_position(offset_);
  state->set_records(data_permutation_.size());
  state->set_order_of_rows(order_of_rows_);
  for (unsigned int file : file_permutation_) {
    state->add_file(file);
  }
  state->set_current_file(current_file_);
  state->set_row(current_row_);
  return true;
}

template <typename Dtype>
string HDF5DataLayer<Dtype>::RestoreState(const LayerState& state) {
  const bool shuffles = this->layer_param_.hdf5_data_param().shuffle();
  vector<unsigned int> files(state.file().begin(), state.file().end()), sorted(files);
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] != i) {
      return "the snapshot's order of files is damaged";
    }
  }
  if (files.size() != num_files_) {
    return "its list has " + std::to_string(num_files_) + " files, not the snapshot's " +
           std::to_string(files.size());
  }
  rng_t generator;
  if (state.current_file() >= num_files_ || shuffles == state.order_of_rows().empty() ||
      (shuffles && !caffe_ext::SetGeneratorState(state.order_of_rows(), &generator))) {
    return "its parameters are not those of the snapshot";
  }
  files.swap(file_permutation_);
  const unsigned int file = current_file_;
  current_file_ = state.current_file();
  const string& name = hdf_filenames_[file_permutation_[current_file_]];
  LoadHDF5FileData(name.c_str());
  if (data_permutation_.size() != state.records() || state.row() >= state.records()) {
    files.swap(file_permutation_);
    current_file_ = file;
    const string fault = name + " has " + std::to_string(data_permutation_.size()) +
                         " rows, not the snapshot's " + std::to_string(state.records());
    LoadHDF5FileData(hdf_filenames_[file_permutation_[current_file_]].c_str());
    return fault;
  }
  if (shuffles) {
    *static_cast<rng_t*>(order_.generator()) = generator;
    ShuffleRows();
  }
  current_row_ = state.row();
  offset_ = state.position();
  return string();
}

#define INSTANTIATE_MEMBERS(Dtype)                                                  \
  template string DataTransformer<Dtype>::generator() const;                        \
  template bool DataTransformer<Dtype>::set_generator(const string&);               \
  template bool BasePrefetchingDataLayer<Dtype>::SaveState(LayerState*) const;      \
  template string BasePrefetchingDataLayer<Dtype>::RestoreState(const LayerState&); \
  template void DataLayer<Dtype>::SaveReading(LayerState*) const;                   \
  template string DataLayer<Dtype>::RestoreReading(const LayerState&);              \
  template void ImageDataLayer<Dtype>::SaveReading(LayerState*) const;              \
  template string ImageDataLayer<Dtype>::RestoreReading(const LayerState&);         \
  template void WindowDataLayer<Dtype>::SaveReading(LayerState*) const;             \
  template string WindowDataLayer<Dtype>::RestoreReading(const LayerState&);        \
  template void HDF5DataLayer<Dtype>::ShuffleFiles();                               \
  template void HDF5DataLayer<Dtype>::ShuffleRows();                                \
  template bool HDF5DataLayer<Dtype>::SaveState(LayerState*) const;                 \
  template string HDF5DataLayer<Dtype>::RestoreState(const LayerState&)

INSTANTIATE_MEMBERS(float);
INSTANTIATE_MEMBERS(double);

}  // namespace caffe
