// What MultiLabelData makes of the records: shapes, crops, mirrors, means, and its life in nets.
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "boost/filesystem.hpp"
#include "caffe/layer_factory.hpp"
#include "caffe/net.hpp"
#include "multi_label_data_fixture.hpp"

namespace caffe {

TYPED_TEST_CASE(MultiLabelDataLayerTest, TestDtypesAndDevices);

TYPED_TEST(MultiLabelDataLayerTest, Shapes) {
  typedef typename TypeParam::Dtype Dtype;
  const vector<Blob<Dtype>*> bottom;
  Blob<Dtype> data, labels;
  shared_ptr<Layer<Dtype> > layer = LayerRegistry<Dtype>::CreateLayer(
      MakeParam(this->source_, TRAIN, 7, "transform_param { crop_size: 6 }"));
  EXPECT_STREQ(layer->type(), "MultiLabelData");
  layer->SetUp(bottom, {&data, &labels});
  EXPECT_EQ(data.shape(), (vector<int>{7, 3, kCrop, kCrop}));
  EXPECT_EQ(labels.shape(), (vector<int>{7, kLabels}));
  layer->Forward(bottom, {&data, &labels});
  EXPECT_EQ(data.shape(), (vector<int>{7, 3, kCrop, kCrop}));
  EXPECT_EQ(labels.shape(), (vector<int>{7, kLabels}));
}

TYPED_TEST(MultiLabelDataLayerTest, WholeImagesInOrderInTest) {
  typedef typename TypeParam::Dtype Dtype;
  // 5 batches of 10 from 23 records: the last of each round stand in one batch with the next.
  const vector<Sample<Dtype> > samples = RunLayer<Dtype>(MakeParam(this->source_, TEST, 10), 5);
  ASSERT_EQ(samples.size(), 50u);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(samples[i].record, i % kRecords);
    const vector<int> labels = Labels(i % kRecords);
    EXPECT_EQ(vector<int>(samples[i].labels.begin(), samples[i].labels.end()), labels);
    EXPECT_TRUE(Near(samples[i].data,
                     Transformed(Image(i % kRecords), {0, 0, false}, kHeight, kWidth, NoMean, 1)))
        << i;
  }
  // All three values occur, so none is lost to a conversion.
  std::set<Dtype> values;
  for (const Sample<Dtype>& sample : samples) {
    values.insert(sample.labels.begin(), sample.labels.end());
  }
  EXPECT_EQ(values, (std::set<Dtype>{-1, 0, 1}));
}

TYPED_TEST(MultiLabelDataLayerTest, Intensities) {
  typedef typename TypeParam::Dtype Dtype;
  Entries entries;
  const int levels[] = {0, 1, 2, 3, 4, 5, 9, -1};
  for (int i = 0; i < 8; ++i) {
    const Datum datum = MakeDatum(Image(i), {levels[i], levels[(i + 3) % 8]});
    entries.push_back({Key(i), datum.SerializeAsString()});
  }
  WriteLmdb(this->source_ + "_levels", entries);
  LayerParameter param = MakeParam(this->source_ + "_levels", TEST, 8);
  MultiLabelDataLayer<Dtype> layer(param);
  Blob<Dtype> data, labels;
  const vector<Blob<Dtype>*> bottom, top = {&data, &labels};
  layer.SetUp(bottom, top);
  layer.Forward(bottom, top);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(labels.cpu_data()[2 * i], levels[i]);
    EXPECT_EQ(labels.cpu_data()[2 * i + 1], levels[(i + 3) % 8]);
  }
}

TYPED_TEST(MultiLabelDataLayerTest, CentreCropInTest) {
  typedef typename TypeParam::Dtype Dtype;
  const Crop centre = {(kHeight - kCrop) / 2, (kWidth - kCrop) / 2, false};
  for (const Sample<Dtype>& sample : RunLayer<Dtype>(
           MakeParam(this->source_, TEST, kRecords, "transform_param { crop_size: 6 }"), 1)) {
    EXPECT_TRUE(
        Near(sample.data, Transformed(Image(sample.record), centre, kCrop, kCrop, NoMean, 1)));
  }
}

TYPED_TEST(MultiLabelDataLayerTest, RandomCropAndMirrorInTrain) {
  typedef typename TypeParam::Dtype Dtype;
  const int kBatches = 50;
  std::map<std::pair<int, int>, int> places;
  int mirrored = 0;
  for (const Sample<Dtype>& sample :
       RunLayer<Dtype>(MakeParam(this->source_, TRAIN, kRecords, kCropMirror), kBatches)) {
    const vector<Crop> crops = FindCrops(sample, NoMean, 1);
    ASSERT_EQ(crops.size(), 1u) << sample.record;
    ++places[{crops[0].y, crops[0].x}];
    mirrored += crops[0].mirrored;
  }
  // 1150 draws: 3 x 5 places and two sides, each as often as a fair die would have it (5 sigma).
  const double draws = kBatches * kRecords;
  const int kPlaces = (kHeight - kCrop + 1) * (kWidth - kCrop + 1);
  ASSERT_EQ(static_cast<int>(places.size()), kPlaces);
  for (const auto& place : places) {
    EXPECT_NEAR(place.second, draws / kPlaces, 5 * std::sqrt(draws / kPlaces));
  }
  EXPECT_NEAR(mirrored, draws / 2, 5 * std::sqrt(draws / 4));
}

TYPED_TEST(MultiLabelDataLayerTest, MirrorWithoutCrop) {
  typedef typename TypeParam::Dtype Dtype;
  int mirrored = 0;
  for (const Sample<Dtype>& sample : RunLayer<Dtype>(
           MakeParam(this->source_, TEST, kRecords, "transform_param { mirror: true }"), 2)) {
    const cv::Mat image = Image(sample.record);
    const bool is_mirrored =
        Near(sample.data, Transformed(image, {0, 0, true}, kHeight, kWidth, NoMean, 1));
    EXPECT_NE(is_mirrored,
              Near(sample.data, Transformed(image, {0, 0, false}, kHeight, kWidth, NoMean, 1)));
    mirrored += is_mirrored;
  }
  EXPECT_GT(mirrored, 5);
  EXPECT_LT(mirrored, 2 * kRecords - 5);
}

TYPED_TEST(MultiLabelDataLayerTest, MeanValuesAndScale) {
  typedef typename TypeParam::Dtype Dtype;
  for (const Sample<Dtype>& sample :
       RunLayer<Dtype>(MakeParam(this->source_, TRAIN, kRecords,
                                 "transform_param { crop_size: 6 mirror: true scale: 0.25 "
                                 "mean_value: [100.5, 20, 7] }"),
                       2)) {
    const auto mean = [](int c, int, int) { return c == 0 ? 100.5 : c == 1 ? 20 : 7; };
    EXPECT_EQ(FindCrops(sample, mean, 0.25).size(), 1u);
  }
  for (const Sample<Dtype>& sample :
       RunLayer<Dtype>(MakeParam(this->source_, TRAIN, kRecords,
                                 "transform_param { crop_size: 6 mirror: true mean_value: 90 }"),
                       2)) {
    const auto mean = [](int, int, int) { return 90.0; };
    EXPECT_EQ(FindCrops(sample, mean, 1).size(), 1u);
  }
}

TYPED_TEST(MultiLabelDataLayerTest, MeanFile) {
  typedef typename TypeParam::Dtype Dtype;
  const string mean_file = this->dir_ / "mean.binaryproto";
  // A mean that differs from pixel to pixel, as it is cropped and mirrored with the image.
  const auto mean = [](int c, int y, int x) { return 40.0 * c + 3 * y + 0.5 * x; };
  WriteMean(mean_file, kHeight, kWidth, mean);
  for (const char* threads : {"1", "3"}) {
    const string text = "transform_param { crop_size: 6 mirror: true scale: 0.5 mean_file: '" +
                        mean_file + "' } multi_label_data_param { threads: " + threads + " }";
    for (const Sample<Dtype>& sample :
         RunLayer<Dtype>(MakeParam(this->source_, TRAIN, kRecords, text), 2)) {
      EXPECT_EQ(FindCrops(sample, mean, 0.5).size(), 1u);
    }
  }
}

TYPED_TEST(MultiLabelDataLayerTest, RawRecords) {
  typedef typename TypeParam::Dtype Dtype;
  Entries entries;
  for (int i = 0; i < kRecords; ++i) {
    // Raw and encoded ones may stand side by side.
    const Datum datum =
        i % 4 == 1 ? MakeDatum(Image(i), Labels(i)) : MakeRawDatum(Image(i), Labels(i));
    entries.push_back({Key(i), datum.SerializeAsString()});
  }
  WriteLmdb(this->dir_ / "raw", entries);
  const string text = "transform_param { crop_size: 6 mirror: true scale: 2 mean_value: 3 }";
  const vector<Sample<Dtype> > raw =
      RunLayer<Dtype>(MakeParam(this->dir_ / "raw", TRAIN, 10, text), 4);
  EXPECT_TRUE(raw == RunLayer<Dtype>(MakeParam(this->source_, TRAIN, 10, text), 4));
  const auto mean = [](int, int, int) { return 3.0; };
  EXPECT_EQ(FindCrops(raw[0], mean, 2).size(), 1u);
}

TYPED_TEST(MultiLabelDataLayerTest, GreyAndDeepImagesBecomeColourOf8Bits) {
  typedef typename TypeParam::Dtype Dtype;
  cv::Mat grey(kHeight, kWidth, CV_8UC1);
  cv::Mat deep(kHeight, kWidth, CV_16UC3);
  cv::Mat expected_grey(kHeight, kWidth, CV_8UC3), expected_deep(kHeight, kWidth, CV_8UC3);
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) {
      const uchar value = 13 * y + 7 * x;
      grey.at<uchar>(y, x) = value;
      expected_grey.at<cv::Vec3b>(y, x) = cv::Vec3b(value, value, value);
      deep.at<cv::Vec3w>(y, x) = cv::Vec3w(256 * value, 256 * y, 256 * x);
      expected_deep.at<cv::Vec3b>(y, x) = cv::Vec3b(value, y, x);
    }
  }
  WriteLmdb(this->dir_ / "grey", {{"a", MakeDatum(grey, Labels(0)).SerializeAsString()},
                                  {"b", MakeDatum(deep, Labels(1)).SerializeAsString()}});
  const vector<Sample<Dtype> > samples =
      RunLayer<Dtype>(MakeParam(this->dir_ / "grey", TEST, 2), 1);
  EXPECT_TRUE(
      Near(samples[0].data, Transformed(expected_grey, {0, 0, false}, kHeight, kWidth, NoMean, 1)));
  EXPECT_TRUE(
      Near(samples[1].data, Transformed(expected_deep, {0, 0, false}, kHeight, kWidth, NoMean, 1)));
}

TYPED_TEST(MultiLabelDataLayerTest, JpegsOfAnySizeThatTheCropFitsIn) {
  typedef typename TypeParam::Dtype Dtype;
  Entries entries;
  vector<cv::Mat> decoded;
  for (int i = 0; i < 8; ++i) {
    // Smooth, as JPEG is made for; what counts is what OpenCV makes of the bytes.
    cv::Mat image(2 * (20 + i), 2 * (33 - i), CV_8UC3);
    for (int y = 0; y < image.rows; ++y) {
      for (int x = 0; x < image.cols; ++x) {
        image.at<cv::Vec3b>(y, x) = cv::Vec3b(3 * y, 3 * x, 100 + i);
      }
    }
    const Datum datum = MakeDatum(image, Labels(i), ".jpg");
    entries.push_back({Key(i), datum.SerializeAsString()});
    const vector<uchar> bytes(datum.data().begin(), datum.data().end());
    decoded.push_back(cv::imdecode(bytes, cv::IMREAD_COLOR));
  }
  WriteLmdb(this->dir_ / "jpeg", entries);
  const int kSize = 32;
  const vector<Sample<Dtype> > samples = RunLayer<Dtype>(
      MakeParam(this->dir_ / "jpeg", TEST, 8, "transform_param { crop_size: 32 }"), 1);
  for (int i = 0; i < 8; ++i) {
    const Crop centre = {(decoded[i].rows - kSize) / 2, (decoded[i].cols - kSize) / 2, false};
    EXPECT_TRUE(Near(samples[i].data, Transformed(decoded[i], centre, kSize, kSize, NoMean, 1)))
        << i;
  }
}

TYPED_TEST(MultiLabelDataLayerTest, LabelsOfZeroAndOne) {
  typedef typename TypeParam::Dtype Dtype;
  Entries entries;
  for (int i = 0; i < 3; ++i) {
    entries.push_back({Key(i), MakeDatum(Image(i), {i == 0, i == 1, 1}).SerializeAsString()});
  }
  WriteLmdb(this->dir_ / "zero_one", entries);
  for (const bool zero_one : {true, false}) {
    const Dtype zero = zero_one ? -1 : 0;
    const string text = string("multi_label_data_param { label_values: ") +
                        (zero_one ? "ZERO_ONE" : "SIGNED") + " }";
    const vector<Sample<Dtype> > samples =
        RunLayer<Dtype>(MakeParam(this->dir_ / "zero_one", TEST, 3, text), 1);
    EXPECT_EQ(samples[0].labels, (vector<Dtype>{1, zero, 1}));
    EXPECT_EQ(samples[1].labels, (vector<Dtype>{zero, 1, 1}));
    EXPECT_EQ(samples[2].labels, (vector<Dtype>{zero, zero, 1}));
  }
}

TYPED_TEST(MultiLabelDataLayerTest, OneRecord) {
  typedef typename TypeParam::Dtype Dtype;
  WriteLmdb(this->dir_ / "one", MakeEntries(1));
  EXPECT_EQ(Records(RunLayer<Dtype>(MakeParam(this->dir_ / "one", TRAIN, 4, kCropMirror), 3)),
            vector<int>(12, 0));
}

TYPED_TEST(MultiLabelDataLayerTest, ReadingLeavesTheFolderAsItIs) {
  typedef typename TypeParam::Dtype Dtype;
  RunLayer<Dtype>(MakeParam(this->source_, TRAIN, 4), 2);
  EXPECT_TRUE(boost::filesystem::exists(this->source_ + "/data.mdb"));
  EXPECT_FALSE(boost::filesystem::exists(this->source_ + "/lock.mdb"));
}

// Layers come and go, many of them before their prefetched batches were ever asked for.
TYPED_TEST(MultiLabelDataLayerTest, BuiltAndThrownAway200Times) {
  typedef typename TypeParam::Dtype Dtype;
  const vector<Blob<Dtype>*> bottom;
  for (int i = 0; i < 200; ++i) {
    Blob<Dtype> data, labels;
    const vector<Blob<Dtype>*> top = {&data, &labels};
    MultiLabelDataLayer<Dtype> layer(
        MakeParam(this->source_, i % 2 ? TRAIN : TEST, 1 + i % 9,
                  kCropMirror + string(i % 3 ? "multi_label_data_param { threads: 3 }" : "")));
    if (i % 5 == 4) {
      continue;  // not even set up
    }
    layer.SetUp(bottom, top);
    for (int k = 0; k < i % 4; ++k) {
      layer.Forward(bottom, top);
    }
  }
}

TYPED_TEST(MultiLabelDataLayerTest, SeveralInOneNetAndTwoNets) {
  typedef typename TypeParam::Dtype Dtype;
  const string layer_text =
      "type: 'MultiLabelData' top: 'data_%' top: 'label_%' transform_param { crop_size: 6 } "
      "multi_label_data_param { batch_size: 23 source: '" +
      this->source_ + "' } ";
  string text;
  for (const char* name : {"a", "b"}) {
    string layer = layer_text;
    for (size_t at = layer.find('%'); at != string::npos; at = layer.find('%')) {
      layer.replace(at, 1, name);
    }
    text += string("layer { name: '") + name + "' " + layer + "} ";
  }
  NetParameter param;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &param));
  param.mutable_state()->set_phase(TRAIN);
  Net<Dtype> train(param);
  param.mutable_state()->set_phase(TEST);
  Net<Dtype> test(param);
  for (int i = 0; i < 5; ++i) {
    train.Forward();
    test.Forward();
    for (Net<Dtype>* net : {&train, &test}) {
      vector<vector<int> > seen;
      for (const char* name : {"label_a", "label_b"}) {
        const Dtype* labels = net->blob_by_name(name)->cpu_data();
        vector<int> records;
        for (int k = 0; k < kRecords; ++k) {
          records.push_back(RecordOf(labels + k * kLabels));
        }
        EXPECT_EQ(Sorted(records), Range(kRecords));
        seen.push_back(records);
      }
      EXPECT_EQ(seen[0] == seen[1], net == &test);
    }
  }
}

}  // namespace caffe
