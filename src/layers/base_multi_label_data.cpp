#include "caffe/layers/base_multi_label_data.hpp"

#include <omp.h>

#include <algorithm>
#include <climits>
#include <exception>
#include <fstream>
#include <opencv2/core/core.hpp>
#include <opencv2/imgcodecs/imgcodecs.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "augmentation.hpp"
#include "caffe/data_transformer.hpp"
#include "caffe/util/math_functions.hpp"
#include "caffe/util/rng.hpp"
#include "labelled_images.hpp"
#include "limits/check_net.hpp"
#include "limits/image_end.hpp"
#include "limits/images.hpp"
#include "limits/limits.hpp"
#include "record_order.hpp"
#include "worker_pool.hpp"

namespace caffe_ext {

std::string DecodeImage(const std::string& bytes, cv::Mat* image) {
  std::string fault;
  *image = IsCutImage(bytes) ? cv::Mat() : DecodeImage(bytes, cv::IMREAD_COLOR, &fault);
  if (fault.empty() && image->type() != CV_8UC3) {
    image->release();
  }
  if (fault.empty() && image->empty()) {
    fault = "its image of " + std::to_string(bytes.size()) + " bytes cannot be decoded";
  }
  return fault;
}

}  // namespace caffe_ext

namespace caffe {

namespace {

const int kChannels = 3;
const int kMaxThreads = 1024;

// Caffe's transformer, its random numbers taken from a stream of their own for each image. One
// serves one thread: transforming touches the mean's memory state.
template <typename Dtype>
class RecordTransformer : public DataTransformer<Dtype> {
 public:
  RecordTransformer(const TransformationParameter& param, Phase phase)
      : DataTransformer<Dtype>(param, phase), stream_(0), draws_(0) {}

  // A copy for another thread, which does not read the mean file again.
  RecordTransformer(const RecordTransformer& other)
      : DataTransformer<Dtype>(WithoutMeanFile(other.param_), other.phase_), stream_(0), draws_(0) {
    this->param_ = other.param_;
    if (this->param_.has_mean_file()) {
      this->data_mean_.CopyFrom(other.data_mean_, false, true);
    }
  }

  // The next image's draws come from this stream.
  void Select(uint64_t stream) {
    stream_ = stream;
    draws_ = 0;
  }

  // What is wrong with an image of this size, or "".
  string Fault(int height, int width) const {
    std::ostringstream fault;
    const int crop_size = this->param_.crop_size();
    const Blob<Dtype>& mean = this->data_mean_;
    if (std::min(height, width) < crop_size) {
      fault << "its image is " << height << " x " << width << ", smaller than crop_size "
            << crop_size << "; make the images larger or crop_size smaller";
    } else if (this->param_.has_mean_file() &&
               (mean.num_axes() != 4 || mean.shape(0) != 1 || mean.shape(1) != kChannels ||
                mean.shape(2) != height || mean.shape(3) != width)) {
      fault << "its image is 1 x " << kChannels << " x " << height << " x " << width
            << ", but the mean of mean_file '" << this->param_.mean_file() << "' is "
            << mean.shape_string() << "; use the mean image of these records";
    }
    return fault.str();
  }

 protected:
  virtual int Rand(int n) {
    return static_cast<int>(caffe_ext::Below(caffe_ext::Draw(stream_, draws_++), n));
  }

 private:
  static TransformationParameter WithoutMeanFile(TransformationParameter param) {
    param.clear_mean_file();
    return param;
  }

  uint64_t stream_, draws_;
};

// What is wrong with a mean file, or "". Caffe's own reader ends the process without saying which
// layer and, for a damaged file, which file it was.
string MeanFileFault(const string& path) {
  std::ifstream file(path.c_str(), std::ios::binary);
  if (!file) {
    return "cannot be opened; make it, or correct transform_param.mean_file";
  }
  BlobProto proto;
  if (!proto.ParseFromIstream(&file)) {
    return "is not a BlobProto, or is cut short; make the mean image again";
  }
  double count = 1;  // a product of what the file says may pass any integer
  if (proto.has_num() || proto.has_channels() || proto.has_height() || proto.has_width()) {
    count *= static_cast<double>(proto.num()) * proto.channels() * proto.height() * proto.width();
  } else {
    for (int i = 0; i < proto.shape().dim_size(); ++i) {
      count *= proto.shape().dim(i);
    }
  }
  const int64_t values = proto.data_size() + proto.double_data_size();
  if (values == 0 || count != values) {
    std::ostringstream fault;
    fault << "has " << values << " values where its shape asks for " << count
          << "; make the mean image again";
    return fault.str();
  }
  return string();
}

// The raw bytes of a datum, 3 x height x width, as a matrix.
cv::Mat Interleaved(const Datum& datum) {
  cv::Mat planes[kChannels], image;
  const size_t size = static_cast<size_t>(datum.height()) * datum.width();
  for (int c = 0; c < kChannels; ++c) {
    planes[c] = cv::Mat(datum.height(), datum.width(), CV_8UC1,
                        const_cast<char*>(datum.data().data()) + c * size);
  }
  cv::merge(planes, kChannels, image);
  return image;
}

uint64_t RandomSeed() {
  const uint64_t high = caffe_rng_rand();
  return high << 32 | caffe_rng_rand();
}

}  // namespace

template <typename Dtype>
struct BaseMultiLabelDataLayer<Dtype>::Worker {
  explicit Worker(const RecordTransformer<Dtype>& other) : transformer(other) {}

  RecordTransformer<Dtype> transformer;
  caffe_ext::LabelledImage sample;
  cv::Mat scratch;     // of the augmentation
  Blob<Dtype> output;  // one transformed image, laid over its place in the batch
};

template <typename Dtype>
BaseMultiLabelDataLayer<Dtype>::BaseMultiLabelDataLayer(const LayerParameter& param,
                                                        const MultiLabelDataParameter& data_param)
    : BasePrefetchingDataLayer<Dtype>(param),
      data_param_(data_param),
      position_(0),
      in_passes_(false),
      seed_(0),
      transform_seed_(0),
      augmentation_seed_(0),
      augments_(param.phase() == TRAIN && caffe_ext::Augments(data_param.augmentation())),
      num_labels_(data_param.num_labels()) {
  // The base takes the length of its queue from data_param, which is not ours.
  Batch<Dtype>* batch;
  while (this->prefetch_free_.try_pop(&batch)) {
  }
  CHECK_GE(data_param.prefetch(), 1) << Title() << ": prefetch must be at least 1.";
  CHECK_LE(data_param.prefetch(), 1024) << Title() << ": prefetch must be at most 1024.";
  this->prefetch_.resize(data_param.prefetch());
  for (size_t i = 0; i < this->prefetch_.size(); ++i) {
    this->prefetch_[i].reset(new Batch<Dtype>());
    this->prefetch_free_.push(this->prefetch_[i].get());
  }
  // The base's own transformer is never used, so it need not read the mean.
  this->transform_param_.clear_mean_file();
}

template <typename Dtype>
BaseMultiLabelDataLayer<Dtype>::~BaseMultiLabelDataLayer() {
  CHECK(!this->is_started()) << Title() << ": its thread must be stopped by its own destructor.";
}

template <typename Dtype>
string BaseMultiLabelDataLayer<Dtype>::Title() const {
  return this->layer_param_.type() + " layer '" + this->layer_param_.name() + "'";
}

template <typename Dtype>
void BaseMultiLabelDataLayer<Dtype>::Fail(size_t record, const string& fault) const {
  LOG(FATAL) << Title() << ": " << records_->Name(record) << ": " << fault << ".";
}

template <typename Dtype>
void BaseMultiLabelDataLayer<Dtype>::CheckParameters() const {
  const MultiLabelDataParameter& data_param = data_param_;
  const TransformationParameter& transform = this->layer_param_.transform_param();
  // A net was checked before its layers were made; a layer by itself was not.
  const string fault_of_layer = caffe_ext::LayerFault(this->layer_param_);
  CHECK(fault_of_layer.empty()) << Title() << ": " << fault_of_layer << ".";
  CHECK_GE(data_param.batch_size(), 1) << Title() << ": batch_size must be at least 1.";
  CHECK_LE(data_param.batch_size(), INT_MAX) << Title() << ": batch_size is too large.";
  CHECK_LE(data_param.num_labels(), caffe_ext::kMaxLabels)
      << Title() << ": num_labels may be " << caffe_ext::kMaxLabels << ".";
  CHECK_LE(data_param.threads(), kMaxThreads)
      << Title() << ": threads must be at most " << kMaxThreads << " (0: one per core).";
  CHECK_LE(transform.crop_size(), INT_MAX) << Title() << ": crop_size is too large.";
  CHECK(!transform.force_gray())
      << Title() << ": transform_param.force_gray is not supported; images always have 3 channels.";
  CHECK(transform.mean_value_size() <= 1 || transform.mean_value_size() == kChannels)
      << Title() << ": " << transform.mean_value_size() << " values of mean_value; give 1 or "
      << kChannels << ".";
  if (transform.has_mean_file()) {
    CHECK_EQ(transform.mean_value_size(), 0)
        << Title() << ": mean_file and mean_value are both given; remove one of them.";
    const string fault = MeanFileFault(transform.mean_file());
    CHECK(fault.empty()) << Title() << ": mean_file '" << transform.mean_file() << "' " << fault
                         << ".";
  }
}

template <typename Dtype>
void BaseMultiLabelDataLayer<Dtype>::DataLayerSetUp(const vector<Blob<Dtype>*>& bottom,
                                                    const vector<Blob<Dtype>*>& top) {
  CheckParameters();
  const MultiLabelDataParameter& data_param = data_param_;
  const bool train = this->phase_ == TRAIN;
  try {
    records_ = Open();
  } catch (const std::exception& error) {
    LOG(FATAL) << Title() << ": " << error.what();
  }

  // Every solver draws from its own generator, yet none may depend on that for being different.
  const int ranks = train ? Caffe::solver_count() : 1;
  const int rank = train ? Caffe::solver_rank() : 0;
  CHECK_GE(records_->size(), static_cast<size_t>(ranks))
      << Title() << ": " << records_->name() << " has fewer records than there are solvers.";
  Seed(caffe_ext::Draw(RandomSeed(), rank));

  // OpenMP counts the cores that this process may use, and heeds OMP_NUM_THREADS. A batch gives
  // no more than batch_size threads something to do.
  int threads = data_param.threads();
  if (threads == 0) {
    threads = std::min(omp_get_max_threads(), kMaxThreads);
  }
  threads = std::min<int>(threads, data_param.batch_size());
  const RecordTransformer<Dtype> transformer(this->layer_param_.transform_param(), this->phase_);
  for (int i = 0; i < threads; ++i) {
    workers_.push_back(shared_ptr<Worker>(new Worker(transformer)));
  }

  // The first record sets the shapes.
  Worker* worker = workers_[0].get();
  const string fault = Read(0, worker);
  if (!fault.empty()) {
    Fail(0, fault);
  }
  num_labels_ = static_cast<int>(worker->sample.labels.size());
  const int crop_size = this->layer_param_.transform_param().crop_size();
  image_shape_.push_back(1);
  image_shape_.push_back(kChannels);
  image_shape_.push_back(crop_size ? crop_size : worker->sample.height());
  image_shape_.push_back(crop_size ? crop_size : worker->sample.width());
  for (int i = 0; i < threads; ++i) {
    workers_[i]->output.Reshape(image_shape_);
  }
  const int64_t image_size = static_cast<int64_t>(kChannels) * image_shape_[2] * image_shape_[3];
  CHECK_LE(data_param.batch_size(), INT_MAX / std::max<int64_t>(image_size, num_labels_))
      << Title() << ": batch_size " << data_param.batch_size() << " of images of " << kChannels
      << " x " << image_shape_[2] << " x " << image_shape_[3]
      << " is more than a blob can hold; make batch_size smaller.";
  vector<int> data_shape = image_shape_;
  data_shape[0] = data_param.batch_size();
  vector<int> label_shape(2);
  label_shape[0] = data_param.batch_size();
  label_shape[1] = num_labels_;
  top[0]->Reshape(data_shape);
  top[1]->Reshape(label_shape);
  for (size_t i = 0; i < this->prefetch_.size(); ++i) {
    this->prefetch_[i]->data_.Reshape(data_shape);
    this->prefetch_[i]->label_.Reshape(label_shape);
  }
  pool_.reset(new caffe_ext::WorkerPool(threads));
  LOG_IF(INFO, Caffe::root_solver())
      << Title() << ": " << records_->size() << " records in " << records_->name() << ", data "
      << top[0]->shape_string() << ", labels " << top[1]->shape_string() << ", " << pool_->size()
      << " threads"
      << (augments_ ? "; augmentation: " + caffe_ext::Describe(data_param.augmentation()) : "");
}

template <typename Dtype>
void BaseMultiLabelDataLayer<Dtype>::Seed(uint64_t seed) {
  const bool train = this->phase_ == TRAIN;
  seed_ = seed;
  order_.reset(new caffe_ext::RecordOrder(
      records_->size(), train ? Caffe::solver_rank() : 0, train ? Caffe::solver_count() : 1,
      data_param_.has_shuffle() ? data_param_.shuffle() : train, caffe_ext::Draw(seed, 0)));
  transform_seed_ = caffe_ext::Draw(seed, 1);
  augmentation_seed_ = caffe_ext::Draw(seed, 2);
}

template <typename Dtype>
void BaseMultiLabelDataLayer<Dtype>::SaveReading(LayerState* state) const {
  state->set_position(position_);
  state->set_records(records_->size());
  state->set_seed(seed_);
}

template <typename Dtype>
string BaseMultiLabelDataLayer<Dtype>::RestoreReading(const LayerState& state) {
  if (state.records() != records_->size()) {
    std::ostringstream fault;
    fault << records_->name() << " has " << records_->size() << " records, not the snapshot's "
          << state.records();
    return fault.str();
  }
  Seed(state.seed());
  position_ = state.position();
  return string();
}

template <typename Dtype>
int BaseMultiLabelDataLayer<Dtype>::BeginPass() {
  LayerState state;
  this->SaveState(&state);
  if (!in_passes_ || state.position() != 0) {
    // What was read ahead is dropped. No thread reads between these two calls, nor in the second
    // before the position is set.
    this->StopInternalThread();
    in_passes_ = true;
    state.set_position(0);
    const string fault = this->RestoreState(state);
    CHECK(fault.empty()) << Title() << ": " << fault;
  }
  const size_t batch_size = data_param_.batch_size();
  return static_cast<int>((order_->size() + batch_size - 1) / batch_size);
}

template <typename Dtype>
string BaseMultiLabelDataLayer<Dtype>::Read(size_t record, Worker* worker) const {
  const caffe_ext::LabelledImage& sample = worker->sample;
  std::ostringstream fault(records_->Read(record, &worker->sample), std::ios::ate);
  if (!fault.str().empty()) {
    return fault.str();
  }
  if (num_labels_ != 0 && sample.labels.size() != static_cast<size_t>(num_labels_)) {
    fault << "it has " << sample.labels.size() << " labels instead of " << num_labels_
          << (data_param_.num_labels() != 0 ? " (num_labels)" : " (the first record's number)");
    return fault.str();
  }
  if (!image_shape_.empty() && !this->layer_param_.transform_param().crop_size() &&
      (sample.height() != image_shape_[2] || sample.width() != image_shape_[3])) {
    fault << "its image is " << sample.height() << " x " << sample.width()
          << ", but the first record's is " << image_shape_[2] << " x " << image_shape_[3]
          << "; set crop_size, or make all images the same size";
    return fault.str();
  }
  return worker->transformer.Fault(sample.height(), sample.width());
}

template <typename Dtype>
string BaseMultiLabelDataLayer<Dtype>::Load(uint64_t position, size_t record, Worker* worker,
                                            Dtype* data, Dtype* labels) const {
  const string fault = Read(record, worker);
  if (!fault.empty()) {
    return fault;
  }
  if (augments_) {
    cv::Mat* image = &worker->sample.image;
    if (image->empty()) {
      *image = Interleaved(worker->sample.datum);
    }
    caffe_ext::ApplyChange(caffe_ext::DrawChange(data_param_.augmentation(),
                                                 caffe_ext::Draw(augmentation_seed_, position)),
                           image, &worker->scratch);
  }
  worker->output.set_cpu_data(data);
  worker->transformer.Select(caffe_ext::Draw(transform_seed_, position));
  if (!worker->sample.image.empty()) {
    worker->transformer.Transform(worker->sample.image, &worker->output);
  } else {
    worker->transformer.Transform(worker->sample.datum, &worker->output);
  }
  for (int k = 0; k < num_labels_; ++k) {
    labels[k] = static_cast<Dtype>(worker->sample.labels[k]);
  }
  return string();
}

template <typename Dtype>
void BaseMultiLabelDataLayer<Dtype>::load_batch(Batch<Dtype>* batch) {
  size_t items = data_param_.batch_size();
  if (in_passes_) {
    items = std::min<size_t>(items, order_->size() - position_);
  }
  if (batch->data_.shape(0) != static_cast<int>(items)) {
    vector<int> shape = batch->data_.shape();
    shape[0] = static_cast<int>(items);
    batch->data_.Reshape(shape);
    shape = batch->label_.shape();
    shape[0] = static_cast<int>(items);
    batch->label_.Reshape(shape);
  }
  const size_t image_size = batch->data_.count(1);
  // Taken here, as asking for them changes the blobs' state.
  Dtype* data = batch->data_.mutable_cpu_data();
  Dtype* labels = batch->label_.mutable_cpu_data();
  vector<size_t> records(items);
  for (size_t i = 0; i < items; ++i) {
    records[i] = (*order_)[position_ + i];
  }
  vector<string> faults(items);
  pool_->Run(items, [&](int worker, size_t i) {
    try {
      faults[i] = Load(position_ + i, records[i], workers_[worker].get(), data + i * image_size,
                       labels + i * num_labels_);
    } catch (const std::exception& error) {
      // Memory that ran out, say: an exception may not leave its thread.
      faults[i] = string("it cannot be loaded: ") + error.what();
    }
  });
  // Asked first: what was done to the data as a whole would show as a fault of some record.
  const string change = records_->Changed();
  CHECK(change.empty()) << Title() << ": " << change;
  // The first one, whichever thread met one first.
  for (size_t i = 0; i < items; ++i) {
    if (!faults[i].empty()) {
      Fail(records[i], faults[i]);
    }
  }
  position_ += items;
  if (in_passes_ && position_ == order_->size()) {
    position_ = 0;  // every pass is the same, its crops and mirrors included
  }
}

#ifdef CPU_ONLY
STUB_GPU_FORWARD(BaseMultiLabelDataLayer, Forward);
#else
template <typename Dtype>
void BaseMultiLabelDataLayer<Dtype>::Forward_gpu(const vector<Blob<Dtype>*>& bottom,
                                                 const vector<Blob<Dtype>*>& top) {
  if (this->prefetch_current_) {
    // The prefetch thread fills this batch anew on a stream of its own. Backward may still be
    // reading it.
    CUDA_CHECK(cudaStreamSynchronize(cudaStreamDefault));
    this->prefetch_free_.push(this->prefetch_current_);
  }
  this->prefetch_current_ = this->prefetch_full_.pop("Waiting for data");
  Blob<Dtype>* const blobs[] = {&this->prefetch_current_->data_, &this->prefetch_current_->label_};
  for (int i = 0; i < 2; ++i) {
    top[i]->ReshapeLike(*blobs[i]);
    // Asked for as something to write to (as upstream's data layers do), the batch would be copied
    // back to the host before it is filled again.
    top[i]->set_gpu_data(const_cast<Dtype*>(blobs[i]->gpu_data()));
  }
}
#endif

INSTANTIATE_CLASS(BaseMultiLabelDataLayer);

}  // namespace caffe
