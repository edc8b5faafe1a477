// What the LocallyConnected layer's parameters ask for: its set-up, its blobs, and what it refuses.
#include <climits>
#include <string>
#include <vector>

#include "caffe/filler.hpp"
#include "caffe/layers/locally_connected_layer.hpp"
#include "given_blobs.hpp"

namespace caffe {

namespace {

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

}  // namespace

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
void LocallyConnectedLayer<Dtype>::LayerSetUp(const vector<Blob<Dtype>*>& bottom,
                                              const vector<Blob<Dtype>*>& top) {
  ReadParameters(*bottom[0]);
  PlacePositions();
  const vector<vector<int> > shapes = BlobShapes();
  if (this->blobs_.empty()) {
    CreateBlobs(shapes);
  } else {
    LOG(INFO) << "Skipping parameter initialization";
    caffe_ext::CheckGivenBlobs(Where(), this->blobs_, shapes);
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
  products_ = &ProductsFor(geometry_.num);
  CHECK_LE(static_cast<double>(g.num) * g.num_output * g.positions(), INT_MAX)
      << Where() << "the top of " << g.num << " images is larger than a blob can be; take fewer";
  top[0]->Reshape({g.num, g.num_output, g.output_h, g.output_w});
}

template void LocallyConnectedLayer<float>::LayerSetUp(const vector<Blob<float>*>&,
                                                       const vector<Blob<float>*>&);
template void LocallyConnectedLayer<double>::LayerSetUp(const vector<Blob<double>*>&,
                                                        const vector<Blob<double>*>&);
template void LocallyConnectedLayer<float>::Reshape(const vector<Blob<float>*>&,
                                                    const vector<Blob<float>*>&);
template void LocallyConnectedLayer<double>::Reshape(const vector<Blob<double>*>&,
                                                     const vector<Blob<double>*>&);

}  // namespace caffe
