// What is read from people one does not know (docs/limits.md): the fuzzers' seeds, the inputs that
// they found, and files made here. Whatever the input, the process ends by itself: with what it
// read, or with a message and status 1.
#include <fcntl.h>
#include <hdf5_hl.h>
#include <omp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "../../src/layers/labelled_images.hpp"
#include "../fuzz/support.hpp"
#include "../fuzz/targets.hpp"
#include "caffe/layers/hdf5_data_layer.hpp"
#include "caffe/net.hpp"
#include "limits/images.hpp"
#include "limits/limits.hpp"
#include "limits/lmdb_pages.hpp"
#include "multi_label_data_fixture.hpp"
#include "training/errors.hpp"

namespace caffe {

namespace {

string FileBytes(const string& path) {
  std::ifstream file(path.c_str(), std::ios::binary);
  return string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

// What became of a process of its own.
struct Ended {
  bool by_itself;
  int status;  // or the signal
  string message;
};

// Runs it as a program would. A fork serves: no thread has been started here before.
Ended InAChild(const std::function<void()>& run) {
  const string said = fuzz::File("stderr", "");
  const pid_t child = fork();
  if (child == 0) {
    const int file = open(said.c_str(), O_WRONLY);
    if (file < 0 || dup2(file, STDERR_FILENO) < 0) {
      _exit(3);
    }
    setenv("CAFFE_MEMORY_MB", "32", 1);
    omp_set_num_threads(1);
    google::InstallFailureFunction(+[]() { _exit(1); });
    std::set_terminate(+[]() { _exit(2); });
    FLAGS_logtostderr = true;
    run();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  const bool exited = WIFEXITED(status);
  return {exited, exited ? WEXITSTATUS(status) : WTERMSIG(status), FileBytes(said)};
}

Ended RunTarget(const string& target, const string& input) {
  return InAChild([&]() {
    try {
      fuzz::TargetOf(target)(input);
    } catch (const std::runtime_error& error) {
      // As tools/caffe.cpp ends with a snapshot or a loss that is no good.
      const bool refused = dynamic_cast<const caffe_ext::FileError*>(&error) ||
                           dynamic_cast<const caffe_ext::LossError*>(&error);
      LOG(ERROR) << error.what();
      _exit(refused ? 1 : 2);
    }
  });
}

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

bool Says(const string& message, const string& pattern) {
  return ::testing::internal::RE::PartialMatch(message, pattern.c_str());
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
       "layer 'fat' is of type Python: it runs the code of module 'os'"}};
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

// ---------------------------------------------------------------------------------------------
// Images: the size is read before anything is decoded.

// An image of 5 x 4 whose header says otherwise: these bytes in place of those at `at`.
string Claiming(const string& extension, size_t at, const string& bytes) {
  std::vector<unsigned char> image;
  cv::imencode(extension, Image(0, 5, 4), image);
  string claiming(image.begin(), image.end());
  EXPECT_EQ(caffe_ext::EncodedImageFault(claiming), "") << extension;
  claiming.replace(at, bytes.size(), bytes);
  return claiming;
}

TEST(HostileInputTest, ImagesOfImpossibleSizes) {
  std::vector<unsigned char> jpeg;
  cv::imencode(".jpg", Image(0, 5, 4), jpeg);
  const string text(jpeg.begin(), jpeg.end());
  const size_t frame = text.find("\xff\xc0");
  ASSERT_NE(frame, string::npos);
  const string big = string("\0\0\x75\x30", 4), little("\x30\x75\0\0", 4);  // 30000
  const string claiming[] = {
      Claiming(".jpg", frame + 5, "\x75\x30\x75\x30"),
      Claiming(".png", 16, big + big),
      Claiming(".bmp", 18, little + little),
      Claiming(".ppm", 0, "P6 30000 30000 255 "),
      // VP8L: 14 bits each, less one.
      string("RIFF\x20\0\0\0WEBPVP8L\x20\0\0\0\x2f\xff\xff\xff\xff", 25),
  };
  for (const string& image : claiming) {
    const string fault = caffe_ext::EncodedImageFault(image);
    EXPECT_PRED2(Says, fault, "its image claims to be (30000 x 30000|16384 x 16384); an image may");
    cv::Mat decoded;
    EXPECT_EQ(caffe_ext::DecodeImage(image, &decoded), fault);
    EXPECT_TRUE(decoded.empty());
  }
  // The first entries of a TIFF's directory, wherever the encoder put it.
  std::vector<unsigned char> tiff;
  cv::imencode(".tiff", Image(0, 5, 4), tiff);
  string bytes(tiff.begin(), tiff.end());
  EXPECT_EQ(caffe_ext::EncodedImageFault(bytes), "");
  const size_t width = bytes.find(string("\x00\x01\x03\x00\x01\x00\x00\x00\x04\x00", 10));
  ASSERT_NE(width, string::npos);
  bytes.replace(width + 8, 2, "\x30\x75");
  EXPECT_PRED2(Says, caffe_ext::EncodedImageFault(bytes), "claims to be 5 x 30000");
}

TEST(HostileInputTest, BytesThatAreNoImageOfOurs) {
  EXPECT_EQ(caffe_ext::EncodedImageFault("<VRTDataset rasterXSize='5'/>"),
            "its image of 29 bytes cannot be decoded: it is none of JPEG, PNG, BMP, TIFF, WebP and "
            "PNM");
  EXPECT_NE(caffe_ext::EncodedImageFault(""), "");
  EXPECT_NE(caffe_ext::EncodedImageFault("\xff\xd8"), "");
  EXPECT_NE(caffe_ext::EncodedImageFault("\xff\xd8\xff\xda"), "");
}

TEST(HostileInputTest, AListMayNameADevice) {
  const Ended ended = RunTarget("list", "../../../../../../../dev/zero 1 0\n");
  EXPECT_TRUE(ended.by_itself && ended.status == 0) << ended.message;
  string bytes;
  EXPECT_EQ(caffe_ext::ReadFile("/dev/zero", 100, &bytes), "it is no regular file");
}

// ---------------------------------------------------------------------------------------------
// LMDBs: every byte of the pages that lead to the records, changed in several ways. liblmdb alone
// dies of some.

TEST(HostileInputTest, LmdbsWithChangedPages) {
  for (const char* name : {"one_page", "two_leaves", "long_values"}) {
    const string whole = FileBytes(string("tests/fuzz/seeds/lmdb/") + name);
    ASSERT_FALSE(whole.empty());
    const auto* data = reinterpret_cast<const unsigned char*>(whole.data());
    EXPECT_EQ(caffe_ext::LmdbPagesFault(data, whole.size()), "");
    const Ended ended = InAChild([&]() {
      for (size_t page = 0; page < whole.size(); page += 4096) {
        for (size_t at = page; at < std::min(page + 160, whole.size()); ++at) {
          string changed = whole;
          changed[at] ^= 0xff;
          fuzz::Lmdb(changed);
        }
      }
    });
    EXPECT_TRUE(ended.by_itself && ended.status == 0)
        << name << " ended with " << ended.status << "\n"
        << ended.message;
  }
}

// ---------------------------------------------------------------------------------------------
// HDF5 files of a list: no rows, or rows that are shorter than the first file's.

TEST(HostileInputTest, Hdf5FilesOfOtherShapes) {
  struct Case {
    vector<int> shape, second;
    string says;
  };
  const Case cases[] = {
      {{0, 3}, {2, 3}, "HDF5 dataset data has no values"},
      {{2, 3}, {0, 3}, "HDF5 dataset data has no values"},
      {{2, 3}, {2, 2}, "second.h5: the rows of 'data' have another shape"},
      {{2, 3}, {2}, "second.h5: the rows of 'data' have another shape"},
      {{2, 3}, {5, 3}, ""},
  };
  TempDir dir;
  std::ofstream(dir / "list.txt") << (dir / "first.h5") << "\n" << (dir / "second.h5") << "\n";
  for (const Case& one : cases) {
    const Ended ended = InAChild([&]() {
      for (const bool first : {true, false}) {
        const vector<int>& shape = first ? one.shape : one.second;
        const string name = dir / (first ? "first.h5" : "second.h5");
        const vector<hsize_t> dims(shape.begin(), shape.end());
        const vector<float> values(30);
        const hid_t file = H5Fcreate(name.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
        H5LTmake_dataset_float(file, "data", static_cast<int>(dims.size()), dims.data(),
                               values.data());
        H5Fclose(file);
      }
      LayerParameter param;
      param.add_top("data");
      param.mutable_hdf5_data_param()->set_source(dir / "list.txt");
      param.mutable_hdf5_data_param()->set_batch_size(4);
      HDF5DataLayer<float> layer(param);
      Blob<float> data;
      const vector<Blob<float>*> bottom, top{&data};
      layer.SetUp(bottom, top);
      layer.Forward(bottom, top);
      layer.Forward(bottom, top);
    });
    EXPECT_TRUE(ended.by_itself) << ended.message;
    EXPECT_EQ(ended.status, one.says.empty() ? 0 : 1) << ended.message;
    EXPECT_NE(ended.message.find(one.says), string::npos) << one.says << "\n" << ended.message;
  }
}

// Weights in HDF5, a byte of them changed: libhdf5 reads its own tree.
TEST(HostileInputTest, Hdf5WithChangedBytes) {
  const string whole = FileBytes("tests/fuzz/seeds/weights/caffemodel_h5");
  ASSERT_FALSE(whole.empty());
  int refused = 0;
  for (size_t at = 1; at < whole.size(); at += 23) {  // the first byte is the fuzzer's
    string changed = whole;
    changed[at] ^= 0xff;
    const Ended ended = RunTarget("weights", changed);
    EXPECT_TRUE(ended.by_itself && ended.status <= 1)
        << "byte " << at << " ended with " << ended.status << "\n"
        << ended.message;
    refused += ended.status;
  }
  EXPECT_GT(refused, 20);
}

// ---------------------------------------------------------------------------------------------
// The lists of Caffe's own data layers.

TEST(HostileInputTest, ListsOfStockLayers) {
  TempDir dir;
  CHECK(cv::imwrite(dir / "face.png", Image(0)));
  BlobProto mean;
  for (const int dim : {1, 3, 3, 3}) {
    mean.mutable_shape()->add_dim(dim);
  }
  for (int i = 0; i < 27; ++i) {
    mean.add_data(0);
  }
  std::ofstream(dir / "mean.binaryproto", std::ios::binary) << mean.SerializeAsString();
  const string face = "# 0\n" + (dir / "face.png") + "\n";
  const string two = "1 0.9 0 0 5 5\n1 0.1 0 0 5 5\n";
  struct Case {
    string type, parameters, list, says;
  };
  const string crop = "transform_param { crop_size: 6 } ";
  const string list = "source: \"" + (dir / "list.txt") + "\" batch_size: 4 ";
  const string windows = crop + "window_data_param { " + list;
  const string no_list = "source: \"/dev/zero\" }";
  const Case cases[] = {
      {"ImageData", "image_data_param { " + no_list, "", "it is no regular file"},
      {"HDF5Data", "hdf5_data_param { " + no_list, "", "it is no regular file"},
      {"WindowData", crop + "window_data_param { " + no_list, "", "it is no regular file"},
      {"WindowData", windows + "}", face + "3 9 9 2000000000 1 0.9 0 0 5 5\n",
       "has fewer windows than it says"},
      {"WindowData", windows + "}", face + "1 9 9 2\n" + two, "images have three channels"},
      {"WindowData", windows + "context_pad: 3 }", face + "3 9 9 2\n" + two, "crop_size > 2"},
      {"WindowData",
       "transform_param { crop_size: 6 mean_file: \"" + (dir / "mean.binaryproto") +
           "\" } window_data_param { " + list + "}",
       face + "3 9 9 2\n" + two, "is smaller than a crop: 1 3 3 3"},
      {"WindowData", windows + "cache_images: true root_folder: \"no\" }", face + "3 9 9 2\n" + two,
       "Could not open or find file no"},
      {"WindowData", windows + "}", face + "3 9 9 2\n" + two, ""},
  };
  for (const Case& one : cases) {
    std::ofstream(dir / "list.txt") << one.list;
    const Ended ended = InAChild([&]() {
      NetParameter param;
      CHECK(google::protobuf::TextFormat::ParseFromString(
          "layer { name: \"in\" type: \"" + one.type + "\" top: \"data\" top: \"label\" " +
              one.parameters +
              " } layer { name: \"drop\" type: \"Dropout\" bottom: \"data\" top: \"data\" }",
          &param))
          << one.parameters;
      Net<float> net(param);
      net.Forward();
    });
    EXPECT_TRUE(ended.by_itself) << ended.message;
    EXPECT_EQ(ended.status, one.says.empty() ? 0 : 1) << one.parameters << "\n" << ended.message;
    EXPECT_NE(ended.message.find(one.says), string::npos) << one.says << "\n" << ended.message;
  }
}

// ---------------------------------------------------------------------------------------------
// Weights.

TEST(HostileInputTest, AMeanOfNoImages) {
  BlobProto mean;
  for (const int dim : {0, 3, 4, 4}) {
    mean.mutable_shape()->add_dim(dim);
  }
  const Ended ended = RunTarget("weights", "m" + mean.SerializeAsString());
  EXPECT_EQ(ended.status, 1);
  EXPECT_PRED2(Says, ended.message, "mean_file '.*' has no values");
}

}  // namespace caffe
