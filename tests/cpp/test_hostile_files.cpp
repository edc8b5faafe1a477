// What is read from people one does not know (docs/limits.md): images, LMDBs, HDF5 files, lists and
// means that are made here, as in test_hostile_input.cpp.
#include <hdf5_hl.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "../../src/layers/labelled_images.hpp"
#include "caffe/layers/hdf5_data_layer.hpp"
#include "caffe/net.hpp"
#include "in_a_child.hpp"
#include "limits/images.hpp"
#include "limits/lmdb_pages.hpp"

namespace caffe {

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

TEST(HostileFilesTest, ImagesOfImpossibleSizes) {
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
  // A photo of 200 megapixels is read, and one row more is not.
  const string side = string("\0\0\x40\0", 4), least = string("\0\0\x30\0", 4);  // 16384, 12288
  EXPECT_EQ(caffe_ext::EncodedImageFault(Claiming(".png", 16, side + least)), "");
  EXPECT_PRED2(
      Says, caffe_ext::EncodedImageFault(Claiming(".png", 16, side + string("\0\0\x30\x01", 4))),
      "its image claims to be 12289 x 16384; an image may be 16384 a side and have 201326592");
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

TEST(HostileFilesTest, BytesThatAreNoImageOfOurs) {
  EXPECT_EQ(caffe_ext::EncodedImageFault("<VRTDataset rasterXSize='5'/>"),
            "its image of 29 bytes cannot be decoded: it is none of JPEG, PNG, BMP, TIFF, WebP and "
            "PNM");
  EXPECT_NE(caffe_ext::EncodedImageFault(""), "");
  EXPECT_NE(caffe_ext::EncodedImageFault("\xff\xd8"), "");
  EXPECT_NE(caffe_ext::EncodedImageFault("\xff\xd8\xff\xda"), "");
}

TEST(HostileFilesTest, AListMayNameADevice) {
  const Ended ended = RunTarget("list", "../../../../../../../dev/zero 1 0\n");
  EXPECT_TRUE(ended.by_itself && ended.status == 0) << ended.message;
  string bytes;
  EXPECT_EQ(caffe_ext::ReadFile("/dev/zero", 100, &bytes), "it is no regular file");
}

// ---------------------------------------------------------------------------------------------
// LMDBs: every byte of the pages that lead to the records, changed in several ways. liblmdb alone
// dies of some.

TEST(HostileFilesTest, LmdbsWithChangedPages) {
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

TEST(HostileFilesTest, Hdf5FilesOfOtherShapes) {
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
TEST(HostileFilesTest, Hdf5WithChangedBytes) {
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

TEST(HostileFilesTest, ListsOfStockLayers) {
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
  const string no_list = "source: \"/dev/zero\" batch_size: 4 }";
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

TEST(HostileFilesTest, AMeanOfNoImages) {
  BlobProto mean;
  for (const int dim : {0, 3, 4, 4}) {
    mean.mutable_shape()->add_dim(dim);
  }
  const Ended ended = RunTarget("weights", "m" + mean.SerializeAsString());
  EXPECT_EQ(ended.status, 1);
  EXPECT_PRED2(Says, ended.message, "mean_file '.*' has no values");
}

}  // namespace caffe
