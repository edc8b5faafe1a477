// Nets of all layer types with numbers around every limit. Whatever they ask for, the process ends
// by itself. CTest runs this with blocks of memory between unmapped pages (tests/sanitizers), where
// one float beyond a blob ends the process. DRML_RANDOM_NETS says how many nets, DRML_RANDOM_SEED
// with which one to begin.
#include <algorithm>
#include <cstdlib>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "caffe/layer_factory.hpp"
#include "in_a_child.hpp"

namespace caffe {

namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Those that open files, run code or wait for somebody who feeds them.
const std::set<string> kLeftOut = {
    "Data",       "HDF5Data",       "HDF5Output",          "ImageData",
    "MemoryData", "MultiLabelData", "MultiLabelImageData", "MultilabelImageData",
    "Python",     "WindowData"};

// The parameters of a type whose name is not theirs.
const std::map<string, string> kParameters = {
    {"ArgMax", "argmax"},
    {"BatchReindex", ""},
    {"BNLL", ""},
    {"Deconvolution", "convolution"},
    {"ELU", "elu"},
    {"Im2col", "convolution"},
    {"LRN", "lrn"},
    {"LSTM", "recurrent"},
    {"LocallyConnected", "convolution"},
    {"MVN", "mvn"},
    {"MultiLabelEuclideanLoss", "multi_label_euclidean_loss"},
    {"MultiLabelSigmoidCrossEntropyLoss", "multi_label_loss"},
    {"PReLU", "prelu"},
    {"RNN", "recurrent"},
    {"ReLU", "relu"},
    {"SPP", "spp"},
    {"SoftmaxWithLoss", "softmax"},
    {"TanH", "tanh"}};

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}

  string Net() {
    NetParameter net;
    net.set_force_backward(true);
    LayerParameter* input = net.add_layer();
    input->set_name("input");
    input->set_type("Input");
    const vector<int> shape = Shape();
    for (int i = 0; i < 3; ++i) {
      const string name = "x" + std::to_string(i);
      input->add_top(name);
      blobs_.push_back(name);
      // The same shape mostly, as many types ask for it; labels have one value an image.
      vector<int> dims = Chance(4) ? Shape() : shape;
      if (i == 2 && Chance(2) && !dims.empty()) {
        dims.resize(1);
      }
      BlobShape* to = input->mutable_input_param()->add_shape();
      for (int dim : dims) {
        to->add_dim(dim);
      }
    }
    const int layers = 1 + Below(4);
    for (int i = 0; i < layers; ++i) {
      Layer(i, net.add_layer());
    }
    string text;
    google::protobuf::TextFormat::PrintToString(net, &text);
    return text;
  }

 private:
  int Below(int n) { return static_cast<int>(random_() % n); }
  bool Chance(int in) { return Below(in) == 0; }

  vector<int> Shape() {
    const int large[] = {16, 17, 64, 255, 1000, 65536};
    vector<int> dims(Chance(5) ? Below(6) : 4);
    for (int& dim : dims) {
      dim = Chance(30) ? 0 : Chance(40) ? large[Below(6)] : 1 + Below(8);
    }
    if (dims.size() == 4 && Chance(2)) {
      dims[1] = 8 * (1 + Below(3));  // for the engine
    }
    return dims;
  }

  uint64_t Number() {
    const uint64_t limits[] = {16,      17,      32,       33,       32767,       32768,
                               32769,   65535,   65536,    65537,    1 << 24,     (1 << 24) + 1,
                               1 << 30, INT_MAX, 1u << 31, UINT_MAX, UINT_MAX - 1};
    return Chance(12) ? limits[Below(17)] : Below(Chance(4) ? 9 : 4);
  }

  void Fill(Message* message) {
    const auto* descriptor = message->GetDescriptor();
    const auto* reflection = message->GetReflection();
    for (int i = 0; i < descriptor->field_count(); ++i) {
      const FieldDescriptor* field = descriptor->field(i);
      const bool size = field->name() == "num_output" || field->name() == "kernel_size";
      if (!Chance(size ? 1 : 4) || field->name() == "engine" || field->name() == "source" ||
          field->name() == "debug_info") {
        continue;
      }
      const bool repeated = field->is_repeated();
      const int times = repeated ? 1 + (Chance(3) ? Below(3) : 0) : 1;
      for (int k = 0; k < times; ++k) {
        switch (field->cpp_type()) {
#define DRML_SET(TYPE, Name, value)                        \
  case FieldDescriptor::CPPTYPE_##TYPE: {                  \
    const auto set = value;                                \
    repeated ? reflection->Add##Name(message, field, set)  \
             : reflection->Set##Name(message, field, set); \
    break;                                                 \
  }
          DRML_SET(INT32, Int32, static_cast<int32_t>(Number()) * (Chance(6) ? -1 : 1))
          DRML_SET(INT64, Int64, static_cast<int64_t>(Number()) * (Chance(6) ? -1 : 1))
          DRML_SET(UINT32, UInt32, static_cast<uint32_t>(Number()))
          DRML_SET(BOOL, Bool, Chance(2))
          DRML_SET(FLOAT, Float, Real())
          DRML_SET(DOUBLE, Double, static_cast<double>(Real()))
          DRML_SET(ENUM, Enum, field->enum_type()->value(Below(field->enum_type()->value_count())))
#undef DRML_SET
          case FieldDescriptor::CPPTYPE_MESSAGE:
            if (field->message_type()->name() == "FillerParameter") {
              const char* const types[] = {"constant", "gaussian", "xavier", "msra", "uniform"};
              FillerParameter filler;
              filler.set_type(types[Below(5)]);
              (repeated ? reflection->AddMessage(message, field)
                        : reflection->MutableMessage(message, field))
                  ->CopyFrom(filler);
            } else {
              Fill(repeated ? reflection->AddMessage(message, field)
                            : reflection->MutableMessage(message, field));
            }
            break;
          default:
            break;  // names of files and modules
        }
      }
    }
  }

  float Real() {
    const float values[] = {0,
                            1,
                            -1,
                            .5f,
                            2,
                            1e-5f,
                            1e30f,
                            std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN(),
                            .1f,
                            3,
                            -.5f};
    return values[Below(12)];
  }

  void Layer(int number, LayerParameter* layer) {
    static const vector<string> types = [] {
      vector<string> names;
      for (const string& type : LayerRegistry<float>::LayerTypeList()) {
        if (!kLeftOut.count(type)) {
          names.push_back(type);
        }
      }
      return names;
    }();
    const string type = types[Below(types.size())];
    layer->set_type(type);
    layer->set_name("l" + std::to_string(number));
    const bool loss = type.find("Loss") != string::npos || type == "Accuracy";
    const bool two = loss || type == "Crop" || type == "LSTM" || type == "RNN" ||
                     type == "BatchReindex" || type == "Filter" || type == "MultiLabelCounts" ||
                     type == "Eltwise";
    const int bottoms = type == "Input" || type == "DummyData" || type == "Parameter" ? 0
                        : type == "LSTMUnit" || Chance(12)                            ? 3
                        : two || Chance(8)                                            ? 2
                                                                                      : 1;
    for (int i = 0; i < bottoms; ++i) {
      layer->add_bottom(two && i == 1 ? "x2" : blobs_[Below(blobs_.size())]);
    }
    const int tops = Chance(6) ? 2 : 1;
    for (int i = 0; i < tops && type != "Silence"; ++i) {
      if (i < bottoms && Chance(8)) {
        layer->add_top(layer->bottom(i));
      } else {
        layer->add_top("y" + std::to_string(number) + std::to_string(i));
        blobs_.push_back(layer->top(i));
      }
    }
    string name;
    const auto known = kParameters.find(type);
    if (known != kParameters.end()) {
      name = known->second;
    } else {
      for (size_t i = 0; i < type.size(); ++i) {
        name += isupper(type[i]) && i > 0 ? "_" : "";
        name += static_cast<char>(tolower(type[i]));
      }
    }
    const FieldDescriptor* field = layer->GetDescriptor()->FindFieldByName(name + "_param");
    if (field && field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      Fill(layer->GetReflection()->MutableMessage(layer, field));
    }
    if (loss && Chance(3)) {
      Fill(layer->mutable_loss_param());
    }
  }

  std::mt19937 random_;
  vector<string> blobs_;
};

int Setting(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text ? std::atoi(text) : otherwise;
}

}  // namespace

TEST(RandomNetsTest, EndByThemselves) {
  const int first = Setting("DRML_RANDOM_SEED", 1), count = Setting("DRML_RANDOM_NETS", 300);
  std::map<string, int> ends;
  for (int seed = first; seed < first + count; ++seed) {
    const string net = Generator(seed).Net();
    const Ended ended = InAChild([&]() {
      alarm(20);
      try {
        fuzz::TargetOf("net")(net);
      } catch (const std::exception& error) {
        LOG(ERROR) << error.what();
        _exit(1);
      }
    });
    const bool slow = !ended.by_itself && ended.status == SIGALRM;
    ++ends[slow ? "took too long" : ended.status == 0 ? "ran" : "were refused"];
    EXPECT_TRUE(slow || (ended.by_itself && ended.status <= 1))
        << "seed " << seed << " ended with " << ended.status << "\n"
        << net << ended.message;
  }
  for (const auto& end : ends) {
    std::cout << end.second << " nets " << end.first << "\n";
  }
  EXPECT_GT(ends["ran"], count / 20);
}

}  // namespace caffe
