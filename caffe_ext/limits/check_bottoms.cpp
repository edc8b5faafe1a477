// The half of check_net.hpp that needs the shapes of a layer's inputs.
#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "caffe/common.hpp"
#include "limits/check_net.hpp"
#include "limits/host_memory.hpp"
#include "limits/limits.hpp"

namespace caffe_ext {

namespace {

using caffe::LayerParameter;
typedef std::vector<int> Shape;
typedef std::vector<Shape> Shapes;

// Larger than any that is allowed, and never wrapped around.
const int64_t kTooMany = int64_t(INT_MAX) + 1;

int64_t Times(int64_t a, int64_t b) { return b != 0 && a > kTooMany / b ? kTooMany : a * b; }

int64_t Count(const Shape& shape, int from = 0) {
  int64_t count = 1;
  for (size_t i = from; i < shape.size(); ++i) {
    count = Times(count, shape[i]);
  }
  return count;
}

// -1 where the shape has no such axis, which the layer itself says.
int AxisOf(const Shape& shape, int64_t axis) {
  const int64_t index = axis < 0 ? axis + static_cast<int64_t>(shape.size()) : axis;
  return index >= 0 && index < static_cast<int64_t>(shape.size()) ? static_cast<int>(index) : -1;
}

std::string NoBlob(const char* what) {
  return std::string(what) + " would be larger than a blob can be";
}

const char kEmpty[] = "its bottom has no values";
const char kEmptyBatch[] = "the batch is empty";

std::string NotEmpty(const LayerParameter&, const Shapes& bottom) {
  return Count(bottom[0]) > 0 ? "" : kEmpty;
}

std::string BatchNotEmpty(const LayerParameter&, const Shapes& bottom) {
  for (const Shape& shape : bottom) {
    if (!shape.empty() && shape[0] == 0) {
      return kEmptyBatch;
    }
  }
  return "";
}

std::string Accuracy(const LayerParameter&, const Shapes& bottom) {
  return bottom.size() < 2 || Count(bottom[1]) > 0 ? "" : "there are no labels";
}

std::string HingeLoss(const LayerParameter&, const Shapes& bottom) {
  const int64_t images = bottom[0].empty() ? 1 : bottom[0][0];
  if (images == 0) {
    return kEmptyBatch;
  }
  return bottom.size() < 2 || Count(bottom[1]) >= images ? ""
                                                         : "there are fewer labels than images";
}

// Also behind a layer that lets only part of a batch through.
std::string ArgMax(const LayerParameter& layer, const Shapes& bottom) {
  const caffe::ArgMaxParameter& param = layer.argmax_param();
  int64_t values = Count(bottom[0], 1);
  if (param.has_axis()) {
    const int axis = AxisOf(bottom[0], param.axis());
    values = axis < 0 ? kTooMany : bottom[0][axis];
  }
  return values >= param.top_k() ? "" : "top_k is more than there are values";
}

std::string Tile(const LayerParameter& layer, const Shapes& bottom) {
  const int axis = AxisOf(bottom[0], layer.tile_param().axis());
  return axis < 0 || Times(bottom[0][axis], layer.tile_param().tiles()) <= INT_MAX
             ? ""
             : NoBlob("its top");
}

std::string Concat(const LayerParameter& layer, const Shapes& bottom) {
  const caffe::ConcatParameter& param = layer.concat_param();
  const int64_t along =
      param.has_concat_dim() ? static_cast<int64_t>(param.concat_dim()) : param.axis();
  int64_t size = 0, values = 0;
  for (const Shape& shape : bottom) {
    const int axis = AxisOf(shape, along);
    size += axis < 0 ? 0 : shape[axis];
    values += Count(shape);
  }
  return size <= INT_MAX && values <= INT_MAX ? "" : NoBlob("its top");
}

// The first fillers of these divide by the number of channels.
std::string Channels(const LayerParameter& layer, const Shapes& bottom) {
  const int axis = AxisOf(bottom[0], layer.convolution_param().axis());
  return axis < 0 || bottom[0][axis] > 0 ? "" : "its bottom has no channels";
}

std::string Im2col(const LayerParameter& layer, const Shapes& bottom) {
  const caffe::ConvolutionParameter& param = layer.convolution_param();
  const int axis = AxisOf(bottom[0], param.axis());
  if (axis < 0) {
    return "";
  }
  int64_t rows = bottom[0][axis];
  const int spatial = static_cast<int>(bottom[0].size()) - axis - 1;
  if (param.has_kernel_h()) {
    rows = Times(Times(rows, param.kernel_h()), param.kernel_w());
  } else {
    for (int i = 0; i < spatial && param.kernel_size_size() > 0; ++i) {
      rows = Times(rows, param.kernel_size(param.kernel_size_size() == 1
                                               ? 0
                                               : std::min(i, param.kernel_size_size() - 1)));
    }
  }
  return rows <= INT_MAX ? "" : NoBlob("its top");
}

std::string InnerProduct(const LayerParameter& layer, const Shapes& bottom) {
  const int axis = AxisOf(bottom[0], layer.inner_product_param().axis());
  return axis < 0 || Count(bottom[0], axis) > 0 ? "" : "an input of it has no values";
}

// How many windows lie along a side, as the layer counts them; 0 where the last of them would lie
// outside.
int64_t Windows(int64_t side, int64_t kernel, int64_t stride, int64_t pad, bool any_pad,
                bool floors) {
  const double steps = static_cast<float>(side + 2 * pad - kernel) / stride;
  int64_t windows = static_cast<int64_t>(floors ? std::floor(steps) : std::ceil(steps)) + 1;
  if (any_pad && (windows - 1) * stride >= side + pad) {
    --windows;
  }
  return windows > 0 && (windows - 1) * stride < side + pad ? windows : 0;
}

std::string Pooling(const LayerParameter& layer, const Shapes& bottom) {
  const caffe::PoolingParameter& param = layer.pooling_param();
  if (bottom[0].size() != 4) {
    return "";
  }
  const int64_t height = bottom[0][2], width = bottom[0][3];
  const int64_t kernel_h = param.global_pooling()    ? height
                           : param.has_kernel_size() ? param.kernel_size()
                                                     : param.kernel_h();
  const int64_t kernel_w = param.global_pooling()    ? width
                           : param.has_kernel_size() ? param.kernel_size()
                                                     : param.kernel_w();
  const int64_t stride_h = param.has_stride_h() ? param.stride_h() : param.stride();
  const int64_t stride_w = param.has_stride_w() ? param.stride_w() : param.stride();
  const int64_t pad_h = param.has_pad_h() ? param.pad_h() : param.pad();
  const int64_t pad_w = param.has_pad_w() ? param.pad_w() : param.pad();
  if (stride_h == 0 || stride_w == 0) {
    return "";
  }
  const bool floors = param.round_mode() == caffe::PoolingParameter::FLOOR;
  const bool any_pad = pad_h || pad_w;
  if (Windows(height, kernel_h, stride_h, pad_h, any_pad, floors) > 0 &&
      Windows(width, kernel_w, stride_w, pad_w, any_pad, floors) > 0) {
    return "";
  }
  const auto by = [](int64_t a, int64_t b) {
    return std::to_string(a) + " x " + std::to_string(b);
  };
  return "windows of " + by(kernel_h, kernel_w) + " at stride " + by(stride_h, stride_w) +
         " over a map of " + by(height, width) +
         ": the last would lie outside of it. Let the kernel be no smaller than the stride and no "
         "larger than the map, or set round_mode: FLOOR.";
}

// The values that share one factor, or one bias, are counted down to the last.
std::string Broadcast(int64_t axis, int64_t num_axes, const Shapes& bottom) {
  const bool scalar = bottom.size() > 1 ? bottom[1].empty() : num_axes == 0;
  const int first = scalar ? 0 : AxisOf(bottom[0], axis);
  return first < 0 || Count(bottom[0], first) > 0 ? "" : kEmpty;
}

std::string Scale(const LayerParameter& layer, const Shapes& bottom) {
  return Broadcast(layer.scale_param().axis(), layer.scale_param().num_axes(), bottom);
}

std::string Bias(const LayerParameter& layer, const Shapes& bottom) {
  return Broadcast(layer.bias_param().axis(), layer.bias_param().num_axes(), bottom);
}

// It becomes a net with some layers for every step.
std::string Recurrent(const LayerParameter&, const Shapes& bottom) {
  return bottom[0].empty() || bottom[0][0] <= kMaxNetLayers
             ? ""
             : "it has more steps than a net may have layers, " + std::to_string(kMaxNetLayers);
}

// The size that dim: -1 stands for is what the others leave of the bottom.
std::string Reshape(const LayerParameter& layer, const Shapes& bottom) {
  const caffe::ReshapeParameter& param = layer.reshape_param();
  const int64_t axes = static_cast<int64_t>(bottom[0].size());
  const int64_t begin = param.axis() >= 0 ? param.axis() : axes + 1 + param.axis();
  const int64_t end = param.num_axes() == -1 ? axes : begin + param.num_axes();
  bool infers = false, empty = false;
  for (int64_t i = 0; i < axes; ++i) {
    empty = empty || ((i < begin || i >= end) && bottom[0][i] == 0);
  }
  for (int i = 0; i < param.shape().dim_size(); ++i) {
    const int64_t copied = param.shape().dim(i) == 0 ? begin + i : -1;
    infers = infers || param.shape().dim(i) == -1;
    empty = empty || (copied >= 0 && copied < axes && bottom[0][copied] == 0);
  }
  return infers && empty ? "dim: -1 has no meaning for an empty blob" : "";
}

typedef std::string (*Rule)(const LayerParameter& layer, const Shapes& bottom);

const std::unordered_map<std::string, Rule>& Rules() {
  static const std::unordered_map<std::string, Rule> rules = {
      {"Accuracy", Accuracy},
      {"ArgMax", ArgMax},
      {"Batch", NotEmpty},
      {"BatchNorm", NotEmpty},
      {"BatchReindex", BatchNotEmpty},
      {"Bias", Bias},
      {"Concat", Concat},
      {"Convolution", Channels},
      {"Deconvolution", Channels},
      {"Filter", BatchNotEmpty},
      {"HDF5Output", BatchNotEmpty},
      {"HingeLoss", HingeLoss},
      {"Im2col", Im2col},
      {"InfogainLoss", NotEmpty},
      {"InnerProduct", InnerProduct},
      {"LSTM", Recurrent},
      {"MVN", NotEmpty},
      {"MultinomialLogisticLoss", BatchNotEmpty},
      {"Pooling", Pooling},
      {"RNN", Recurrent},
      {"Reshape", Reshape},
      {"Scale", Scale},
      {"Softmax", NotEmpty},
      {"SoftmaxWithLoss", NotEmpty},
      {"Tile", Tile},
  };
  return rules;
}

}  // namespace

bool HasBottomsRule(const std::string& type) { return Rules().count(type) != 0; }

std::string BottomsFault(const LayerParameter& layer, const Shapes& shapes) {
  const auto rule = Rules().find(layer.type());
  return rule == Rules().end() || shapes.empty() ? std::string() : rule->second(layer, shapes);
}

void CheckShapes(const LayerParameter& layer, const Shapes& shapes) {
  const std::string fault = BottomsFault(layer, shapes);
  LOG_IF(FATAL, !fault.empty()) << Whose() << fault;
}

}  // namespace caffe_ext
