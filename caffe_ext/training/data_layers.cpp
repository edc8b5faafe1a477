// Where Caffe's data layers stand in their data, and how they go on from there.
#include <string>
#include <vector>

#include "caffe/data_transformer.hpp"
#include "caffe/layers/base_data_layer.hpp"
#include "caffe/layers/data_layer.hpp"
#include "caffe/layers/image_data_layer.hpp"
#include "caffe/layers/window_data_layer.hpp"
#include "caffe/util/rng.hpp"
#include "members.hpp"
#include "training/generator.hpp"

namespace caffe_ext {

using boost::shared_ptr;
using caffe::Batch;
using caffe::Caffe;
using caffe::LayerState;
using caffe::rng_t;
using std::string;
using std::vector;

namespace {

// What these classes keep to themselves and those that inherit from them. C++ gives the latter
// pointers to such members, which are those of every object.
template <typename Dtype>
struct Transformer : caffe::DataTransformer<Dtype> {
  static rng_t* Generator(const caffe::DataTransformer<Dtype>& transformer) {
    const shared_ptr<Caffe::RNG>& rng = transformer.*(&Transformer::rng_);
    return rng ? static_cast<rng_t*>(rng->generator()) : NULL;
  }
};

template <typename Dtype>
struct Prefetching : caffe::BasePrefetchingDataLayer<Dtype> {
  typedef caffe::BasePrefetchingDataLayer<Dtype> Base;
  static const Batch<Dtype>* Current(const Base* layer) {
    return layer->*(&Prefetching::prefetch_current_);
  }
  static const caffe::DataTransformer<Dtype>& TransformerOf(const Base* layer) {
    return *(layer->*(&Prefetching::data_transformer_));
  }
  // All that was read ahead is of the wrong place.
  static void Drop(Base* layer) {
    caffe::BlockingQueue<Batch<Dtype>*>& free = layer->*(&Prefetching::prefetch_free_);
    caffe::BlockingQueue<Batch<Dtype>*>& full = layer->*(&Prefetching::prefetch_full_);
    Batch<Dtype>* batch;
    while (full.try_pop(&batch) || free.try_pop(&batch)) {
    }
    layer->*(&Prefetching::prefetch_current_) = NULL;
    for (const shared_ptr<Batch<Dtype> >& each : layer->*(&Prefetching::prefetch_)) {
      free.push(each.get());
    }
  }
};

template <typename Dtype>
struct Records : caffe::DataLayer<Dtype> {
  typedef caffe::DataLayer<Dtype> Base;
  static uint64_t& offset(Base* layer) { return layer->*(&Records::offset_); }
  static caffe::db::Cursor* cursor(Base* layer) { return (layer->*(&Records::cursor_)).get(); }
};

template <typename Dtype>
struct Images : caffe::ImageDataLayer<Dtype> {
  typedef caffe::ImageDataLayer<Dtype> Base;
  typedef vector<std::pair<string, int> > Lines;
  static Lines& lines(Base* layer) { return layer->*(&Images::lines_); }
  static int& next(Base* layer) { return layer->*(&Images::lines_id_); }
  static Caffe::RNG* order(Base* layer) { return (layer->*(&Images::prefetch_rng_)).get(); }
  static void Shuffle(Base* layer) { (layer->*(&Images::ShuffleImages))(); }
};

template <typename Dtype>
struct Windows : caffe::WindowDataLayer<Dtype> {
  typedef caffe::WindowDataLayer<Dtype> Base;
  static rng_t* Generator(const Base* layer) {
    const shared_ptr<Caffe::RNG>& rng = layer->*(&Windows::prefetch_rng_);
    return rng ? static_cast<rng_t*>(rng->generator()) : NULL;
  }
};

// The state of the generator of crops and mirrors, "" where nothing is random; and back.
template <typename Dtype>
string SaveTransforms(const caffe::BasePrefetchingDataLayer<Dtype>* layer) {
  const rng_t* generator = Transformer<Dtype>::Generator(Prefetching<Dtype>::TransformerOf(layer));
  return generator ? GeneratorState(*generator) : string();
}

template <typename Dtype>
bool RestoreTransforms(const string& state, caffe::BasePrefetchingDataLayer<Dtype>* layer) {
  rng_t* generator = Transformer<Dtype>::Generator(Prefetching<Dtype>::TransformerOf(layer));
  if (!generator || state.empty()) {
    return !generator && state.empty();
  }
  return SetGeneratorState(state, generator);
}

template <typename Dtype>
string RestoreRecords(const LayerState& state, caffe::DataLayer<Dtype>* layer) {
  if (!RestoreTransforms<Dtype>(state.generator(), layer)) {
    return "its crops and mirrors are not those of the snapshot";
  }
  caffe::db::Cursor* cursor = Records<Dtype>::cursor(layer);
  cursor->SeekToFirst();
  uint64_t left = state.position();
  for (uint64_t read = 1; left > 0; ++read, --left) {
    cursor->Next();
    if (!cursor->valid()) {
      cursor->SeekToFirst();
      left = (left - 1) % read + 1;  // so many records there are: whole rounds can be left out
      read = 0;
    }
  }
  Records<Dtype>::offset(layer) = state.position();
  return string();
}

}  // namespace

template <typename Dtype>
bool PrefetchPosition<Dtype>::SaveState(LayerState* state) const {
  const Batch<Dtype>* batch =
      Prefetching<Dtype>::Current(static_cast<const caffe::BasePrefetchingDataLayer<Dtype>*>(this));
  *state = batch ? batch->state_ : first_state_;
  return state->has_position();
}

template <typename Dtype>
string PrefetchPosition<Dtype>::RestoreState(const LayerState& state) {
  auto* layer = static_cast<caffe::BasePrefetchingDataLayer<Dtype>*>(this);
  layer->StopInternalThread();
  Prefetching<Dtype>::Drop(layer);
  const string fault = RestoreReading(state);
  if (fault.empty()) {
    first_state_ = state;
  } else {
    RestoreReading(first_state_);
  }
  layer->StartInternalThread();
  return fault;
}

template <typename Dtype>
void PrefetchPosition<Dtype>::MarkBatch(Batch<Dtype>* batch) const {
  batch->state_.Clear();
  SaveReading(&batch->state_);
}

template <typename Dtype>
void PrefetchPosition<Dtype>::BeginShuffle(const Lines& lines, void* generator) {
  if (shuffles_++ == 0) {
    list_ = lines;
    first_order_ = GeneratorState(*static_cast<const rng_t*>(generator));
  }
}

template <typename Dtype>
void PrefetchPosition<Dtype>::SaveReading(LayerState* state) const {
  // Pointers to const would take a second set of accessors.
  auto* self = const_cast<PrefetchPosition*>(this);
  if (auto* data = dynamic_cast<caffe::DataLayer<Dtype>*>(self)) {
    state->set_position(Records<Dtype>::offset(data));
    state->set_generator(SaveTransforms<Dtype>(data));
  } else if (auto* images = dynamic_cast<caffe::ImageDataLayer<Dtype>*>(self)) {
    state->set_position(Images<Dtype>::next(images));
    state->set_records(Images<Dtype>::lines(images).size());
    state->set_generator(SaveTransforms<Dtype>(images));
    state->set_first_order(first_order_);
    state->set_shuffles(shuffles_);
  } else if (auto* windows = dynamic_cast<caffe::WindowDataLayer<Dtype>*>(self)) {
    // Its windows are drawn at random, one by one.
    if (const rng_t* generator = Windows<Dtype>::Generator(windows)) {
      state->set_position(0);
      state->set_generator(GeneratorState(*generator));
    }
  }
}

template <typename Dtype>
string PrefetchPosition<Dtype>::RestoreReading(const LayerState& state) {
  if (auto* data = dynamic_cast<caffe::DataLayer<Dtype>*>(this)) {
    return RestoreRecords(state, data);
  }
  if (auto* windows = dynamic_cast<caffe::WindowDataLayer<Dtype>*>(this)) {
    rng_t* generator = Windows<Dtype>::Generator(windows);
    return generator && SetGeneratorState(state.generator(), generator)
               ? string()
               : "its crops and mirrors are not those of the snapshot";
  }
  auto* images = dynamic_cast<caffe::ImageDataLayer<Dtype>*>(this);
  if (!images) {
    return string();
  }
  Lines& lines = Images<Dtype>::lines(images);
  if (state.records() != lines.size()) {
    return "its list has " + std::to_string(lines.size()) + " lines, not the snapshot's " +
           std::to_string(state.records());
  }
  Caffe::RNG* order = Images<Dtype>::order(images);
  const uint64_t kMostShuffles = 1000000;
  if (state.position() >= lines.size() || (state.shuffles() > 0) != (order != NULL) ||
      state.shuffles() > kMostShuffles || !RestoreTransforms<Dtype>(state.generator(), images)) {
    return "its parameters are not those of the snapshot";
  }
  Images<Dtype>::next(images) = static_cast<int>(state.position());
  if (order) {
    if (!SetGeneratorState(state.first_order(), static_cast<rng_t*>(order->generator()))) {
      return "the snapshot's random numbers are damaged";
    }
    lines = list_;
    for (shuffles_ = 0; shuffles_ < state.shuffles();) {
      Images<Dtype>::Shuffle(images);
    }
  }
  return string();
}

template class PrefetchPosition<float>;
template class PrefetchPosition<double>;

}  // namespace caffe_ext

namespace caffe {

#define DEFINE_MEMBERS(Dtype)                                             \
  template <>                                                             \
  void ImageDataLayer<Dtype>::ShuffleImages() {                           \
    rng_t* const order = static_cast<rng_t*>(prefetch_rng_->generator()); \
    BeginShuffle(lines_, order);                                          \
    shuffle(lines_.begin(), lines_.end(), order);                         \
  }                                                                       \
  template <>                                                             \
  void MemoryDataLayer<Dtype>::Reset(Dtype* data, Dtype* labels, int n) { \
    CHECK(data);                                                          \
    CHECK(labels);                                                        \
    CHECK_GT(n, 0) << "there are no data";                                \
    CHECK_EQ(n % batch_size_, 0) << "n must be a multiple of batch size"; \
    LOG_IF(WARNING, layer_param_.has_transform_param())                   \
        << type() << " does not transform array data on Reset()";         \
    data_ = data;                                                         \
    labels_ = labels;                                                     \
    n_ = n;                                                               \
    pos_ = 0;                                                             \
  }

DEFINE_MEMBERS(float)
DEFINE_MEMBERS(double)
#undef DEFINE_MEMBERS

}  // namespace caffe
