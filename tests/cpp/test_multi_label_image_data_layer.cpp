// MultiLabelImageData, under both its names, against MultiLabelData on the same images; and its
// list.
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "caffe/layer_factory.hpp"
#include "caffe/layers/multi_label_image_data_layer.hpp"
#include "multi_label_data_fixture.hpp"
#include "opencv2/imgproc/imgproc.hpp"
#include "process_memory.hpp"

namespace caffe {

namespace {

const char kOurs[] = "MultiLabelImageData", kAuthors[] = "MultilabelImageData";

void WriteFile(const string& path, const string& text) { std::ofstream(path.c_str()) << text; }

string Number(int i) {
  std::ostringstream text;
  text << i;
  return text.str();
}

}  // namespace

// Images 0.png, 1.png .. in a folder, whose labels tell which they are, and a list of them.
class ImageFolder {
 public:
  ImageFolder() : list_(dir_ / "list.txt") {
    std::ostringstream lines;
    for (int i = 0; i < kRecords; ++i) {
      WriteImage(Number(i) + ".png", Image(i));
      lines << dir_ / Number(i) << ".png";
      for (int label : Labels(i)) {
        lines << " " << label;
      }
      lines << "\n";
    }
    WriteFile(list_, lines.str());
  }

  void WriteImage(const string& name, const cv::Mat& image) {
    vector<uchar> bytes;
    CHECK(cv::imencode(".png", image, bytes));
    WriteFile(dir_ / name, string(bytes.begin(), bytes.end()));
  }

  LayerParameter Param(const string& type, Phase phase, int batch_size, const string& more = "") {
    LayerParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(more, &param)) << more;
    param.set_name("faces");
    param.set_type(type);
    param.set_phase(phase);
    if (type == kAuthors) {
      ImageDataParameter* data_param = param.mutable_image_data_param();
      data_param->set_source(list_);
      data_param->set_batch_size(batch_size);
    } else {
      MultiLabelDataParameter* data_param = param.mutable_multi_label_data_param();
      data_param->set_source(list_);
      data_param->set_batch_size(batch_size);
    }
    return param;
  }

  TempDir dir_;
  string list_;
};

template <typename TypeParam>
class MultiLabelImageDataLayerTest : public MultiDeviceTest<TypeParam>, public ImageFolder {
  typedef typename TypeParam::Dtype Dtype;

 protected:
  vector<Sample<Dtype> > Run(const LayerParameter& param, int batches) {
    return RunLayer<Dtype, MultiLabelImageDataLayer<Dtype> >(param, batches);
  }
};

TYPED_TEST_CASE(MultiLabelImageDataLayerTest, TestDtypesAndDevices);

TYPED_TEST(MultiLabelImageDataLayerTest, IsRegisteredUnderBothNames) {
  typedef typename TypeParam::Dtype Dtype;
  for (const char* type : {kOurs, kAuthors}) {
    shared_ptr<Layer<Dtype> > layer = LayerRegistry<Dtype>::CreateLayer(this->Param(type, TEST, 2));
    EXPECT_STREQ(layer->type(), type);
  }
}

TYPED_TEST(MultiLabelImageDataLayerTest, WholeImagesInOrder) {
  typedef typename TypeParam::Dtype Dtype;
  for (const char* type : {kOurs, kAuthors}) {
    const vector<Sample<Dtype> > samples = this->Run(this->Param(type, TEST, 4), 7);
    for (int i = 0; i < 28; ++i) {
      EXPECT_EQ(samples[i].record, i % kRecords);
      EXPECT_TRUE(Near(samples[i].data, Transformed(Image(i % kRecords), {0, 0, false}, kHeight,
                                                    kWidth, NoMean, 1)));
    }
  }
}

// With the same seed: the same order, augmentation, crops and mirrors as from an LMDB of the same
// images.
TYPED_TEST(MultiLabelImageDataLayerTest, AsMultiLabelData) {
  typedef typename TypeParam::Dtype Dtype;
  const string lmdb = this->dir_ / "lmdb";
  WriteLmdb(lmdb, MakeEntries());
  const vector<Sample<Dtype> > expected =
      RunLayer<Dtype>(MakeParam(lmdb, TRAIN, 5, kCropMirror), 8);
  EXPECT_TRUE(this->Run(this->Param(kOurs, TRAIN, 5, kCropMirror), 8) == expected);
  const string augmented =
      string(kCropMirror) +
      "multi_label_data_param { augmentation { contrast: 0.3 hue: 20 rotation: 30 scale: 0.2 } }";
  const vector<Sample<Dtype> > changed = RunLayer<Dtype>(MakeParam(lmdb, TRAIN, 5, augmented), 8);
  EXPECT_TRUE(this->Run(this->Param(kOurs, TRAIN, 5, augmented), 8) == changed);
  EXPECT_FALSE(changed == expected);
  const string shuffled = string(kCropMirror) + "image_data_param { shuffle: true }";
  EXPECT_TRUE(this->Run(this->Param(kAuthors, TRAIN, 5, shuffled), 8) == expected);
  // Theirs takes the list as it stands, unless told otherwise.
  EXPECT_EQ(Records(this->Run(this->Param(kAuthors, TRAIN, kRecords), 1)), Range(kRecords));
}

TYPED_TEST(MultiLabelImageDataLayerTest, FoldersAndPathsWithSpaces) {
  typedef typename TypeParam::Dtype Dtype;
  this->WriteImage("a face 1.png", Image(11));
  const string root = "root_folder: '" + this->dir_ / "" + "' num_labels: 2";
  WriteFile(this->list_, "\n3.png 1 0\n  a face 1.png\t-1 1.0 \r\n\n7.png +1 -1\n");
  const vector<Sample<Dtype> > samples =
      this->Run(this->Param(kOurs, TEST, 3, "multi_label_data_param {" + root + "}"), 1);
  const int images[] = {3, 11, 7};
  const int labels[][2] = {{1, 0}, {-1, 1}, {1, -1}};
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(Near(samples[i].data,
                     Transformed(Image(images[i]), {0, 0, false}, kHeight, kWidth, NoMean, 1)));
    EXPECT_EQ(samples[i].labels, (vector<Dtype>{Dtype(labels[i][0]), Dtype(labels[i][1])}));
  }
}

TYPED_TEST(MultiLabelImageDataLayerTest, ZeroOneLabels) {
  typedef typename TypeParam::Dtype Dtype;
  // With a byte order mark before the first path.
  WriteFile(this->list_,
            "\xEF\xBB\xBF" + this->dir_ / "1.png 0 1 1\n" + this->dir_ / "2.png 1 0 0\n");
  const char* const kTexts[] = {"ZERO_ONE", "SIGNED"};
  const vector<Dtype> expected[][2] = {{{-1, 1, 1}, {1, -1, -1}}, {{0, 1, 1}, {1, 0, 0}}};
  for (int told = 0; told < 2; ++told) {
    const string text = string("multi_label_data_param { label_values: ") + kTexts[told] + " }";
    const vector<Sample<Dtype> > samples = this->Run(this->Param(kOurs, TEST, 2, text), 1);
    EXPECT_EQ(samples[0].labels, expected[told][0]);
    EXPECT_EQ(samples[1].labels, expected[told][1]);
  }
}

TYPED_TEST(MultiLabelImageDataLayerTest, ImagesBroughtToOneSize) {
  typedef typename TypeParam::Dtype Dtype;
  this->WriteImage("1.png", Image(1, 5, 17));
  for (const char* type : {kOurs, kAuthors}) {
    const string text = string(type == kOurs ? "multi_label" : "image") + "_data_param";
    const vector<Sample<Dtype> > samples =
        this->Run(this->Param(type, TEST, 2, text + " { new_height: 12 new_width: 9 }"), 1);
    for (int i = 0; i < 2; ++i) {
      cv::Mat resized;
      cv::resize(i ? Image(1, 5, 17) : Image(0), resized, cv::Size(9, 12));
      EXPECT_TRUE(Near(samples[i].data, Transformed(resized, {0, 0, false}, 12, 9, NoMean, 1)));
    }
  }
}

class MultiLabelImageDataLayerMemoryTest : public ::testing::Test, public ImageFolder {
 protected:
  MultiLabelImageDataLayerMemoryTest() { Caffe::set_mode(Caffe::CPU); }
};

TEST_F(MultiLabelImageDataLayerMemoryTest, PathLabelsAndTwelveBytes) {
  // The first one pays for what a process needs once.
  const int kSizes[] = {1000, 1000, 200000};
  double bytes[3];
  for (int k = 0; k < 3; ++k) {
    std::ofstream list(list_.c_str());
    for (int i = 0; i < kSizes[k]; ++i) {
      list << i % 10 << ".png 1 -1 0\n";
    }
    list.close();
    const double before = AnonymousBytes();
    Blob<float> data, labels;
    const vector<Blob<float>*> bottom, top = {&data, &labels};
    const string root = "multi_label_data_param { root_folder: '" + dir_ / "" + "' }";
    MultiLabelImageDataLayer<float> layer(Param(kOurs, TRAIN, 4, root));
    layer.SetUp(bottom, top);
    layer.Forward(bottom, top);
    bytes[k] = AnonymousBytes() - before;
  }
  EXPECT_NEAR((bytes[2] - bytes[1]) / (kSizes[2] - kSizes[1]), 5 + 3 + 12, 1);
}

TEST_F(MultiLabelImageDataLayerMemoryTest, FlatOverManyBatches) {
  Blob<float> data, labels;
  const vector<Blob<float>*> bottom, top = {&data, &labels};
  MultiLabelImageDataLayer<float> layer(
      Param(kOurs, TRAIN, 8, string(kCropMirror) + "multi_label_data_param { threads: 3 }"));
  layer.SetUp(bottom, top);
  double before = 0;
  for (int batch = 0; batch < 2000; ++batch) {
    if (batch == 200) {
      before = AnonymousBytes();
    }
    layer.Forward(bottom, top);
  }
  EXPECT_LT(AnonymousBytes() - before, 256 << 10);  // 145 bytes a batch
}

class MultiLabelImageDataLayerDeathTest : public ::testing::Test, public ImageFolder {
 protected:
  MultiLabelImageDataLayerDeathTest() {
    Caffe::set_mode(Caffe::CPU);
    ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  }

  void Read(const string& more = "", const string& type = kOurs) {
    RunLayer<float, MultiLabelImageDataLayer<float> >(Param(type, TEST, 3, more), 2);
  }

  // Writes a list whose lines begin with an image that is there.
  void List(const vector<string>& lines) {
    string text;
    for (const string& line : lines) {
      text += dir_ / "1.png" + line + "\n";
    }
    WriteFile(list_, text);
  }
};

TEST_F(MultiLabelImageDataLayerDeathTest, ListsThatAreNone) {
  WriteFile(list_, "\n \n");
  EXPECT_DEATH(Read(), "MultiLabelImageData layer 'faces': list '.*/list.txt' is empty");
  list_ = dir_ / "none.txt";
  EXPECT_DEATH(Read(), "list '.*/none.txt' cannot be opened: No such file");
  list_ = "";
  EXPECT_DEATH(Read(), "no list of images; set source");
}

TEST_F(MultiLabelImageDataLayerDeathTest, WrongNumbersOfLabels) {
  List({" 1 -1 0", "", " 1 -1"});
  EXPECT_DEATH(Read(), "list.txt', line 2: 0 labels instead of 3 .the first line's");
  List({" 1 -1 0", " 1 -1"});
  EXPECT_DEATH(Read(), "line 2: 2 labels instead of 3 .the first line's");
  EXPECT_DEATH(Read("multi_label_data_param { num_labels: 4 }"),
               "line 1: 3 labels instead of 4 .num_labels");
  EXPECT_DEATH(Read("image_data_param { multilabel_num: 4 }", kAuthors),
               "MultilabelImageData layer 'faces': .*, line 1: 3 labels instead of 4");
  List({" 1 -1", " 1 -1 1"});
  EXPECT_DEATH(Read(), "line 2: image '.*1.png 1' cannot be read: .*more than 2 labels");
  List({""});
  EXPECT_DEATH(Read(), "line 1: no labels behind the path");
  WriteFile(list_, dir_ / "1.png 1 -1\n1 -1\n");
  EXPECT_DEATH(Read(), "line 2: no path before the labels");
}

TEST_F(MultiLabelImageDataLayerDeathTest, WrongLabels) {
  List({" 1 -1", " 9 -1"});
  EXPECT_DEATH(Read(), "list.txt', line 2: label '9'; labels are -1 .absent");
  List({" 1 -1", " 1 -1x"});
  EXPECT_DEATH(Read(), "line 2: label '-1x'");
  List({" 1 0.5"});
  EXPECT_DEATH(Read(), "line 1: label '0.5'");
  List({" face 1 -1"});
  EXPECT_DEATH(Read(), "line 1: label 'face'.*where paths have spaces, set num_labels");
  List({" 1 0", " 1 -1"});
  EXPECT_DEATH(Read("multi_label_data_param { label_values: ZERO_ONE }"),
               "line 2: label '-1'; with label_values: ZERO_ONE");
}

TEST_F(MultiLabelImageDataLayerDeathTest, ZeroOneListsNeedToBeTold) {
  List({" 1 1", " 0 1"});
  EXPECT_DEATH(Read(),
               "list.txt' has labels 0 and none that is -1, as SigmoidCrossEntropyLoss "
               "takes them.*label_values: ZERO_ONE");
  EXPECT_DEATH(Read("", kAuthors), "Write -1 for absent, or tell a MultiLabelImageData layer");
}

// Empty lines count as lines; of several images that are not there the first one is named.
TEST_F(MultiLabelImageDataLayerDeathTest, LineNumbers) {
  string lines = "\n";
  for (int i = 0; i < 300; ++i) {
    lines += dir_ / (i < 200 ? "1.png" : "gone" + Number(i) + ".png") + " 1 -1\n" +
             (i % 7 ? "" : "  \n");
  }
  WriteFile(list_, lines);
  // The empty ones before record 200: one, and those behind records 0, 7 .. 196.
  EXPECT_DEATH(Read(), "list.txt', line 231: image '.*/gone200.png' cannot be read: No such file");
}

TEST_F(MultiLabelImageDataLayerDeathTest, WrongImages) {
  WriteFile(list_, dir_ / "1.png 1 -1\n" + dir_ / "gone.png 1 -1\n");
  EXPECT_DEATH(Read(), "list.txt', line 2: image '.*/gone.png' cannot be read: No such file");
  WriteFile(dir_ / "2.png", "no image");
  WriteFile(list_, dir_ / "1.png 1 -1\n" + dir_ / "2.png 1 -1\n");
  EXPECT_DEATH(Read(),
               "image '.*/2.png' .list '.*/list.txt', line 2.: its image of 8 bytes cannot");
  WriteImage("2.png", Image(2, 8, 11));
  EXPECT_DEATH(Read(), "line 2.: its image is 8 x 11, but the first record's is 8 x 10");
}

TEST_F(MultiLabelImageDataLayerDeathTest, WrongParameters) {
  EXPECT_DEATH(Read("multi_label_data_param { new_height: 3 }"), "new_height and new_width need");
  EXPECT_DEATH(Read("image_data_param { crop_size: 3 }", kAuthors), "reads them from .*transform");
  EXPECT_DEATH(Read("image_data_param { rand_skip: 3 }", kAuthors), "rand_skip is not supported");
  EXPECT_DEATH(Read("image_data_param { is_color: false }", kAuthors), "images have 3 channels");
  EXPECT_DEATH(Read("multi_label_data_param { prefetch: 3 }", kAuthors),
               "multi_label_data_param is MultiLabelImageData's");
}

}  // namespace caffe
