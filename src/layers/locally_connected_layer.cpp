#include "caffe/layers/locally_connected_layer.hpp"

#include <omp.h>

#include <algorithm>
#include <climits>
#include <string>
#include <vector>

#include "caffe/filler.hpp"
#include "caffe/util/math_functions.hpp"
#include "locally_connected_products.hpp"

namespace caffe {

namespace {

using caffe_ext::LocalProducts;
using caffe_ext::TapWindow;

typedef google::protobuf::RepeatedField<google::protobuf::uint32> Sizes;

// A size of convolution_param along both axes, in its two forms: `name`, repeated, or `stem`_h and
// `stem`_w.
struct SizeField {
  string name, stem;
  const Sizes& both;
  bool has_h, has_w;
  int64_t h, w;
  int otherwise, least;
};

int CheckedSize(const string& where, const string& name, int64_t value, int least) {
  CHECK(value >= least && value <= INT_MAX)
      << where << name << " must be from " << least << " to " << INT_MAX << ", got " << value;
  return static_cast<int>(value);
}

void ReadSize(const string& where, const SizeField& field, int* h, int* w) {
  const Sizes& both = field.both;
  const string pair = field.stem + "_h and " + field.stem + "_w";
  CHECK(both.empty() || (!field.has_h && !field.has_w))
      << where << "give either " << field.name << " or " << pair << ", not both";
  CHECK_LE(both.size(), 2) << where << field.name << " takes one value or two, got " << both.size();
  CHECK_EQ(field.has_h, field.has_w) << where << pair << " go together";
  int64_t height = field.otherwise, width = field.otherwise;
  if (field.has_h) {
    height = field.h;
    width = field.w;
  } else if (!both.empty()) {
    height = both.Get(0);
    width = both.Get(both.size() - 1);
  }
  *h = CheckedSize(where, field.name + " along H", height, field.least);
  *w = CheckedSize(where, field.name + " along W", width, field.least);
}

// As many neighbouring positions go between a top and the products at once. Fewer would read and
// write parts of cache lines; many are no longer near when their product is made.
const int kPositions = 32;

// Some neighbouring positions of a top or its diff, in all images, as the products want it: by
// position, group of images, and block of outputs. What lies beyond the last image or output is
// zero.
template <typename Dtype>
class TopTile {
 public:
  // Within a block: lanes next to each other, or outputs.
  enum Order { LANES_LAST, OUTPUTS_LAST };

  TopTile(const LocallyConnectedGeometry& geometry, const LocalProducts<Dtype>& products,
          Order order)
      : geometry_(geometry),
        lanes_(products.lanes),
        outputs_(products.outputs),
        lane_step_(order == LANES_LAST ? 1 : outputs_),
        output_step_(order == LANES_LAST ? lanes_ : 1),
        groups_((geometry.num + lanes_ - 1) / lanes_),
        blocks_((geometry.num_output + outputs_ - 1) / outputs_),
        // A cache line more than there are values: else those of all positions fall into a few sets
        // of the cache.
        step_(static_cast<size_t>(groups_) * blocks_ * lanes_ * outputs_ + 64 / sizeof(Dtype)),
        values_(kPositions * step_) {}

  int blocks() const { return blocks_; }
  Dtype* Block(int position, int group, int block) {
    return &values_[position * step_ +
                    (static_cast<size_t>(group) * blocks_ + block) * lanes_ * outputs_];
  }

  // Positions [first, last) of the top.
  void Load(int first, int last, const Dtype* top) {
    ForEachPlane([=](size_t plane, int, Dtype* values) {
      const Dtype* from = top + plane + first;
      for (int p = 0; p < last - first; ++p) {
        values[p * step_] = from[p];
      }
    });
  }
  void Store(int first, int last, const Dtype* bias, Dtype* top) {
    ForEachPlane([=](size_t plane, int output_plane, const Dtype* values) {
      Dtype* to = top + plane + first;
      for (int p = 0; p < last - first; ++p) {
        to[p] = values[p * step_];
      }
      for (int p = 0; bias && p < last - first; ++p) {
        to[p] += bias[output_plane + first + p];
      }
    });
  }

 private:
  // Calls visit(offset of the plane, its offset within an image, its first value here).
  template <typename Visit>
  void ForEachPlane(const Visit& visit) {
    // Those that share cache lines here come one after the other.
    const bool lanes_last = lane_step_ == 1;
    const int outer = lanes_last ? geometry_.num_output : geometry_.num;
    const int inner = lanes_last ? geometry_.num : geometry_.num_output;
    for (int i = 0; i < outer; ++i) {
      for (int j = 0; j < inner; ++j) {
        const int n = lanes_last ? j : i;
        const int o = lanes_last ? i : j;
        const int plane = o * geometry_.positions();
        visit(static_cast<size_t>(n) * geometry_.num_output * geometry_.positions() + plane, plane,
              Block(0, n / lanes_, o / outputs_) + n % lanes_ * lane_step_ +
                  o % outputs_ * output_step_);
      }
    }
  }

  const LocallyConnectedGeometry& geometry_;
  const int lanes_, outputs_, lane_step_, output_step_, groups_, blocks_;
  const size_t step_;  // values from a position to the next
  vector<Dtype> values_;
};

// Weights, or their diffs, of `taps` taps: whole blocks of outputs where they lie, and the last
// block, if it is not whole, in a copy filled up with zeros.
template <typename Dtype>
class WeightBlock {
 public:
  WeightBlock(int taps, int num_output, int outputs)
      : taps_(taps), num_output_(num_output), outputs_(outputs) {}

  // Points the block at outputs from `first` on of these weights.
  void Read(const Dtype* weight, int first) {
    Place(weight, first);
    if (copied_) {
      copy_.resize(static_cast<size_t>(taps_) * outputs_);
      for (int k = 0; k < taps_; ++k) {
        std::copy(weight + static_cast<size_t>(k) * num_output_ + first,
                  weight + static_cast<size_t>(k + 1) * num_output_,
                  &copy_[static_cast<size_t>(k) * outputs_]);
      }
    }
  }
  // Likewise, to be added to; AddBack when that is done.
  void Open(Dtype* weight_diff, int first) {
    Place(weight_diff, first);
    copy_.assign(copied_ ? static_cast<size_t>(taps_) * outputs_ : 0, Dtype(0));
    diff_ = copied_ ? copy_.data() : weight_diff + first;
  }
  void AddBack(Dtype* weight_diff, int first) const {
    for (int k = 0; copied_ && k < taps_; ++k) {
      for (int o = 0; first + o < num_output_; ++o) {
        weight_diff[static_cast<size_t>(k) * num_output_ + first + o] +=
            copy_[static_cast<size_t>(k) * outputs_ + o];
      }
    }
  }

  const Dtype* weight() const { return copied_ ? copy_.data() : whole_; }
  Dtype* diff() const { return diff_; }
  int step() const { return copied_ ? outputs_ : num_output_; }

 private:
  void Place(const Dtype* weight, int first) {
    copied_ = first + outputs_ > num_output_;
    whole_ = weight + first;
  }

  const int taps_, num_output_, outputs_;
  bool copied_ = false;
  const Dtype* whole_ = NULL;
  Dtype* diff_ = NULL;
  vector<Dtype> copy_;
};

// A map whose pixels are vectors, zeros around it, in groups of images.
struct SpreadMap {
  int lanes;
  size_t row, plane, group;

  SpreadMap(const LocallyConnectedGeometry& geometry, int lanes)
      : lanes(lanes),
        row(static_cast<size_t>(geometry.width + 2 * geometry.pad_w) * lanes),
        plane(row * (geometry.height + 2 * geometry.pad_h)),
        group(plane * geometry.channels) {}

  // Where position p's window begins.
  size_t offset(const LocallyConnectedGeometry& geometry, int g, int p) const {
    return g * group + p / geometry.output_w * geometry.stride_h * row +
           static_cast<size_t>(p % geometry.output_w) * geometry.stride_w * lanes;
  }
  TapWindow window(const LocallyConnectedGeometry& geometry, int channels) const {
    const TapWindow window = {channels, geometry.kernel_h, geometry.kernel_w, plane, row};
    return window;
  }
};

// Calls visit(a pixel's first value in the map, the row's in the plain blob, image's lane) for
// every row of channel c of a group of images.
template <typename Visit>
void ForEachRow(const LocallyConnectedGeometry& geometry, const SpreadMap& map, int g, int c,
                const Visit& visit) {
  const int first = g * map.lanes;
  const int last = std::min(first + map.lanes, geometry.num);
  for (int y = 0; y < geometry.height; ++y) {
    const size_t row = g * map.group + c * map.plane + (y + geometry.pad_h) * map.row +
                       static_cast<size_t>(geometry.pad_w) * map.lanes;
    for (int n = first; n < last; ++n) {
      const size_t plain =
          ((static_cast<size_t>(n) * geometry.channels + c) * geometry.height + y) * geometry.width;
      visit(row + n - first, plain);
    }
  }
}

}  // namespace

// ---------------------------------------------------------------------------------------------
// Set-up

template <typename Dtype>
string LocallyConnectedLayer<Dtype>::Where() const {
  return "LocallyConnected layer '" + this->layer_param_.name() + "': ";
}

// What every bottom has to be, whatever the weights.
template <typename Dtype>
void LocallyConnectedLayer<Dtype>::CheckMap(const Blob<Dtype>& bottom) const {
  CHECK_EQ(bottom.num_axes(), 4) << Where() << "the bottom must have 4 axes (N x C x H x W), got "
                                 << bottom.shape_string();
}

template <typename Dtype>
void LocallyConnectedLayer<Dtype>::CheckWhatIsLeftOut() const {
  const ConvolutionParameter& param = this->layer_param_.convolution_param();
  CHECK_EQ(param.axis(), 1) << Where() << "axis can only be 1, the channels of N x C x H x W; "
                            << "bring the bottom into that order";
  CHECK_EQ(param.group(), 1) << Where() << "there are no groups, got group: " << param.group()
                             << "; slice the channels and give each slice a layer of its own";
  for (const uint32_t dilation : param.dilation()) {
    CHECK_EQ(dilation, 1) << Where() << "there is no dilation, got dilation: " << dilation
                          << "; take a larger kernel or a stride";
  }
  CHECK(param.engine() != ConvolutionParameter_Engine_CUDNN)
      << Where() << "cuDNN has no locally connected convolution; leave engine out";
}

template <typename Dtype>
void LocallyConnectedLayer<Dtype>::ReadParameters(const Blob<Dtype>& bottom) {
  const ConvolutionParameter& param = this->layer_param_.convolution_param();
  CheckMap(bottom);
  CheckWhatIsLeftOut();
  geometry_.channels = bottom.shape(1);
  geometry_.height = bottom.shape(2);
  geometry_.width = bottom.shape(3);
  CHECK_GT(geometry_.channels, 0) << Where() << "the bottom has no channels";
  CHECK(param.has_num_output()) << Where() << "num_output is missing";
  geometry_.num_output = CheckedSize(Where(), "num_output", param.num_output(), 1);
  CHECK(param.kernel_size_size() || param.has_kernel_h() || param.has_kernel_w())
      << Where() << "kernel_size is missing";
  ReadSize(Where(),
           {"kernel_size", "kernel", param.kernel_size(), param.has_kernel_h(),
            param.has_kernel_w(), param.kernel_h(), param.kernel_w(), 0, 1},
           &geometry_.kernel_h, &geometry_.kernel_w);
  ReadSize(Where(),
           {"stride", "stride", param.stride(), param.has_stride_h(), param.has_stride_w(),
            param.stride_h(), param.stride_w(), 1, 1},
           &geometry_.stride_h, &geometry_.stride_w);
  ReadSize(Where(),
           {"pad", "pad", param.pad(), param.has_pad_h(), param.has_pad_w(), param.pad_h(),
            param.pad_w(), 0, 0},
           &geometry_.pad_h, &geometry_.pad_w);
  bias_term_ = param.bias_term();
}

// The top's positions, and that their weights fit into a blob.
template <typename Dtype>
void LocallyConnectedLayer<Dtype>::PlacePositions() {
  LocallyConnectedGeometry& g = geometry_;
  const int64_t rows = LocallyConnectedGeometry::Outputs(g.height, g.kernel_h, g.stride_h, g.pad_h);
  const int64_t columns =
      LocallyConnectedGeometry::Outputs(g.width, g.kernel_w, g.stride_w, g.pad_w);
  CHECK(rows > 0 && columns > 0) << Where() << "a kernel of " << g.kernel_h << "x" << g.kernel_w
                                 << " does not fit into the map of " << g.height << "x" << g.width
                                 << " with a pad of " << g.pad_h << "x" << g.pad_w
                                 << "; lower kernel_size or raise pad";
  const double weights =
      static_cast<double>(rows) * columns * g.num_output * g.channels * g.kernel_h * g.kernel_w;
  CHECK_LE(weights, INT_MAX) << Where() << rows << "x" << columns << " positions of "
                             << g.num_output << "x" << g.channels << "x" << g.kernel_h << "x"
                             << g.kernel_w
                             << " need more weights than a blob can hold; take a larger stride, a "
                             << "smaller kernel or fewer outputs";
  const double padded = (g.height + 2. * g.pad_h) * (g.width + 2. * g.pad_w);
  CHECK_LE(padded * g.channels, INT_MAX)
      << Where() << "a map of " << g.height << "x" << g.width << " with a pad of " << g.pad_h << "x"
      << g.pad_w << " is larger than a blob can be; lower pad";
  g.output_h = static_cast<int>(rows);
  g.output_w = static_cast<int>(columns);
}

template <typename Dtype>
vector<vector<int> > LocallyConnectedLayer<Dtype>::BlobShapes() const {
  const LocallyConnectedGeometry& g = geometry_;
  vector<vector<int> > shapes = {
      {g.output_h, g.output_w, g.channels, g.kernel_h, g.kernel_w, g.num_output}};
  if (bias_term_) {
    shapes.push_back({g.num_output, g.output_h, g.output_w});
  }
  return shapes;
}

// The fillers derive fan-in and fan-out from a blob of a convolution, outputs first.
template <typename Dtype>
void LocallyConnectedLayer<Dtype>::FillWeight() {
  const LocallyConnectedGeometry& g = geometry_;
  const shared_ptr<Filler<Dtype> > filler(
      GetFiller<Dtype>(this->layer_param_.convolution_param().weight_filler()));
  Blob<Dtype> one(vector<int>{g.num_output, g.channels, g.kernel_h, g.kernel_w});
  for (int p = 0; p < g.positions(); ++p) {
    filler->Fill(&one);
    const Dtype* from = one.cpu_data();
    Dtype* to = this->blobs_[0]->mutable_cpu_data() + g.weight_offset(p);
    for (int k = 0; k < g.taps(); ++k) {
      for (int o = 0; o < g.num_output; ++o) {
        *to++ = from[o * g.taps() + k];
      }
    }
  }
}

template <typename Dtype>
void LocallyConnectedLayer<Dtype>::FillBias() {
  const shared_ptr<Filler<Dtype> > filler(
      GetFiller<Dtype>(this->layer_param_.convolution_param().bias_filler()));
  Blob<Dtype> one(vector<int>(1, geometry_.num_output));
  Dtype* bias = this->blobs_[1]->mutable_cpu_data();
  for (int p = 0; p < geometry_.positions(); ++p) {
    filler->Fill(&one);
    for (int o = 0; o < geometry_.num_output; ++o) {
      bias[o * geometry_.positions() + p] = one.cpu_data()[o];
    }
  }
}

template <typename Dtype>
void LocallyConnectedLayer<Dtype>::CreateBlobs(const vector<vector<int> >& shapes) {
  for (const vector<int>& shape : shapes) {
    this->blobs_.push_back(shared_ptr<Blob<Dtype> >(new Blob<Dtype>(shape)));
  }
  FillWeight();
  if (bias_term_) {
    FillBias();
  }
}

template <typename Dtype>
void LocallyConnectedLayer<Dtype>::CheckBlobs(const vector<vector<int> >& shapes) const {
  CHECK_EQ(this->blobs_.size(), shapes.size())
      << Where() << "its parameters ask for " << shapes.size() << " blobs, " << this->blobs_.size()
      << " were given";
  for (size_t i = 0; i < shapes.size(); ++i) {
    CHECK(this->blobs_[i]->shape() == shapes[i])
        << Where() << "blob " << i << " must be " << Blob<Dtype>(shapes[i]).shape_string()
        << ", was given as " << this->blobs_[i]->shape_string();
  }
}

template <typename Dtype>
void LocallyConnectedLayer<Dtype>::LayerSetUp(const vector<Blob<Dtype>*>& bottom,
                                              const vector<Blob<Dtype>*>& top) {
  if (!products_) {
    products_ = &caffe_ext::UsableLocalProducts<Dtype>()[0];
  }
  ReadParameters(*bottom[0]);
  PlacePositions();
  const vector<vector<int> > shapes = BlobShapes();
  if (this->blobs_.empty()) {
    CreateBlobs(shapes);
  } else {
    LOG(INFO) << "Skipping parameter initialization";
    CheckBlobs(shapes);
  }
  this->param_propagate_down_.resize(this->blobs_.size(), true);
}

template <typename Dtype>
void LocallyConnectedLayer<Dtype>::Reshape(const vector<Blob<Dtype>*>& bottom,
                                           const vector<Blob<Dtype>*>& top) {
  const LocallyConnectedGeometry& g = geometry_;
  CHECK_NE(bottom[0], top[0]) << Where() << "cannot work in place";
  CheckMap(*bottom[0]);
  CHECK(bottom[0]->shape(1) == g.channels && bottom[0]->shape(2) == g.height &&
        bottom[0]->shape(3) == g.width)
      << Where() << "the weights are for maps of " << g.channels << "x" << g.height << "x"
      << g.width << ", the bottom has " << bottom[0]->shape(1) << "x" << bottom[0]->shape(2) << "x"
      << bottom[0]->shape(3) << "; only the number of images may change";
  if (bottom[0]->shape(0) != geometry_.num) {
    // What lies beyond the last image has to be zero.
    inputs_.reset();
    input_diffs_.reset();
  }
  geometry_.num = bottom[0]->shape(0);
  CHECK_LE(static_cast<double>(g.num) * g.num_output * g.positions(), INT_MAX)
      << Where() << "the top of " << g.num << " images is larger than a blob can be; take fewer";
  top[0]->Reshape({g.num, g.num_output, g.output_h, g.output_w});
}

// ---------------------------------------------------------------------------------------------
// Between Caffe's order and vectors of images

template <typename Dtype>
int LocallyConnectedLayer<Dtype>::Lanes() const {
  return products_->lanes;
}

// Memory for all groups' maps, with what it held before; at first, zeros.
template <typename Dtype>
Dtype* LocallyConnectedLayer<Dtype>::SpreadMemory(shared_ptr<SyncedMemory>* memory) const {
  if (!*memory) {
    memory->reset(new SyncedMemory(Groups() * SpreadMap(geometry_, Lanes()).group * sizeof(Dtype)));
  }
  return static_cast<Dtype*>((*memory)->mutable_cpu_data());
}

template <typename Dtype>
const Dtype* LocallyConnectedLayer<Dtype>::SpreadBottom(const Dtype* bottom_data) {
  const SpreadMap map(geometry_, Lanes());
  Dtype* const inputs = SpreadMemory(&inputs_);
#pragma omp parallel for collapse(2) schedule(static)
  for (int g = 0; g < Groups(); ++g) {
    for (int c = 0; c < geometry_.channels; ++c) {
      ForEachRow(geometry_, map, g, c, [&](size_t spread, size_t plain) {
        for (int x = 0; x < geometry_.width; ++x) {
          inputs[spread + static_cast<size_t>(x) * map.lanes] = bottom_data[plain + x];
        }
      });
    }
  }
  return inputs;
}

template <typename Dtype>
void LocallyConnectedLayer<Dtype>::GatherBottomDiff(const Dtype* input_diffs,
                                                    Dtype* bottom_diff) const {
  const SpreadMap map(geometry_, Lanes());
#pragma omp parallel for collapse(2) schedule(static)
  for (int g = 0; g < Groups(); ++g) {
    for (int c = 0; c < geometry_.channels; ++c) {
      ForEachRow(geometry_, map, g, c, [&](size_t spread, size_t plain) {
        for (int x = 0; x < geometry_.width; ++x) {
          bottom_diff[plain + x] = input_diffs[spread + static_cast<size_t>(x) * map.lanes];
        }
      });
    }
  }
}

// ---------------------------------------------------------------------------------------------
// Passes. Each product is threaded so that no two threads write the same value, and its sums have
// an order of their own: results do not depend on the number of threads, nor on who does what.
// Hence threads take tiles as they come, which costs nothing where all are equally fast and much
// is won where one of them has to share its core.

template <typename Dtype>
void LocallyConnectedLayer<Dtype>::Forward_cpu(const vector<Blob<Dtype>*>& bottom,
                                               const vector<Blob<Dtype>*>& top) {
  if (geometry_.num == 0) {
    return;
  }
  const Dtype* inputs = SpreadBottom(bottom[0]->cpu_data());
  const SpreadMap map(geometry_, Lanes());
  const TapWindow window = map.window(geometry_, geometry_.channels);
  const Dtype* weight = this->blobs_[0]->cpu_data();
  const Dtype* bias = bias_term_ ? this->blobs_[1]->cpu_data() : NULL;
  Dtype* top_data = top[0]->mutable_cpu_data();
  const int positions = geometry_.positions();
#pragma omp parallel
  {
    TopTile<Dtype> sums(geometry_, *products_, TopTile<Dtype>::LANES_LAST);
    WeightBlock<Dtype> block(geometry_.taps(), geometry_.num_output, products_->outputs);
#pragma omp for schedule(dynamic)
    for (int first = 0; first < positions; first += kPositions) {
      const int last = std::min(first + kPositions, positions);
      for (int p = first; p < last; ++p) {
        for (int b = 0; b < sums.blocks(); ++b) {
          block.Read(weight + geometry_.weight_offset(p), b * products_->outputs);
          for (int g = 0; g < Groups(); ++g) {
            products_->sum_outputs(window, inputs + map.offset(geometry_, g, p), block.weight(),
                                   block.step(), sums.Block(p - first, g, b));
          }
        }
      }
      sums.Store(first, last, bias, top_data);
    }
  }
}

template <typename Dtype>
void LocallyConnectedLayer<Dtype>::AddWeightDiff(const Dtype* inputs, const Dtype* top_diff,
                                                 Dtype* weight_diff) const {
  const SpreadMap map(geometry_, Lanes());
  const TapWindow window = map.window(geometry_, geometry_.channels);
  const int positions = geometry_.positions();
#pragma omp parallel
  {
    TopTile<Dtype> diffs(geometry_, *products_, TopTile<Dtype>::OUTPUTS_LAST);
    WeightBlock<Dtype> block(geometry_.taps(), geometry_.num_output, products_->outputs);
#pragma omp for schedule(dynamic)
    for (int first = 0; first < positions; first += kPositions) {
      const int last = std::min(first + kPositions, positions);
      diffs.Load(first, last, top_diff);
      for (int p = first; p < last; ++p) {
        Dtype* const diff = weight_diff + geometry_.weight_offset(p);
        for (int b = 0; b < diffs.blocks(); ++b) {
          block.Open(diff, b * products_->outputs);
          for (int g = 0; g < Groups(); ++g) {
            products_->add_weight_diff(window, inputs + map.offset(geometry_, g, p),
                                       diffs.Block(p - first, g, b), block.diff(), block.step());
          }
          block.AddBack(diff, b * products_->outputs);
        }
      }
    }
  }
}

template <typename Dtype>
void LocallyConnectedLayer<Dtype>::AddBiasDiff(const Dtype* top_diff, Dtype* bias_diff) const {
  const int count = geometry_.num_output * geometry_.positions();
  const int kChunk = 4096;  // stays in the cache while the images go by
#pragma omp parallel for schedule(static)
  for (int first = 0; first < count; first += kChunk) {
    const int last = std::min(first + kChunk, count);
    for (int n = 0; n < geometry_.num; ++n) {
      const Dtype* diff = top_diff + static_cast<size_t>(n) * count;
      for (int i = first; i < last; ++i) {
        bias_diff[i] += diff[i];
      }
    }
  }
}

// Windows of neighbouring positions overlap. So rows of positions are cut into bands at least as
// high as a kernel reaches, and every other band is worked on at a time; and threads share out the
// channels of a band.
template <typename Dtype>
const Dtype* LocallyConnectedLayer<Dtype>::SpreadDataDiff(const Dtype* top_diff,
                                                          const Dtype* weight) {
  const LocallyConnectedGeometry& geo = geometry_;
  const SpreadMap map(geo, Lanes());
  Dtype* const input_diffs = SpreadMemory(&input_diffs_);
  const int reach = (geo.kernel_h + geo.stride_h - 1) / geo.stride_h - 1;
  const int bands = std::max(1, geo.output_h / std::max(1, reach));
  const int parts = std::min(geo.channels, omp_get_max_threads());
  const auto border = [](int i, int size, int cuts) {
    return static_cast<int>(static_cast<int64_t>(i) * size / cuts);
  };
#pragma omp parallel
  {
    TopTile<Dtype> diffs(geo, *products_, TopTile<Dtype>::LANES_LAST);
#pragma omp for schedule(static)
    for (int plane = 0; plane < Groups() * geo.channels; ++plane) {
      std::fill_n(input_diffs + plane * map.plane, map.plane, Dtype(0));
    }
    for (int odd = 0; odd < 2; ++odd) {
#pragma omp for collapse(2) schedule(dynamic)
      for (int band = odd; band < bands; band += 2) {
        for (int part = 0; part < parts; ++part) {
          const int channel = border(part, geo.channels, parts);
          const TapWindow window = map.window(geo, border(part + 1, geo.channels, parts) - channel);
          WeightBlock<Dtype> block(window.taps(), geo.num_output, products_->outputs);
          const int end = border(band + 1, geo.output_h, bands) * geo.output_w;
          for (int first = border(band, geo.output_h, bands) * geo.output_w; first < end;
               first += kPositions) {
            const int last = std::min(first + kPositions, end);
            diffs.Load(first, last, top_diff);
            for (int p = first; p < last; ++p) {
              for (int b = 0; b < diffs.blocks(); ++b) {
                block.Read(weight + geo.weight_offset(p) +
                               channel * geo.kernel_h * geo.kernel_w * geo.num_output,
                           b * products_->outputs);
                for (int g = 0; g < Groups(); ++g) {
                  products_->add_map_diff(
                      window, diffs.Block(p - first, g, b), block.weight(), block.step(),
                      input_diffs + map.offset(geo, g, p) + channel * map.plane);
                }
              }
            }
          }
        }
      }
    }
  }
  return input_diffs;
}

template <typename Dtype>
void LocallyConnectedLayer<Dtype>::Backward_cpu(const vector<Blob<Dtype>*>& top,
                                                const vector<bool>& propagate_down,
                                                const vector<Blob<Dtype>*>& bottom) {
  if (geometry_.num == 0) {
    return;
  }
  const Dtype* top_diff = top[0]->cpu_diff();
  if (WantsDiff(0)) {
    AddWeightDiff(SpreadBottom(bottom[0]->cpu_data()), top_diff,
                  this->blobs_[0]->mutable_cpu_diff());
  }
  if (WantsDiff(1)) {
    AddBiasDiff(top_diff, this->blobs_[1]->mutable_cpu_diff());
  }
  if (propagate_down[0]) {
    GatherBottomDiff(SpreadDataDiff(top_diff, this->blobs_[0]->cpu_data()),
                     bottom[0]->mutable_cpu_diff());
  }
}

#ifdef CPU_ONLY
STUB_GPU(LocallyConnectedLayer);
#endif

INSTANTIATE_CLASS(LocallyConnectedLayer);
REGISTER_LAYER_CLASS(LocallyConnected);

}  // namespace caffe
