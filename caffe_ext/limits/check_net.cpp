#include "limits/check_net.hpp"

#include <algorithm>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "caffe/common.hpp"
#include "caffe/layer_factory.hpp"
#include "limits/databases.hpp"
#include "limits/limits.hpp"

namespace caffe_ext {

namespace {

using caffe::LayerParameter;

// Sizes of a window are multiplied with each other in 32 bits.
const int64_t kMaxWindow = 32768, kMaxPooling = 1 << 24;
const int64_t kMaxUnits = 1 << 24;  // of a recurrent layer, which has four times as many
const int64_t kMaxPyramid = 16;     // halvings of a map
const double kHalfTurn = 180;       // degrees, to either side
const double kMaxScale = .9;        // a face of a tenth of its size is still one

// The first fault that was found.
class Faults {
 public:
  Faults& In(const char* name, int64_t value, int64_t least, int64_t most) {
    if (value < least || value > most) {
      Add(std::string(name) + " is " + std::to_string(value) + "; it may be " +
          std::to_string(least) + " to " + std::to_string(most));
    }
    return *this;
  }
  template <typename Values>
  Faults& AllIn(const char* name, const Values& values, int64_t least, int64_t most) {
    for (const int64_t value : values) {
      In(name, value, least, most);
    }
    return *this;
  }
  // A size that has to be there.
  Faults& Size(const char* name, int64_t value) { return In(name, value, 1, INT_MAX); }
  // NaN is in no range.
  Faults& Ratio(const char* name, double value, bool with_one) {
    if (!(value >= 0 && (with_one ? value <= 1 : value < 1))) {
      Add(std::string(name) + " is " + std::to_string(value) + "; it must lie in [0, 1" +
          (with_one ? "]" : ")"));
    }
    return *this;
  }
  // As Ratio, for a number that may be at most `most`.
  Faults& UpTo(const char* name, double value, double most) {
    if (!(value >= 0 && value <= most)) {
      std::ostringstream fault;
      fault << name << " is " << value << "; it may be 0 to " << most;
      Add(fault.str());
    }
    return *this;
  }
  Faults& Require(bool holds, const char* fault) {
    if (!holds) {
      Add(fault);
    }
    return *this;
  }
  Faults& Add(const std::string& fault) {
    if (first_.empty()) {
      first_ = fault;
    }
    return *this;
  }
  const std::string& first() const { return first_; }

 private:
  std::string first_;
};

// --- Types with a window.

void Window(const LayerParameter& layer, Faults* faults) {
  const caffe::ConvolutionParameter& param = layer.convolution_param();
  faults->AllIn("kernel_size", param.kernel_size(), 1, kMaxWindow);
  faults->AllIn("stride", param.stride(), 1, kMaxWindow);
  faults->AllIn("pad", param.pad(), 0, kMaxWindow);
  faults->AllIn("dilation", param.dilation(), 1, kMaxWindow);
  faults->Require(param.has_kernel_h() == param.has_kernel_w(),
                  "kernel_h and kernel_w go together");
  faults->Require(param.has_stride_h() == param.has_stride_w(),
                  "stride_h and stride_w go together");
  if (param.has_kernel_h()) {
    faults->In("kernel_h", param.kernel_h(), 1, kMaxWindow);
    faults->In("kernel_w", param.kernel_w(), 1, kMaxWindow);
  }
  if (param.has_stride_h()) {
    faults->In("stride_h", param.stride_h(), 1, kMaxWindow);
    faults->In("stride_w", param.stride_w(), 1, kMaxWindow);
  }
  faults->In("pad_h", param.pad_h(), 0, kMaxWindow);
  faults->In("pad_w", param.pad_w(), 0, kMaxWindow);
}

void Convolution(const LayerParameter& layer, Faults* faults) {
  Window(layer, faults);
  faults->Size("num_output", layer.convolution_param().num_output());
  faults->Size("group", layer.convolution_param().group());
}

void Pooling(const LayerParameter& layer, Faults* faults) {
  const caffe::PoolingParameter& param = layer.pooling_param();
  for (const int64_t kernel : {param.kernel_size(), param.kernel_h(), param.kernel_w()}) {
    faults->In("kernel_size", kernel, 0, kMaxPooling);  // 0: not given, or refused by the layer
  }
  for (const int64_t pad : {param.pad(), param.pad_h(), param.pad_w()}) {
    faults->In("pad", pad, 0, kMaxPooling);
  }
  faults->In("stride", param.stride(), 1, kMaxPooling);
  if (param.has_stride_h() || param.has_stride_w()) {
    faults->In("stride_h", param.stride_h(), 1, kMaxPooling);
    faults->In("stride_w", param.stride_w(), 1, kMaxPooling);
  }
}

// --- Types with axes. An axis alone is held to the blob's by the layer.

void Scale(const LayerParameter& layer, Faults* faults) {
  faults->In("num_axes", layer.scale_param().num_axes(), -1, kMaxBlobAxes);
}

void Bias(const LayerParameter& layer, Faults* faults) {
  faults->In("num_axes", layer.bias_param().num_axes(), -1, kMaxBlobAxes);
}

void Reshape(const LayerParameter& layer, Faults* faults) {
  faults->In("num_axes", layer.reshape_param().num_axes(), -1, kMaxBlobAxes);
  faults->AllIn("dim", layer.reshape_param().shape().dim(), -1, INT_MAX);
}

void Slice(const LayerParameter& layer, Faults* faults) {
  faults->AllIn("slice_point", layer.slice_param().slice_point(), 1, INT_MAX);
}

void Crop(const LayerParameter& layer, Faults* faults) {
  faults->AllIn("offset", layer.crop_param().offset(), 0, INT_MAX);
}

// --- Types with a count.

void InnerProduct(const LayerParameter& layer, Faults* faults) {
  faults->Size("num_output", layer.inner_product_param().num_output());
}

void Embed(const LayerParameter& layer, Faults* faults) {
  faults->Size("num_output", layer.embed_param().num_output());
  faults->Size("input_dim", layer.embed_param().input_dim());
}

void Recurrent(const LayerParameter& layer, Faults* faults) {
  faults->In("num_output", layer.recurrent_param().num_output(), 1, kMaxUnits);
}

void Lrn(const LayerParameter& layer, Faults* faults) {
  faults->In("local_size", layer.lrn_param().local_size(), 1, kMaxPooling);
}

void Tile(const LayerParameter& layer, Faults* faults) {
  faults->Size("tiles", layer.tile_param().tiles());
}

void Spp(const LayerParameter& layer, Faults* faults) {
  faults->In("pyramid_height", layer.spp_param().pyramid_height(), 1, kMaxPyramid);
}

void ArgMax(const LayerParameter& layer, Faults* faults) {
  faults->Size("top_k", layer.argmax_param().top_k());
}

void Accuracy(const LayerParameter& layer, Faults* faults) {
  faults->Size("top_k", layer.accuracy_param().top_k());
}

void Dropout(const LayerParameter& layer, Faults* faults) {
  faults->Ratio("dropout_ratio", layer.dropout_param().dropout_ratio(), false);
}

// --- A type that runs code which the prototxt names.

void Python(const LayerParameter& layer, Faults* faults) {
  const char* allowed = std::getenv("CAFFE_PYTHON_LAYERS");
  if (!allowed || std::string(allowed) != "1") {
    faults->Add("it runs the code of module '" + layer.python_param().module() +
                "'. If you trust this net, set CAFFE_PYTHON_LAYERS=1.");
  }
}

// --- Types that read data.

void Data(const LayerParameter& layer, Faults* faults) {
  faults->Size("batch_size", layer.data_param().batch_size());
  const std::string fault = BackendFault(layer.data_param());
  faults->Require(fault.empty(), fault.c_str());
}

void ImageData(const LayerParameter& layer, Faults* faults) {
  faults->Size("batch_size", layer.image_data_param().batch_size());
  faults->In("new_height", layer.image_data_param().new_height(), 0, kMaxImageSide);
  faults->In("new_width", layer.image_data_param().new_width(), 0, kMaxImageSide);
}

void Hdf5Data(const LayerParameter& layer, Faults* faults) {
  faults->Size("batch_size", layer.hdf5_data_param().batch_size());
}

void WindowData(const LayerParameter& layer, Faults* faults) {
  const caffe::WindowDataParameter& param = layer.window_data_param();
  faults->Size("batch_size", param.batch_size());
  faults->Ratio("fg_fraction", param.fg_fraction(), true);
  faults->In("context_pad", param.context_pad(), 0, kMaxImageSide);
}

void MemoryData(const LayerParameter& layer, Faults* faults) {
  const caffe::MemoryDataParameter& param = layer.memory_data_param();
  int64_t values = 1;
  for (const int64_t size : {param.batch_size(), param.channels(), param.height(), param.width()}) {
    faults->Size("batch_size, channels, height or width", size);
    values = std::min(values * std::min<int64_t>(size, INT_MAX), int64_t(INT_MAX) + 1);
  }
  faults->Require(values <= INT_MAX, "a batch would have more values than a blob can hold");
}

void MultiLabelData(const LayerParameter& layer, Faults* faults) {
  const caffe::AugmentationParameter& param = layer.multi_label_data_param().augmentation();
  faults->UpTo("augmentation.brightness", param.brightness(), 1);
  faults->UpTo("augmentation.contrast", param.contrast(), 1);
  faults->UpTo("augmentation.saturation", param.saturation(), 1);
  faults->UpTo("augmentation.hue", param.hue(), kHalfTurn);
  faults->UpTo("augmentation.rotation", param.rotation(), kHalfTurn);
  faults->UpTo("augmentation.scale", param.scale(), kMaxScale);
}

void Input(const LayerParameter& layer, Faults* faults) {
  faults->Require(layer.input_param().shape_size() > 0,
                  "it has no shape; set input_param { shape { dim: ... } }");
}

// Some fillers divide by the size of the first axis.
void DummyData(const LayerParameter& layer, Faults* faults) {
  const caffe::DummyDataParameter& param = layer.dummy_data_param();
  faults->Require(param.shape_size() > 0 || param.num_size() > 0,
                  "it has no shape; set dummy_data_param { shape { dim: ... } }");
  bool empty = false;
  for (const caffe::BlobShape& shape : param.shape()) {
    empty = empty || std::count(shape.dim().begin(), shape.dim().end(), 0);
  }
  for (const auto* sizes : {&param.num(), &param.channels(), &param.height(), &param.width()}) {
    empty = empty || std::count(sizes->begin(), sizes->end(), 0u);
  }
  for (const caffe::FillerParameter& filler : param.data_filler()) {
    faults->Require(!empty || filler.type() == "constant" || filler.type() == "uniform" ||
                        filler.type() == "gaussian",
                    "a blob without values can only have a filler that is constant, uniform or "
                    "gaussian");
  }
}

typedef void (*Rule)(const LayerParameter& layer, Faults* faults);

const std::unordered_map<std::string, Rule>& Rules() {
  static const std::unordered_map<std::string, Rule> rules = {
      {"Accuracy", Accuracy},
      {"ArgMax", ArgMax},
      {"Bias", Bias},
      {"Convolution", Convolution},
      {"Crop", Crop},
      {"Data", Data},
      {"Deconvolution", Convolution},
      {"Dropout", Dropout},
      {"DummyData", DummyData},
      {"Embed", Embed},
      {"HDF5Data", Hdf5Data},
      {"Im2col", Window},
      {"ImageData", ImageData},
      {"InnerProduct", InnerProduct},
      {"Input", Input},
      {"LRN", Lrn},
      {"LSTM", Recurrent},
      {"LocallyConnected", Convolution},
      {"MemoryData", MemoryData},
      {"MultiLabelData", MultiLabelData},
      {"MultiLabelImageData", MultiLabelData},
      {"Pooling", Pooling},
      {"Python", Python},
      {"RNN", Recurrent},
      {"Reshape", Reshape},
      {"SPP", Spp},
      {"Scale", Scale},
      {"Slice", Slice},
      {"Tile", Tile},
      {"WindowData", WindowData},
  };
  return rules;
}

// Those that keep the shape and read each value before they write it, forward and backward. What a
// Python layer does is its own affair.
bool WorksInPlace(const std::string& type) {
  static const std::unordered_set<std::string> types = {
      "AbsVal", "BNLL",    "Batch",   "BatchNorm", "Bias",  "Clip",     "Dropout",
      "ELU",    "Exp",     "Log",     "PReLU",     "Power", "Python",   "ReLU",
      "Scale",  "Sigmoid", "Softmax", "Swish",     "TanH",  "Threshold"};
  return types.count(type) != 0;
}

void InPlace(const LayerParameter& layer, Faults* faults) {
  // A type that does not exist is refused when the layer is to be made.
  if (WorksInPlace(layer.type()) || !caffe::LayerRegistry<float>::Registry().count(layer.type())) {
    return;
  }
  for (const std::string& top : layer.top()) {
    if (std::count(layer.bottom().begin(), layer.bottom().end(), top)) {
      faults->Add("layers of this type do not work in place, and its top '" + top +
                  "' is its bottom, too");
    }
  }
}

}  // namespace

std::string LayerFault(const LayerParameter& layer) {
  Faults faults;
  const auto rule = Rules().find(layer.type());
  if (rule != Rules().end()) {
    rule->second(layer, &faults);
  }
  InPlace(layer, &faults);
  return faults.first();
}

std::string NetFault(const caffe::NetParameter& net) {
  if (net.layers_size() > 0) {
    return "The net is written in an old form (`layers`), of which no layer would be created. "
           "Upgrade it with upgrade_net_proto_text, or, in C++, read it with "
           "ReadNetParamsFromTextFileOrDie or call UpgradeNetAsNeeded.";
  }
  if (net.layer_size() > kMaxNetLayers) {
    return "The net has too many layers: it may have " + std::to_string(kMaxNetLayers) + ".";
  }
  for (const LayerParameter& layer : net.layer()) {
    const std::string fault = LayerFault(layer);
    if (!fault.empty()) {
      return "layer '" + layer.name() + "' (" + layer.type() + "): " + fault;
    }
  }
  return std::string();
}

std::string SolverFault(const caffe::SolverParameter& solver) {
  Faults faults;
  faults.Size("iter_size", solver.iter_size());
  faults.Size("average_loss", solver.average_loss());
  faults.In("display", solver.display(), 0, INT_MAX);
  faults.In("snapshot", solver.snapshot(), 0, INT_MAX);
  faults.In("test_interval", solver.test_interval(), 0, INT_MAX);
  faults.In("max_iter", solver.max_iter(), 0, INT_MAX);
  faults.AllIn("test_iter", solver.test_iter(), 0, INT_MAX);
  return faults.first();
}

void CheckNet(const caffe::NetParameter& net) {
  const std::string fault = NetFault(net);
  LOG_IF(FATAL, !fault.empty()) << fault;
}

void CheckSolver(const caffe::SolverParameter& solver) {
  const std::string fault = SolverFault(solver);
  LOG_IF(FATAL, !fault.empty()) << "solver: " << fault;
}

}  // namespace caffe_ext
