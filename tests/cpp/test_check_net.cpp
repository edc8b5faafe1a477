// What a prototxt may ask for (limits/check_net.hpp): the table, by parameters alone and by the
// shapes of inputs; and whole nets, whose refusals end the process with a message and status 1.
#include <climits>
#include <string>
#include <vector>

#include "caffe/net.hpp"
#include "in_a_child.hpp"
#include "limits/check_net.hpp"
#include "limits/image_end.hpp"

namespace caffe {

namespace {

LayerParameter LayerOf(const string& text) {
  LayerParameter layer;
  CHECK(google::protobuf::TextFormat::ParseFromString(text, &layer)) << text;
  return layer;
}

string Fault(const string& text) { return caffe_ext::LayerFault(LayerOf(text)); }

typedef vector<vector<int> > Shapes;

string FaultOf(const string& text, const Shapes& shapes) {
  const LayerParameter layer = LayerOf(text);
  EXPECT_TRUE(caffe_ext::HasBottomsRule(layer.type())) << text;
  return caffe_ext::BottomsFault(layer, shapes);
}

}  // namespace

TEST(CheckNetTest, WindowsOfEveryTypeThatHasThem) {
  for (const string type : {"Convolution", "Deconvolution", "Im2col", "LocallyConnected"}) {
    const string begin = "type: '" + type + "' convolution_param { num_output: 2 ";
    EXPECT_EQ(Fault(begin + "kernel_size: 32768 stride: 32768 pad: 32768 dilation: 32768 }"), "");
    EXPECT_EQ(Fault(begin + "kernel_h: 1 kernel_w: 2 stride_h: 1 stride_w: 2 pad_h: 1 }"), "");
    EXPECT_EQ(Fault(begin + "kernel_size: 3 stride: 0 }"), "stride is 0; it may be 1 to 32768");
    EXPECT_EQ(Fault(begin + "kernel_size: 3 stride_h: 2 }"), "stride_h and stride_w go together");
    EXPECT_EQ(Fault(begin + "kernel_size: 3 stride_h: 2 stride_w: 0 }"),
              "stride_w is 0; it may be 1 to 32768");
    EXPECT_EQ(Fault(begin + "kernel_h: 3 }"), "kernel_h and kernel_w go together");
    for (const string field : {"kernel_size: 0", "kernel_size: 32769", "kernel_size: 4294967295",
                               "pad: 4294967295", "pad_w: 32769", "dilation: 0", "dilation: 32769",
                               "stride: 4294967295", "kernel_h: 0 kernel_w: 1"}) {
      EXPECT_NE(Fault(begin + field + " }"), "") << type << " " << field;
    }
  }
  EXPECT_NE(Fault("type: 'Convolution' convolution_param { kernel_size: 1 }"), "");
  EXPECT_NE(Fault("type: 'Convolution' convolution_param { num_output: 2 group: 0 }"), "");
  EXPECT_NE(Fault("type: 'Convolution' convolution_param { num_output: 2147483648 }"), "");
}

TEST(CheckNetTest, NumbersOfOtherTypes) {
  const char* const good[] = {
      "type: 'Pooling' pooling_param { kernel_size: 1 stride: 2 }",
      "type: 'Pooling' pooling_param { global_pooling: true }",
      "type: 'Scale' scale_param { axis: -2 num_axes: -1 }",
      "type: 'Bias' bias_param { num_axes: 32 }",
      "type: 'Reshape' reshape_param { shape { dim: 0 dim: -1 dim: 2147483647 } }",
      "type: 'SPP' spp_param { pyramid_height: 16 }",
      "type: 'Dropout' dropout_param { dropout_ratio: 0 }",
      "type: 'WindowData' window_data_param { batch_size: 1 fg_fraction: 1 }",
      "type: 'MemoryData' memory_data_param { batch_size: 1 channels: 2 height: 3 width: 4 }",
      "type: 'DummyData' dummy_data_param { shape { dim: 0 } data_filler { type: 'gaussian' } }",
      "type: 'Slice' slice_param { slice_point: 1 }",
      "type: 'Region' region_param { }",
      "type: 'MultiLabelData' multi_label_data_param { augmentation { brightness: 1 contrast: 1 "
      "saturation: 1 hue: 180 rotation: 180 scale: 0.9 } }",
      "type: 'MultiLabelImageData' multi_label_data_param { augmentation { } }",
      "type: 'SomeoneElses' "};
  for (const char* layer : good) {
    EXPECT_EQ(Fault(layer), "") << layer;
  }
  const char* const bad[] = {
      "type: 'Pooling' pooling_param { kernel_size: 2 stride: 0 }",
      "type: 'Pooling' pooling_param { kernel_size: 2 stride_h: 1 }",
      "type: 'Pooling' pooling_param { kernel_size: 16777217 }",
      "type: 'Pooling' pooling_param { kernel_size: 2 pad_h: 4294967295 pad_w: 1 }",
      "type: 'Scale' scale_param { num_axes: 2147483647 }",
      "type: 'Scale' scale_param { num_axes: -2 }",
      "type: 'Bias' bias_param { num_axes: 33 }",
      "type: 'Reshape' reshape_param { num_axes: 2147483647 }",
      "type: 'Reshape' reshape_param { shape { dim: 4294967298 } }",
      "type: 'Reshape' reshape_param { shape { dim: -2 } }",
      "type: 'SPP' spp_param { pyramid_height: 4000000000 }",
      "type: 'SPP' ",
      "type: 'Dropout' dropout_param { dropout_ratio: 1 }",
      "type: 'Dropout' dropout_param { dropout_ratio: nan }",
      "type: 'WindowData' window_data_param { batch_size: 4 fg_fraction: -1 }",
      "type: 'WindowData' window_data_param { batch_size: 4 fg_fraction: 1.01 }",
      "type: 'WindowData' window_data_param { batch_size: 4 fg_fraction: nan }",
      "type: 'WindowData' window_data_param { }",
      "type: 'MemoryData' memory_data_param { channels: 2 height: 3 width: 4 }",
      "type: 'MemoryData' memory_data_param { batch_size: 65536 channels: 1 height: 65536 width: 1 "
      "}",
      "type: 'DummyData' dummy_data_param { shape { dim: 0 } data_filler { type: 'xavier' } }",
      "type: 'LSTM' recurrent_param { num_output: 1073741824 }",
      "type: 'RNN' recurrent_param { }",
      "type: 'InnerProduct' inner_product_param { }",
      "type: 'Embed' embed_param { num_output: 2 }",
      "type: 'Tile' tile_param { tiles: 0 }",
      "type: 'Crop' crop_param { offset: 4294967295 }",
      "type: 'Slice' slice_param { slice_point: 4294967295 }",
      "type: 'LRN' lrn_param { local_size: 4294967295 }",
      "type: 'ArgMax' argmax_param { top_k: 0 }",
      "type: 'ImageData' image_data_param { new_height: 16385 new_width: 2 }",
      "type: 'HDF5Data' hdf5_data_param { }"};
  for (const char* layer : bad) {
    EXPECT_NE(Fault(layer), "") << layer;
  }
}

TEST(CheckNetTest, Augmentation) {
  for (const string type : {"MultiLabelData", "MultiLabelImageData"}) {
    for (const string field :
         {"brightness", "contrast", "saturation", "hue", "rotation", "scale"}) {
      const string most = field == "hue" || field == "rotation" ? "180"
                          : field == "scale"                    ? "0.9"
                                                                : "1";
      for (const string value : {"-0.001", "nan", "inf", "-inf", "180.1", "1e30"}) {
        const string fault = Fault("type: '" + type + "' multi_label_data_param { augmentation { " +
                                   field + ": " + value + " } }");
        EXPECT_EQ(fault, "augmentation." + field + " is " + (value == "1e30" ? "1e+30" : value) +
                             "; it may be 0 to " + most);
      }
    }
  }
  EXPECT_NE(Fault("type: 'MultiLabelData' multi_label_data_param { augmentation { scale: 1 } }"),
            "");
}

// Of every type that there is: those of the list, and no other.
TEST(CheckNetTest, InPlace) {
  int allowed = 0;
  for (const string& type : LayerRegistry<float>::LayerTypeList()) {
    LayerParameter layer = LayerOf("bottom: 'x' top: 'y'");
    layer.set_type(type);
    if (caffe_ext::LayerFault(layer) != "") {
      continue;  // it asks for a number besides
    }
    layer.set_top(0, "x");
    const bool in_place = caffe_ext::LayerFault(layer) == "";
    allowed += in_place;
    layer.add_bottom("z");
    layer.set_top(0, "z");  // of the second bottom
    EXPECT_EQ(caffe_ext::LayerFault(layer) == "", in_place) << type;
  }
  EXPECT_EQ(allowed, 19);  // and Python's, which is refused without CAFFE_PYTHON_LAYERS=1
  for (const string type :
       {"Concat", "Tile", "Convolution", "LSTM", "RNN", "Deconvolution", "Im2col", "Region",
        "LocallyConnected", "MultiLabelCounts", "Eltwise", "MVN", "LRN", "Pooling", "Split"}) {
    NetParameter net;
    *net.add_layer() = LayerOf("name: 'l' bottom: 'x' top: 'x' " + string() +
                               "convolution_param { num_output: 1 kernel_size: 1 } "
                               "tile_param { tiles: 1 } recurrent_param { num_output: 1 }");
    net.mutable_layer(0)->set_type(type);
    EXPECT_EQ(caffe_ext::NetFault(net),
              "layer 'l' (" + type +
                  "): layers of this type do not work in place, and its top 'x' " +
                  "is its bottom, too");
  }
}

TEST(CheckNetTest, Solvers) {
  const auto fault = [](const string& text) {
    SolverParameter solver;
    CHECK(google::protobuf::TextFormat::ParseFromString(text, &solver)) << text;
    return caffe_ext::SolverFault(solver);
  };
  EXPECT_EQ(fault(""), "");
  EXPECT_EQ(fault("test_iter: 0 display: 0 snapshot: 0 max_iter: 0"), "");
  for (const string field :
       {"iter_size: 0", "iter_size: -1", "average_loss: 0", "display: -1", "snapshot: -3",
        "test_interval: -1", "max_iter: -1", "test_iter: -1"}) {
    EXPECT_NE(fault(field), "") << field;
  }
}

TEST(CheckNetTest, ShapesOfInputs) {
  const int kMost = INT_MAX;
  EXPECT_EQ(FaultOf("type: 'Tile' tile_param { axis: 0 tiles: 32767 }", {{65536}}), "");
  EXPECT_NE(FaultOf("type: 'Tile' tile_param { axis: 0 tiles: 65537 }", {{65536}}), "");
  EXPECT_EQ(FaultOf("type: 'Tile' tile_param { axis: 7 tiles: 65537 }", {{65536}}), "");
  EXPECT_EQ(FaultOf("type: 'Concat' concat_param { axis: 0 }", {{kMost - 1}, {1}}), "");
  EXPECT_NE(FaultOf("type: 'Concat' concat_param { axis: 0 }", {{kMost}, {1}}), "");
  EXPECT_NE(
      FaultOf("type: 'Concat' concat_param { concat_dim: 0 }", Shapes(4, vector<int>{1 << 30})),
      "");
  const string im2col = "type: 'Im2col' convolution_param { kernel_size: 256 }";
  EXPECT_EQ(FaultOf(im2col, {{1, 32767, 256, 256}}), "");
  EXPECT_NE(FaultOf(im2col, {{1, 65536, 256, 256}}), "");
  EXPECT_NE(FaultOf("type: 'Im2col' convolution_param { kernel_h: 256 kernel_w: 256 }",
                    {{1, 65537, 256, 256}}),
            "");
  EXPECT_EQ(FaultOf("type: 'MVN'", {{1, 1, 1, 1}}), "");
  EXPECT_NE(FaultOf("type: 'MVN'", {{0, 3, 4, 4}}), "");
  EXPECT_NE(FaultOf("type: 'Filter'", {{2, 3}, {0}}), "");
  EXPECT_EQ(FaultOf("type: 'Filter'", {{2, 0}, {2}}), "");
  EXPECT_NE(FaultOf("type: 'BatchReindex'", {{0, 3}, {0}}), "");
  EXPECT_NE(FaultOf("type: 'BatchNorm'", {{0, 3}}), "");
  EXPECT_NE(FaultOf("type: 'Batch'", {{0, 3}}), "");
  EXPECT_NE(FaultOf("type: 'Softmax'", {{0, 3}}), "");
  EXPECT_NE(FaultOf("type: 'SoftmaxWithLoss'", {{2, 0}, {2}}), "");
  EXPECT_NE(FaultOf("type: 'Accuracy'", {{0, 3}, {0}}), "");
  EXPECT_NE(FaultOf("type: 'HingeLoss'", {{0, 3}, {0}}), "");
  EXPECT_NE(FaultOf("type: 'HingeLoss'", {{2, 3}, {2, 0}}), "");
  EXPECT_NE(FaultOf("type: 'ArgMax' argmax_param { axis: 0 top_k: 3 }", {{2, 5}}), "");
  EXPECT_NE(FaultOf("type: 'ArgMax' argmax_param { top_k: 6 }", {{2, 5}}), "");
  EXPECT_EQ(FaultOf("type: 'ArgMax' argmax_param { top_k: 5 }", {{2, 5}}), "");
  EXPECT_NE(FaultOf("type: 'Convolution' convolution_param { num_output: 1 }", {{1, 0, 2, 2}}), "");
  EXPECT_NE(FaultOf("type: 'InnerProduct'", {{2, 0}}), "");
  EXPECT_EQ(FaultOf("type: 'InnerProduct'", {{0, 2}}), "");
  EXPECT_NE(FaultOf("type: 'Scale'", {{2, 0, 3}}), "");
  EXPECT_EQ(FaultOf("type: 'Scale'", {{0, 2, 3}}), "");
  EXPECT_NE(FaultOf("type: 'Bias' bias_param { num_axes: 0 }", {{0, 2}}), "");
  EXPECT_NE(FaultOf("type: 'Bias'", {{0, 2}, {}}), "");
  EXPECT_NE(FaultOf("type: 'LSTM'", {{1 << 30, 1, 1}, {1 << 30, 1}}), "");
}

// ---------------------------------------------------------------------------------------------
// Whole nets.

namespace {

// Forced: every layer has to compute gradients, for whatever it reads.
Ended RunNet(const string& shape, const string& layers, bool forced) {
  return RunTarget("net", string(forced ? "force_backward: true " : "") +
                              "layer { name: 'in' type: 'Input' top: 'x' "
                              "input_param { shape { " +
                              shape + " } } } " + layers);
}

void ExpectRefused(const string& shape, const string& layers, const string& message,
                   bool forced = true) {
  const Ended ended = RunNet(shape, layers, forced);
  EXPECT_TRUE(ended.by_itself && ended.status == 1) << layers << ended.status << ended.message;
  EXPECT_PRED2(Says, ended.message, message);
}

void ExpectRuns(const string& shape, const string& layers, bool forced = true) {
  const Ended ended = RunNet(shape, layers, forced);
  EXPECT_TRUE(ended.by_itself && ended.status == 0) << layers << ended.status << ended.message;
}

}  // namespace

TEST(CheckNetTest, PoolingWindowsOutsideOfTheMap) {
  for (const string pool : {"MAX", "AVE"}) {
    const string layer =
        "layer { name: 'p' type: 'Pooling' bottom: 'x' top: 'y' pooling_param { "
        "kernel_size: 1 stride: 2 pool: " +
        pool;
    const string odd = "dim: 1 dim: 16 dim: 9 dim: 7", even = "dim: 1 dim: 16 dim: 10 dim: 7";
    ExpectRuns(odd, layer + " } }");
    ExpectRuns(even, layer + " round_mode: FLOOR } }");
    ExpectRefused(
        even, layer + " } }",
        "windows of 1 x 1 at stride 2 x 2 over a map of 10 x 7: the last would lie outside");
    ExpectRefused("dim: 1 dim: 2 dim: 10 dim: 7", layer + " } }", "the last would lie outside");
    ExpectRefused("dim: 1 dim: 2 dim: 0 dim: 7", layer + " } }", "the last would lie outside");
  }
}

// Another layer that shares the mask's memory, or its own top, makes of it what it likes.
TEST(CheckNetTest, MasksAndIndicesAreCheckedBeforeTheyAreFollowed) {
  const string data = "dim: 2 dim: 2 dim: 4 dim: 6";
  for (const string shift : {"-1", "24", "1e30", "nan"}) {
    ExpectRefused(data,
                  R"(
        layer { name: "p" type: "Pooling" bottom: "x" top: "y" top: "mask"
          pooling_param { kernel_size: 2 stride: 2 } }
        layer { name: "m" type: "Power" bottom: "mask" top: "mask" power_param { scale: 0 shift: )" +
                      shift + " } }",
                  "the mask leads outside of the map");
    ExpectRefused(data,
                  R"(
        layer { name: "i" type: "DummyData" top: "index" dummy_data_param { shape { dim: 3 } } }
        layer { name: "w" type: "Scale" bottom: "x" top: "z" }
        layer { name: "b" type: "BatchReindex" bottom: "z" bottom: "index" top: "y" loss_weight: 1 }
        layer { name: "s" type: "Reshape" bottom: "index" top: "shared" reshape_param { shape { dim: 3 } } }
        layer { name: "m" type: "Power" bottom: "shared" top: "shared" power_param { scale: 0 shift: )" +
                      shift + " } }",
                  "layer 'b' \\(BatchReindex\\): index 0 is .*; it must be from 0 to 1", false);
  }
}

TEST(CheckNetTest, NothingIsLetThrough) {
  ExpectRuns("dim: 3 dim: 2", R"(
      layer { name: "d" type: "DummyData" top: "none" dummy_data_param { shape { dim: 3 } } }
      layer { name: "w" type: "Scale" bottom: "x" top: "z" }
      layer { name: "f" type: "Filter" bottom: "z" bottom: "none" top: "y" loss_weight: 1 })",
             false);
  ExpectRefused("dim: 0 dim: 3 dim: 4 dim: 4",
                "layer { name: 'm' type: 'MVN' bottom: 'x' top: 'y' }",
                "layer 'm' \\(MVN\\): its bottom has no values");
  ExpectRefused("dim: 65536", R"(layer { name: "t" type: "Tile" bottom: "x" top: "y"
      tile_param { axis: 0 tiles: 65537 } })",
                "its top would be larger than a blob can be");
  ExpectRefused("dim: 2 dim: 3",
                "layer { name: 'c' type: 'Tile' bottom: 'x' top: 'x' tile_param { tiles: 2 } }",
                "do not work in place");
}

// ---------------------------------------------------------------------------------------------
// Ends of images.

namespace {

string Coded(const string& extension) {
  cv::Mat image(64, 48, CV_8UC3);
  cv::randu(image, 0, 255);
  vector<uchar> bytes;
  CHECK(cv::imencode(extension, image, bytes));
  return string(bytes.begin(), bytes.end());
}

// A segment of a JPEG's header, as cameras write them: with a small JPEG in it.
string WithThumbnail(const string& jpeg) {
  const string body = "Exif" + string(2, '\0') + Coded(".jpg").substr(0, 2000) + "\xff\xd9";
  const size_t length = body.size() + 2;
  return jpeg.substr(0, 2) + "\xff\xe1" + static_cast<char>(length >> 8) +
         static_cast<char>(length & 255) + body + jpeg.substr(2);
}

}  // namespace

TEST(ImageEndTest, WhatIsCutIsSeenAndWhatFollowsIsNot) {
  const string jpeg = Coded(".jpg"), png = Coded(".png"), camera = WithThumbnail(jpeg);
  for (const string& whole : {jpeg, png, camera, Coded(".bmp"), string("no image"), string()}) {
    EXPECT_FALSE(caffe_ext::IsCutImage(whole));
  }
  for (const string& image : {jpeg, png, camera}) {
    EXPECT_FALSE(caffe_ext::IsCutImage(image + "what a maker adds"));
    EXPECT_FALSE(caffe_ext::IsCutImage(image + camera.substr(0, 3000)));  // as of an MPO
    for (size_t size = 8; size < image.size();
         size += size < 64 || size + 64 > image.size() ? 1 : 97) {
      EXPECT_TRUE(caffe_ext::IsCutImage(image.substr(0, size))) << size << " of " << image.size();
    }
  }
}

}  // namespace caffe
