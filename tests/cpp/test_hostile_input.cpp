// What is read from people one does not know (docs/limits.md): the fuzzers' seeds, the inputs that
// they found, nets of impossible sizes, and labels. Whatever the input, the process ends by itself:
// with what it read, or with a message and status 1.
#include <string>
#include <utility>
#include <vector>

#include "../../src/layers/labelled_images.hpp"
#include "caffe/net.hpp"
#include "in_a_child.hpp"
#include "limits/limits.hpp"

namespace caffe {

namespace {

// The repository's files are below the folder that tests are started in.
vector<std::pair<string, string> > Inputs(const string& folder) {
  vector<std::pair<string, string> > found;
  if (!boost::filesystem::exists(folder)) {
    return found;
  }
  for (boost::filesystem::recursive_directory_iterator at(folder), end; at != end; ++at) {
    if (boost::filesystem::is_regular_file(at->path())) {
      found.push_back({at->path().parent_path().filename().string(), at->path().string()});
    }
  }
  return found;
}

}  // namespace

TEST(HostileInputTest, SeedsAreRead) {
  const auto inputs = Inputs("tests/fuzz/seeds");
  ASSERT_GT(inputs.size(), 20u);
  for (const auto& input : inputs) {
    const Ended ended = RunTarget(input.first, FileBytes(input.second));
    EXPECT_TRUE(ended.by_itself && ended.status <= 1)
        << input.second << " ended with " << ended.status << "\n"
        << ended.message;
  }
}

TEST(HostileInputTest, FoundInputsEndByThemselves) {
  for (const auto& input : Inputs("tests/fuzz/found")) {
    const Ended ended = RunTarget(input.first, FileBytes(input.second));
    EXPECT_TRUE(ended.by_itself && ended.status <= 1)
        << input.second << " ended with " << ended.status << "\n"
        << ended.message;
  }
}

TEST(HostileInputTest, CutInputsEndByThemselves) {
  for (const auto& input : Inputs("tests/fuzz/seeds")) {
    const string bytes = FileBytes(input.second);
    for (const double share : {0.3, 0.95}) {
      const Ended ended =
          RunTarget(input.first, bytes.substr(0, static_cast<size_t>(bytes.size() * share)));
      EXPECT_TRUE(ended.by_itself && ended.status <= 1)
          << input.second << " cut to " << share << " ended with " << ended.status << "\n"
          << ended.message;
    }
  }
}

// ---------------------------------------------------------------------------------------------
// Sizes that no machine has: refused by name.

TEST(HostileInputTest, SizesOfLayersAreRefusedByName) {
  struct Case {
    const char* layer;
    const char* message;
  };
  const string input = R"(layer { name: "in" type: "Input" top: "x"
      input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } } )";
  const Case cases[] = {
      {R"(name: "fat" type: "InnerProduct" inner_product_param { num_output: 2000000000 })", "fat"},
      {R"(name: "fat" type: "InnerProduct" inner_product_param { num_output: 4000000000 })", "fat"},
      {R"(name: "fat" type: "InnerProduct" inner_product_param { num_output: 1000000 })",
       "layer 'fat' \\(InnerProduct\\): a blob of 768000000 bytes is more than"},
      {R"(name: "fat" type: "Convolution" convolution_param { num_output: 2000000000
          kernel_size: 3 })",
       "fat"},
      {R"(name: "fat" type: "Convolution" convolution_param { num_output: 2 kernel_size: 3
          pad: 2000000000 })",
       "fat"},
      {R"(name: "fat" type: "Pooling" pooling_param { kernel_size: 4000000000 })", "fat"},
      {R"(name: "fat" type: "LocallyConnected" convolution_param { num_output: 2000000000
          kernel_size: 1 })",
       "fat.*more weights than a blob can hold"},
      {R"(name: "fat" type: "Region" region_param { grid_h: 100000 grid_w: 100000 })",
       "fat.*is larger than the map"},
      {R"(name: "fat" type: "Region" region_param { grid_h: 8 grid_w: 8 kernel_size: 2001 })",
       "fat"},
      {R"(name: "fat" type: "Box" box_param { width: 4294967295 height: 1 xcoord: 1 ycoord: 0 })",
       "fat.*is not inside the map"},
      {R"(name: "fat" type: "Tile" tile_param { tiles: 2000000000 })", "fat"},
      {R"(name: "fat" type: "Reshape" reshape_param { shape { dim: 9000000000000000000 } })",
       "fat"},
      {R"(name: "fat" type: "DummyData" dummy_data_param { shape { dim: 46000 dim: 46000 } })",
       "fat.* is more than"},
      {R"(name: "fat" type: "Input" input_param { shape { dim: 4294967299 } })",
       "fat.*blob size exceeds INT_MAX"},
      {R"(name: "fat" type: "Input" input_param { shape { dim: 0 dim: 4 dim: 2147483647 } })",
       "fat.*blob size exceeds INT_MAX"},
      {R"(name: "fat" type: "Python" python_param { module: "os" layer: "system" })",
       "layer 'fat' .Python.: it runs the code of module 'os'"}};
  for (const Case& tried : cases) {
    const bool has_no_bottom = string(tried.layer).find("Data\"") != string::npos ||
                               string(tried.layer).find("\"Input\"") != string::npos;
    const string net = input + "layer { " + tried.layer + (has_no_bottom ? "" : " bottom: \"x\"") +
                       " top: \"y\" }";
    const Ended ended = RunTarget("net", net);
    EXPECT_TRUE(ended.by_itself && ended.status == 1)
        << tried.layer << " ended with " << ended.status;
    EXPECT_PRED2(Says, ended.message, tried.message);
  }
}

TEST(HostileInputTest, MemoryOfAllBlobsIsLimited) {
  string net = R"(layer { name: "in" type: "Input" top: "x"
      input_param { shape { dim: 1 dim: 1000 dim: 1000 } } })";
  for (int i = 0; i < 12; ++i) {  // 4 MB each
    net += "layer { name: 'p" + std::to_string(i) + "' type: 'Power' bottom: 'x' top: 'y" +
           std::to_string(i) + "' }";
  }
  const Ended ended = RunTarget("net", net);
  EXPECT_EQ(ended.status, 1);
  EXPECT_PRED2(Says, ended.message,
               "layer 'p[0-9]+' \\(Power\\): no room for a blob of 4000000 bytes: all blobs may "
               "take 33554432, and have taken [0-9]+");
}

TEST(HostileInputTest, NumbersThatComeToNone) {
  const std::pair<const char*, const char*> cases[] = {
      {"dim: 2 dim: 3 dim: 4 dim: 4",
       "type: 'Convolution' convolution_param { num_output: 2 kernel_size: 1 group: 0 }"},
      {"dim: 2 dim: 0 dim: 4", "type: 'Reshape' reshape_param { shape { dim: -1 dim: 0 } }"},
      {"dim: 2 dim: 3", "type: 'Reshape' reshape_param { axis: 1 num_axes: 2147483647 }"},
      {"dim: 2 dim: 3", "type: 'Dropout' dropout_param { dropout_ratio: 1 }"},
      {"dim: 2 dim: 3", "type: 'Dropout' dropout_param { dropout_ratio: -3 }"},
      {"dim: 2 dim: 3 dim: 4 dim: 4", "type: 'Pooling' pooling_param { kernel_size: 2 stride: 0 }"},
      {"dim: 0 dim: 3", "type: 'Accuracy' bottom: 'x'"},
      {"dim: 0 dim: 3", "type: 'HingeLoss' bottom: 'x'"},
      {"dim: 0 dim: 3", "type: 'MultinomialLogisticLoss' bottom: 'x'"},
      {"dim: 0 dim: 3 dim: 4 dim: 4", "type: 'BatchNorm'"},
      {"dim: 0 dim: 3 dim: 4 dim: 4", "type: 'Batch'"}};
  for (const auto& tried : cases) {
    const Ended ended = RunTarget(
        "net", string("layer { name: 'in' type: 'Input' top: 'x' input_param { shape { ") +
                   tried.first + " } } } layer { name: 'l' bottom: 'x' top: 'y' " + tried.second +
                   " }");
    EXPECT_TRUE(ended.by_itself && ended.status == 1)
        << tried.second << " ended with " << ended.status;
  }
}

// ---------------------------------------------------------------------------------------------
// Labels and records that do not fit what reads them.

TEST(HostileInputTest, LabelsOutOfRange) {
  const char* const losses[] = {"SoftmaxWithLoss", "HingeLoss", "MultinomialLogisticLoss",
                                "Accuracy", "InfogainLoss"};
  for (const char* loss : losses) {
    for (const char* label : {"-1", "3", "1e9", "1e30", "nan"}) {
      const bool infogain = string(loss) == "InfogainLoss";  // with a matrix besides
      const Ended ended = RunTarget(
          "net",
          string(R"(layer { name: "d" type: "DummyData" top: "x" top: "l" top: "h"
              dummy_data_param {
                shape { dim: 2 dim: 3 } shape { dim: 2 } shape { dim: 1 dim: 1 dim: 3 dim: 3 }
                data_filler { value: 1 } data_filler { value: )") +
              label +
              R"( } data_filler { value: 1 } } } layer { name: "loss" bottom: "x" bottom: "l" top: "y" type: ")" +
              loss + (infogain ? "\" bottom: \"h\" }" : "\" }"));
      EXPECT_TRUE(ended.by_itself && ended.status == 1) << loss << " of label " << label;
      EXPECT_PRED2(Says, ended.message, "Check failed: .*label");
    }
  }
}

TEST(HostileInputTest, LabelsToBeIgnored) {
  for (const string loss : {"SoftmaxWithLoss", "InfogainLoss"}) {
    for (const string label : {"-1", "255"}) {
      string net = R"(
        layer { name: "d" type: "DummyData" top: "x" top: "l" top: "h"
          dummy_data_param {
            shape { dim: 2 dim: 3 } shape { dim: 2 } shape { dim: 1 dim: 1 dim: 3 dim: 3 }
            data_filler { value: 1 } data_filler { value: LABEL } data_filler { value: 1 } } }
        layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc"
          inner_product_param { num_output: 3 } }
        layer { name: "loss" type: "LOSS" bottom: "fc" bottom: "l" top: "y"
          loss_param { ignore_label: LABEL } MATRIX })";
      const std::pair<string, string> words[] = {
          {"LABEL", label},
          {"LABEL", label},
          {"LOSS", loss},
          {"MATRIX", loss == "InfogainLoss" ? "bottom: \"h\"" : ""}};
      for (const auto& word : words) {
        net.replace(net.find(word.first), word.first.size(), word.second);
      }
      const Ended ended = InAChild([&]() {
        NetParameter param;
        CHECK(google::protobuf::TextFormat::ParseFromString(net, &param)) << net;
        Net<float> trained(param);
        trained.Forward();
        trained.Backward();
      });
      EXPECT_TRUE(ended.by_itself && ended.status == 0) << loss << label << ended.message;
    }
  }
}

TEST(HostileInputTest, DatumsWithoutTheirPixels) {
  Datum datum;
  datum.set_channels(3);
  datum.set_height(700);
  datum.set_width(700);
  datum.set_data("few");
  Ended ended = RunTarget("datum", datum.SerializeAsString());
  EXPECT_EQ(ended.status, 1);
  EXPECT_PRED2(Says, ended.message, "a datum of 3 x 700 x 700 has 3 bytes of data");
  datum.clear_data();
  datum.add_float_data(1);
  ended = RunTarget("datum", datum.SerializeAsString());
  EXPECT_EQ(ended.status, 1);
  EXPECT_PRED2(Says, ended.message, "has 0 bytes of data and 1 values of float_data");
}

TEST(HostileInputTest, TooManyLabels) {
  Datum datum;
  for (int i = 0; i <= caffe_ext::kMaxLabels; ++i) {
    datum.add_labels(1);
  }
  const string bytes = datum.SerializeAsString();
  caffe_ext::LabelledImage sample;
  EXPECT_EQ(caffe_ext::ReadDatum(bytes.data(), bytes.size(), &sample),
            "it has 65537 labels; a record may have 65536");
}

}  // namespace caffe
