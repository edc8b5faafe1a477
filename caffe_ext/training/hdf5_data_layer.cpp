// HDF5Data, in place of upstream's src/caffe/layers/hdf5_data_layer.cpp and .cu: it checks what its
// files hold, and a snapshot can restore its order and its place.
#include "caffe/layers/hdf5_data_layer.hpp"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "caffe/util/math_functions.hpp"
#include "caffe/util/rng.hpp"
#include "limits/hdf5_values.hpp"
#include "limits/list_file.hpp"
#include "training/generator.hpp"

namespace caffe_ext {

using boost::shared_ptr;
using caffe::LayerState;
using caffe::rng_t;
using std::string;
using std::vector;

namespace {

template <typename Dtype>
struct Rows : caffe::HDF5DataLayer<Dtype> {
  typedef caffe::HDF5DataLayer<Dtype> Base;
  static vector<unsigned int>& files(Base* layer) { return layer->*(&Rows::file_permutation_); }
  static vector<unsigned int>& rows(Base* layer) { return layer->*(&Rows::data_permutation_); }
  static const vector<shared_ptr<caffe::Blob<Dtype> > >& blobs(Base* layer) {
    return layer->*(&Rows::hdf_blobs_);
  }
  static unsigned int& file(Base* layer) { return layer->*(&Rows::current_file_); }
  static hsize_t& row(Base* layer) { return layer->*(&Rows::current_row_); }
  static uint64_t& offset(Base* layer) { return layer->*(&Rows::offset_); }
  static const string& Name(Base* layer) {
    return (layer->*(&Rows::hdf_filenames_))[files(layer)[file(layer)]];
  }
  static void Load(Base* layer) { (layer->*(&Rows::LoadHDF5FileData))(Name(layer).c_str()); }
};

}  // namespace

template <typename Dtype>
Hdf5Position<Dtype>::Hdf5Position() : order_(new rng_t(1)) {}

template <typename Dtype>
caffe::HDF5DataLayer<Dtype>* Hdf5Position<Dtype>::layer() const {
  return static_cast<caffe::HDF5DataLayer<Dtype>*>(const_cast<Hdf5Position*>(this));
}

template <typename Dtype>
void Hdf5Position<Dtype>::ShuffleFiles() {
  vector<unsigned int>& files = Rows<Dtype>::files(layer());
  caffe::shuffle(files.begin(), files.end(), static_cast<rng_t*>(order_.get()));
}

template <typename Dtype>
void Hdf5Position<Dtype>::ShuffleRows() {
  rng_t* generator = static_cast<rng_t*>(order_.get());
  order_of_rows_ = GeneratorState(*generator);
  vector<unsigned int>& rows = Rows<Dtype>::rows(layer());
  std::iota(rows.begin(), rows.end(), 0);
  caffe::shuffle(rows.begin(), rows.end(), generator);
}

template <typename Dtype>
void Hdf5Position<Dtype>::CheckRows(const char* filename) {
  const auto& blobs = Rows<Dtype>::blobs(layer());
  for (size_t i = 0; i < blobs.size(); ++i) {
    const vector<int> row(blobs[i]->shape().begin() + 1, blobs[i]->shape().end());
    if (row_shapes_.size() <= i) {
      row_shapes_.push_back(row);
    }
    CHECK(row == row_shapes_[i]) << filename << ": the rows of '" << layer()->layer_param().top(i)
                                 << "' have another shape than the first file's: "
                                 << blobs[i]->shape_string();
    CHECK_EQ(blobs[i]->shape(0), blobs[0]->shape(0))
        << filename << ": '" << layer()->layer_param().top(i) << "' and '"
        << layer()->layer_param().top(0) << "' have different numbers of rows";
  }
}

template <typename Dtype>
bool Hdf5Position<Dtype>::SaveState(LayerState* state) const {
  state->set_position(Rows<Dtype>::offset(layer()));
  state->set_records(Rows<Dtype>::rows(layer()).size());
  state->set_order_of_rows(order_of_rows_);
  for (unsigned int file : Rows<Dtype>::files(layer())) {
    state->add_file(file);
  }
  state->set_current_file(Rows<Dtype>::file(layer()));
  state->set_row(Rows<Dtype>::row(layer()));
  return true;
}

template <typename Dtype>
string Hdf5Position<Dtype>::RestoreState(const LayerState& state) {
  const bool shuffles = layer()->layer_param().hdf5_data_param().shuffle();
  vector<unsigned int> files(state.file().begin(), state.file().end()), sorted(files);
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] != i) {
      return "the snapshot's order of files is damaged";
    }
  }
  vector<unsigned int>& current_files = Rows<Dtype>::files(layer());
  const size_t num_files = current_files.size();
  if (files.size() != num_files) {
    return "its list has " + std::to_string(num_files) + " files, not the snapshot's " +
           std::to_string(files.size());
  }
  rng_t generator;
  if (state.current_file() >= num_files || shuffles == state.order_of_rows().empty() ||
      (shuffles && !SetGeneratorState(state.order_of_rows(), &generator))) {
    return "its parameters are not those of the snapshot";
  }
  files.swap(current_files);
  const unsigned int file = Rows<Dtype>::file(layer());
  Rows<Dtype>::file(layer()) = state.current_file();
  Rows<Dtype>::Load(layer());
  const size_t rows = Rows<Dtype>::rows(layer()).size();
  if (rows != state.records() || state.row() >= state.records()) {
    const string fault = Rows<Dtype>::Name(layer()) + " has " + std::to_string(rows) +
                         " rows, not the snapshot's " + std::to_string(state.records());
    files.swap(current_files);
    Rows<Dtype>::file(layer()) = file;
    Rows<Dtype>::Load(layer());
    return fault;
  }
  if (shuffles) {
    *static_cast<rng_t*>(order_.get()) = generator;
    ShuffleRows();
  }
  Rows<Dtype>::row(layer()) = state.row();
  Rows<Dtype>::offset(layer()) = state.position();
  return string();
}

template class Hdf5Position<float>;
template class Hdf5Position<double>;

}  // namespace caffe_ext

namespace caffe {

template <typename Dtype>
HDF5DataLayer<Dtype>::~HDF5DataLayer() {}

template <typename Dtype>
void HDF5DataLayer<Dtype>::LayerSetUp(const vector<Blob<Dtype>*>& bottom,
                                      const vector<Blob<Dtype>*>& top) {
  CHECK(!this->layer_param_.has_transform_param()) << this->type() << " does not transform data.";
  const HDF5DataParameter& param = this->layer_param_.hdf5_data_param();
  LOG(INFO) << "Loading list of HDF5 filenames from: " << param.source();
  hdf_filenames_.clear();
  caffe_ext::ListFile list(param.source());
  for (string line; std::getline(list, line);) {
    hdf_filenames_.push_back(line);
  }
  num_files_ = hdf_filenames_.size();
  LOG(INFO) << "Number of HDF5 files: " << num_files_;
  file_permutation_.resize(num_files_);
  std::iota(file_permutation_.begin(), file_permutation_.end(), 0);
  if (param.shuffle()) {
    this->ShuffleFiles();
  }
  current_file_ = 0;
  current_row_ = 0;
  LoadHDF5FileData(hdf_filenames_[file_permutation_[current_file_]].c_str());
  for (size_t i = 0; i < hdf_blobs_.size(); ++i) {
    vector<int> shape = hdf_blobs_[i]->shape();
    shape[0] = param.batch_size();
    top[i]->Reshape(shape);
  }
}

template <typename Dtype>
void HDF5DataLayer<Dtype>::LoadHDF5FileData(const char* filename) {
  const hid_t file = H5Fopen(filename, H5F_ACC_RDONLY, H5P_DEFAULT);
  CHECK_GE(file, 0) << "Failed opening HDF5 file: " << filename;
  hdf_blobs_.clear();
  for (const string& dataset : this->layer_param_.top()) {
    hdf_blobs_.push_back(shared_ptr<Blob<Dtype> >(new Blob<Dtype>()));
    caffe_ext::LoadHdf5Blob(file, dataset, hdf_blobs_.back().get(), true);
  }
  CHECK_GE(H5Fclose(file), 0) << "Failed to close HDF5 file: " << filename;
  this->CheckRows(filename);
  data_permutation_.resize(hdf_blobs_[0]->shape(0));
  std::iota(data_permutation_.begin(), data_permutation_.end(), 0);
  if (this->layer_param_.hdf5_data_param().shuffle()) {
    this->ShuffleRows();
  }
}

// Of several solvers that train, each takes its share of the rows. Only one of them tests.
template <typename Dtype>
bool HDF5DataLayer<Dtype>::Skip() {
  return this->layer_param_.phase() == TRAIN &&
         offset_ % Caffe::solver_count() != static_cast<uint64_t>(Caffe::solver_rank());
}

template <typename Dtype>
void HDF5DataLayer<Dtype>::Next() {
  const bool shuffle = this->layer_param_.hdf5_data_param().shuffle();
  ++offset_;
  if (++current_row_ < data_permutation_.size()) {
    return;
  }
  current_row_ = 0;
  if (num_files_ == 1) {
    if (shuffle) {
      this->ShuffleRows();
    }
    return;
  }
  if (++current_file_ == num_files_) {
    current_file_ = 0;
    if (shuffle) {
      this->ShuffleFiles();
    }
  }
  LoadHDF5FileData(hdf_filenames_[file_permutation_[current_file_]].c_str());
}

template <typename Dtype>
void HDF5DataLayer<Dtype>::Forward_cpu(const vector<Blob<Dtype>*>& bottom,
                                       const vector<Blob<Dtype>*>& top) {
  const int batch_size = this->layer_param_.hdf5_data_param().batch_size();
  for (int i = 0; i < batch_size; ++i) {
    while (Skip()) {
      Next();
    }
    for (size_t j = 0; j < hdf_blobs_.size(); ++j) {
      const size_t size = top[j]->count(1);
      Dtype* const rows =
          Caffe::mode() == Caffe::GPU ? top[j]->mutable_gpu_data() : top[j]->mutable_cpu_data();
      caffe_copy(size, hdf_blobs_[j]->cpu_data() + data_permutation_[current_row_] * size,
                 rows + i * size);
    }
    Next();
  }
}

template <typename Dtype>
void HDF5DataLayer<Dtype>::Forward_gpu(const vector<Blob<Dtype>*>& bottom,
                                       const vector<Blob<Dtype>*>& top) {
  Forward_cpu(bottom, top);
}

INSTANTIATE_CLASS(HDF5DataLayer);
REGISTER_LAYER_CLASS(HDF5Data);

}  // namespace caffe
