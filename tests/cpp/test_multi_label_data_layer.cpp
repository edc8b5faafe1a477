#include <lmdb.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../../src/layers/lmdb_index.hpp"
#include "../../src/layers/record_order.hpp"
#include "../../src/layers/worker_pool.hpp"
#include "boost/filesystem.hpp"
#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layer_factory.hpp"
#include "caffe/layers/multi_label_data_layer.hpp"
#include "caffe/net.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/util/io.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "opencv2/core/core.hpp"
#include "opencv2/imgcodecs/imgcodecs.hpp"

namespace caffe {

namespace {

const int kRecords = 23;
const int kLabels = 5;
const int kHeight = 8;
const int kWidth = 10;
const int kCrop = 6;

typedef vector<std::pair<string, string> > Entries;

// A folder that goes with the object.
class TempDir {
 public:
  TempDir() { MakeTempDir(&path_); }
  ~TempDir() { boost::filesystem::remove_all(path_); }
  string operator/(const string& name) const { return path_ + "/" + name; }

 private:
  string path_;
};

void WriteLmdb(const string& path, const Entries& entries) {
  boost::filesystem::create_directories(path);
  MDB_env* env;
  MDB_txn* txn;
  MDB_dbi dbi;
  CHECK_EQ(mdb_env_create(&env), 0);
  CHECK_EQ(mdb_env_set_mapsize(env, 1 << 26), 0);
  CHECK_EQ(mdb_env_open(env, path.c_str(), MDB_NOSYNC, 0664), 0);
  CHECK_EQ(mdb_txn_begin(env, nullptr, 0, &txn), 0);
  CHECK_EQ(mdb_dbi_open(txn, nullptr, 0, &dbi), 0);
  for (const auto& entry : entries) {
    MDB_val key = {entry.first.size(), const_cast<char*>(entry.first.data())};
    MDB_val value = {entry.second.size(), const_cast<char*>(entry.second.data())};
    CHECK_EQ(mdb_put(txn, dbi, &key, &value, 0), 0);
  }
  CHECK_EQ(mdb_txn_commit(txn), 0);
  mdb_env_close(env);
  boost::filesystem::remove(path + "/lock.mdb");
}

string Key(int record) {
  char key[32];
  snprintf(key, sizeof(key), "%08d_face", record);
  return key;
}

// Noise, so that no two crops of any two images are alike.
cv::Mat Image(int record, int height = kHeight, int width = kWidth) {
  std::mt19937 random(record + 1);
  cv::Mat image(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        image.at<cv::Vec3b>(y, x)[c] = random() % 256;
      }
    }
  }
  return image;
}

// The record's number in balanced ternary, so that the labels tell which record one sees.
vector<int> Labels(int record) {
  vector<int> labels(kLabels);
  for (int& label : labels) {
    label = record % 3 == 2 ? -1 : record % 3;
    record = (record - label) / 3;
  }
  return labels;
}

template <typename Dtype>
int RecordOf(const Dtype* labels) {
  int record = 0;
  for (int k = kLabels - 1; k >= 0; --k) {
    record = 3 * record + static_cast<int>(labels[k]);
  }
  return record;
}

Datum MakeDatum(const cv::Mat& image, const vector<int>& labels, const string& extension = ".png") {
  vector<uchar> bytes;
  CHECK(cv::imencode(extension, image, bytes));
  Datum datum;
  datum.set_channels(image.channels());
  datum.set_height(image.rows);
  datum.set_width(image.cols);
  datum.set_encoded(true);
  datum.set_data(bytes.data(), bytes.size());
  for (int label : labels) {
    datum.add_labels(label);
  }
  return datum;
}

Datum MakeRawDatum(const cv::Mat& image, const vector<int>& labels) {
  Datum datum = MakeDatum(image, labels);
  datum.set_encoded(false);
  datum.clear_data();
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < image.rows; ++y) {
      for (int x = 0; x < image.cols; ++x) {
        datum.mutable_data()->push_back(image.at<cv::Vec3b>(y, x)[c]);
      }
    }
  }
  return datum;
}

Entries MakeEntries(int records = kRecords) {
  Entries entries;
  for (int i = 0; i < records; ++i) {
    entries.push_back({Key(i), MakeDatum(Image(i), Labels(i)).SerializeAsString()});
  }
  return entries;
}

LayerParameter MakeParam(const string& source, Phase phase, int batch_size,
                         const string& more = "") {
  LayerParameter param;
  CHECK(google::protobuf::TextFormat::ParseFromString(more, &param)) << more;
  param.set_name("faces");
  param.set_type("MultiLabelData");
  param.set_phase(phase);
  param.mutable_multi_label_data_param()->set_source(source);
  param.mutable_multi_label_data_param()->set_batch_size(batch_size);
  return param;
}

// What the layer gave for one image.
template <typename Dtype>
struct Sample {
  int record;
  vector<Dtype> labels, data;
  bool operator==(const Sample& other) const {
    return record == other.record && labels == other.labels && data == other.data;
  }
};

template <typename Dtype>
vector<Sample<Dtype> > RunLayer(const LayerParameter& param, int batches, unsigned seed = 1701) {
  Caffe::set_random_seed(seed);
  Blob<Dtype> data, labels;
  const vector<Blob<Dtype>*> bottom, top = {&data, &labels};
  MultiLabelDataLayer<Dtype> layer(param);
  layer.SetUp(bottom, top);
  vector<Sample<Dtype> > samples;
  for (int batch = 0; batch < batches; ++batch) {
    layer.Forward(bottom, top);
    for (int i = 0; i < data.shape(0); ++i) {
      Sample<Dtype> sample;
      const int size = data.count(1), count = labels.count(1);
      const Dtype* image = data.cpu_data() + i * size;
      const Dtype* label = labels.cpu_data() + i * count;
      sample.data = vector<Dtype>(image, image + size);
      sample.labels = vector<Dtype>(label, label + count);
      sample.record = count == kLabels ? RecordOf(sample.labels.data()) : -1;
      samples.push_back(sample);
    }
  }
  return samples;
}

template <typename Dtype>
vector<int> Records(const vector<Sample<Dtype> >& samples) {
  vector<int> records;
  for (const Sample<Dtype>& sample : samples) {
    records.push_back(sample.record);
  }
  return records;
}

vector<int> Range(int n) {
  vector<int> range(n);
  for (int i = 0; i < n; ++i) {
    range[i] = i;
  }
  return range;
}

vector<int> Sorted(vector<int> values) {
  std::sort(values.begin(), values.end());
  return values;
}

vector<int> Slice(const vector<int>& values, int first, int count) {
  return vector<int>(values.begin() + first, values.begin() + first + count);
}

struct Crop {
  int y, x;
  bool mirrored;
};

// (pixel - mean) * scale of a crop, written down from the definition. The mean is a function of
// channel and of the pixel's place in the whole image.
template <typename Mean>
vector<double> Transformed(const cv::Mat& image, Crop crop, int height, int width, Mean mean,
                           double scale) {
  vector<double> values;
  for (int c = 0; c < 3; ++c) {
    for (int h = 0; h < height; ++h) {
      for (int w = 0; w < width; ++w) {
        const int y = crop.y + h;
        const int x = crop.x + (crop.mirrored ? width - 1 - w : w);
        values.push_back((image.at<cv::Vec3b>(y, x)[c] - mean(c, y, x)) * scale);
      }
    }
  }
  return values;
}

double NoMean(int c, int y, int x) { return 0; }

template <typename Dtype>
bool Near(const vector<Dtype>& found, const vector<double>& expected) {
  if (found.size() != expected.size()) {
    return false;
  }
  for (size_t i = 0; i < found.size(); ++i) {
    if (std::abs(found[i] - expected[i]) > 1e-4) {
      return false;
    }
  }
  return true;
}

// All crops of the sample's image that give its data; one, if the layer is right.
template <typename Dtype, typename Mean>
vector<Crop> FindCrops(const Sample<Dtype>& sample, Mean mean, double scale) {
  const cv::Mat image = Image(sample.record);
  vector<Crop> found;
  for (int y = 0; y <= kHeight - kCrop; ++y) {
    for (int x = 0; x <= kWidth - kCrop; ++x) {
      for (bool mirrored : {false, true}) {
        const Crop crop = {y, x, mirrored};
        if (Near(sample.data, Transformed(image, crop, kCrop, kCrop, mean, scale))) {
          found.push_back(crop);
        }
      }
    }
  }
  return found;
}

// Puts Caffe's parallel state back, whatever happens in between.
class SolverGuard {
 public:
  SolverGuard(int rank, int count) {
    Caffe::set_solver_rank(rank);
    Caffe::set_solver_count(count);
  }
  ~SolverGuard() {
    Caffe::set_solver_rank(0);
    Caffe::set_solver_count(1);
  }
};

const char kCropMirror[] = "transform_param { crop_size: 6 mirror: true } ";

}  // namespace

template <typename TypeParam>
class MultiLabelDataLayerTest : public MultiDeviceTest<TypeParam> {
  typedef typename TypeParam::Dtype Dtype;

 protected:
  MultiLabelDataLayerTest() : source_(dir_ / "lmdb") { WriteLmdb(source_, MakeEntries()); }

  TempDir dir_;
  string source_;
};

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
  BlobProto proto;
  for (int dim : {1, 3, kHeight, kWidth}) {
    proto.mutable_shape()->add_dim(dim);
  }
  for (int i = 0; i < 3 * kHeight * kWidth; ++i) {
    proto.add_data(
        static_cast<float>(mean(i / (kHeight * kWidth), i / kWidth % kHeight, i % kWidth)));
  }
  WriteProtoToBinaryFile(proto, mean_file);
  for (const char* threads : {"1", "3"}) {
    const string text = "transform_param { crop_size: 6 mirror: true scale: 0.5 mean_file: '" +
                        mean_file + "' } multi_label_data_param { threads: " + threads + " }";
    for (const Sample<Dtype>& sample :
         RunLayer<Dtype>(MakeParam(this->source_, TRAIN, kRecords, text), 2)) {
      EXPECT_EQ(FindCrops(sample, mean, 0.5).size(), 1u);
    }
  }
}

TYPED_TEST(MultiLabelDataLayerTest, EveryRecordOnceAnEpochInANewOrder) {
  typedef typename TypeParam::Dtype Dtype;
  const int kEpochs = 6;
  // 7 does not divide 23: batches go on across the epochs' borders.
  const vector<int> records =
      Records(RunLayer<Dtype>(MakeParam(this->source_, TRAIN, 7), kEpochs * kRecords / 7 + 1));
  std::set<vector<int> > orders = {Range(kRecords)};
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    const vector<int> order = Slice(records, epoch * kRecords, kRecords);
    EXPECT_EQ(Sorted(order), Range(kRecords)) << epoch;
    orders.insert(order);
  }
  EXPECT_EQ(static_cast<int>(orders.size()), kEpochs + 1);
}

TYPED_TEST(MultiLabelDataLayerTest, ShuffleCanBeChosen) {
  typedef typename TypeParam::Dtype Dtype;
  EXPECT_EQ(Records(RunLayer<Dtype>(MakeParam(this->source_, TRAIN, kRecords,
                                              "multi_label_data_param { shuffle: false }"),
                                    1)),
            Range(kRecords));
  const vector<int> shuffled = Records(RunLayer<Dtype>(
      MakeParam(this->source_, TEST, kRecords, "multi_label_data_param { shuffle: true }"), 1));
  EXPECT_NE(shuffled, Range(kRecords));
  EXPECT_EQ(Sorted(shuffled), Range(kRecords));
}

TYPED_TEST(MultiLabelDataLayerTest, ThreadsDoNotChangeTheBatches) {
  typedef typename TypeParam::Dtype Dtype;
  const int kBatches = 12;
  vector<vector<Sample<Dtype> > > runs;
  for (const char* threads : {"1", "2", "5", "0"}) {
    runs.push_back(RunLayer<Dtype>(
        MakeParam(this->source_, TRAIN, 9,
                  kCropMirror + string("multi_label_data_param { threads: ") + threads + " }"),
        kBatches));
  }
  for (size_t i = 1; i < runs.size(); ++i) {
    EXPECT_TRUE(runs[i] == runs[0]) << i;
  }
}

// The p-th image of a run is the same one however the run is cut into batches.
TYPED_TEST(MultiLabelDataLayerTest, BatchSizeAndPrefetchDoNotChangeTheImages) {
  typedef typename TypeParam::Dtype Dtype;
  const vector<Sample<Dtype> > by_12 =
      RunLayer<Dtype>(MakeParam(this->source_, TRAIN, 12, kCropMirror), 5);
  const vector<Sample<Dtype> > by_5 =
      RunLayer<Dtype>(MakeParam(this->source_, TRAIN, 5,
                                kCropMirror + string("multi_label_data_param { prefetch: 1 }")),
                      12);
  const vector<Sample<Dtype> > by_20 =
      RunLayer<Dtype>(MakeParam(this->source_, TRAIN, 20,
                                kCropMirror + string("multi_label_data_param { prefetch: 9 }")),
                      3);
  EXPECT_TRUE(by_12 == by_5);
  EXPECT_TRUE(by_12 == by_20);
}

TYPED_TEST(MultiLabelDataLayerTest, SeedsChangeTheBatches) {
  typedef typename TypeParam::Dtype Dtype;
  const LayerParameter param = MakeParam(this->source_, TRAIN, kRecords, kCropMirror);
  const vector<Sample<Dtype> > first = RunLayer<Dtype>(param, 2, 1),
                               again = RunLayer<Dtype>(param, 2, 1);
  const vector<Sample<Dtype> > second = RunLayer<Dtype>(param, 2, 2);
  EXPECT_TRUE(first == again);
  EXPECT_NE(Records(first), Records(second));
  // The crops too, not the order alone.
  const LayerParameter in_order =
      MakeParam(this->source_, TRAIN, kRecords,
                kCropMirror + string("multi_label_data_param { shuffle: false }"));
  EXPECT_FALSE(RunLayer<Dtype>(in_order, 1, 1) == RunLayer<Dtype>(in_order, 1, 2));
}

TYPED_TEST(MultiLabelDataLayerTest, CropsDifferFromEpochToEpoch) {
  typedef typename TypeParam::Dtype Dtype;
  const vector<Sample<Dtype> > samples =
      RunLayer<Dtype>(MakeParam(this->source_, TRAIN, kRecords,
                                kCropMirror + string("multi_label_data_param { shuffle: false }")),
                      2);
  int same = 0;
  for (int i = 0; i < kRecords; ++i) {
    same += samples[i] == samples[i + kRecords];
  }
  EXPECT_LT(same, kRecords / 3);
}

TYPED_TEST(MultiLabelDataLayerTest, SolversShareTheRecordsInTrain) {
  typedef typename TypeParam::Dtype Dtype;
  const int kSolvers = 3;
  for (const char* shuffle : {"true", "false"}) {
    vector<int> all;
    for (int rank = 0; rank < kSolvers; ++rank) {
      SolverGuard guard(rank, kSolvers);
      const int own = (kRecords - rank + kSolvers - 1) / kSolvers;
      // Every rank has its own seed, as the solver adds the rank to random_seed.
      const vector<int> records = Records(
          RunLayer<Dtype>(MakeParam(this->source_, TRAIN, own,
                                    string("multi_label_data_param { shuffle: ") + shuffle + " }"),
                          3, 1701 + rank));
      for (int epoch = 0; epoch < 3; ++epoch) {
        const vector<int> part = Sorted(Slice(records, epoch * own, own));
        for (int i = 0; i < own; ++i) {
          EXPECT_EQ(part[i], rank + i * kSolvers);
        }
      }
      all.insert(all.end(), records.begin(), records.begin() + own);
    }
    EXPECT_EQ(Sorted(all), Range(kRecords));
  }
}

TYPED_TEST(MultiLabelDataLayerTest, SolversWithOneSeedCropDifferently) {
  typedef typename TypeParam::Dtype Dtype;
  WriteLmdb(this->dir_ / "one", {{"a", MakeDatum(Image(0), Labels(0)).SerializeAsString()},
                                 {"b", MakeDatum(Image(0), Labels(0)).SerializeAsString()}});
  const LayerParameter param = MakeParam(this->dir_ / "one", TRAIN, 20, kCropMirror);
  vector<vector<Sample<Dtype> > > runs;
  for (int rank = 0; rank < 2; ++rank) {
    SolverGuard guard(rank, 2);
    runs.push_back(RunLayer<Dtype>(param, 1));
  }
  EXPECT_FALSE(runs[0] == runs[1]);
}

TYPED_TEST(MultiLabelDataLayerTest, EverySolverReadsAllInTest) {
  typedef typename TypeParam::Dtype Dtype;
  SolverGuard guard(2, 3);
  EXPECT_EQ(Records(RunLayer<Dtype>(MakeParam(this->source_, TEST, kRecords), 1)), Range(kRecords));
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

TYPED_TEST(MultiLabelDataLayerTest, GreyImagesBecomeColour) {
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

// --- Faults. Each stops the run with a message that says what, where and what to do.

class MultiLabelDataLayerDeathTest : public ::testing::Test {
 protected:
  MultiLabelDataLayerDeathTest() : source_(dir_ / "lmdb") {
    Caffe::set_mode(Caffe::CPU);
    // The layer has threads, which a plain fork would lose.
    ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  }

  // An LMDB of good records, but for number 3.
  void WriteWithBad(const Datum& bad) { WriteWithBad(bad.SerializeAsString()); }
  void WriteWithBad(const string& bad) {
    Entries entries = MakeEntries(6);
    entries[3] = {Key(3), bad};
    WriteLmdb(source_, entries);
  }

  void Read(const string& more = "", Phase phase = TEST) {
    RunLayer<float>(MakeParam(source_, phase, 2, more), 4);
  }

  static string Bad(const string& fault) {
    return "MultiLabelData layer 'faces': record '00000003_face' of LMDB '.*/lmdb': " + fault;
  }

  TempDir dir_;
  string source_;
};

TEST_F(MultiLabelDataLayerDeathTest, NoSuchFolder) {
  EXPECT_DEATH(Read(), "layer 'faces': LMDB '.*/lmdb' cannot be opened: No such file");
  source_ = "";
  EXPECT_DEATH(Read(), "set multi_label_data_param.source");
}

TEST_F(MultiLabelDataLayerDeathTest, NotAnLmdb) {
  std::ofstream(source_) << "a file";
  EXPECT_DEATH(Read(), "LMDB '.*/lmdb' is a file");
  boost::filesystem::remove(source_);
  boost::filesystem::create_directories(source_);
  EXPECT_DEATH(Read(), "LMDB '.*/lmdb' is not an LMDB: data.mdb in it cannot be found");
  std::ofstream(source_ + "/data.mdb").close();
  EXPECT_DEATH(Read(), "LMDB '.*/lmdb' is not an LMDB: data.mdb has 0 bytes");
  std::ofstream(source_ + "/data.mdb") << string(100000, 'x');
  EXPECT_DEATH(Read(), "LMDB '.*/lmdb' cannot be opened: .*data.mdb is not an LMDB or is damaged");
}

TEST_F(MultiLabelDataLayerDeathTest, EmptyLmdb) {
  WriteLmdb(source_, {});
  EXPECT_DEATH(Read(), "LMDB '.*/lmdb' is empty");
}

TEST_F(MultiLabelDataLayerDeathTest, TruncatedLmdb) {
  WriteLmdb(source_, MakeEntries());
  const string file = source_ + "/data.mdb";
  const uint64_t size = boost::filesystem::file_size(file);
  const uint64_t kSizes[] = {size - 1, size / 2, 5000};
  for (uint64_t left : kSizes) {
    boost::filesystem::resize_file(file, left);
    EXPECT_DEATH(Read(), "LMDB '.*/lmdb' is truncated: data.mdb has " + std::to_string(left) +
                             " bytes of " + std::to_string(size));
  }
  // Not even the header is whole.
  boost::filesystem::resize_file(file, 100);
  EXPECT_DEATH(Read(), "LMDB '.*/lmdb' cannot be opened: .*is not an LMDB or is damaged");
}

TEST_F(MultiLabelDataLayerDeathTest, WrongLabelCount) {
  WriteWithBad(MakeDatum(Image(3), {1, 0, -1, 1}));
  EXPECT_DEATH(Read(), Bad("it has 4 labels instead of 5 .the first record's number"));
  EXPECT_DEATH(Read("multi_label_data_param { num_labels: 5 }"),
               Bad("it has 4 labels instead of 5 .num_labels"));
  EXPECT_DEATH(Read("multi_label_data_param { num_labels: 12 }"),
               "record '00000000_face' .*it has 5 labels instead of 12");
  WriteWithBad(MakeDatum(Image(3), {}));
  EXPECT_DEATH(Read(), Bad("it has no labels"));
}

TEST_F(MultiLabelDataLayerDeathTest, WrongLabel) {
  WriteWithBad(MakeDatum(Image(3), {1, 0, 9, -1, 1}));
  EXPECT_DEATH(Read(), Bad("its label 2 is 9"));
  WriteWithBad(MakeDatum(Image(3), {1, 0, 1, -1, -2}));
  EXPECT_DEATH(Read(), Bad("its label 4 is -2"));
}

TEST_F(MultiLabelDataLayerDeathTest, UndecodableImage) {
  Datum datum = MakeDatum(Image(3), Labels(3));
  const string png = datum.data();
  datum.set_data("no image");
  WriteWithBad(datum);
  // Whatever the number of threads, in TRAIN as in TEST.
  EXPECT_DEATH(Read(), Bad("its image of 8 bytes cannot be decoded"));
  EXPECT_DEATH(Read("multi_label_data_param { threads: 1 }", TRAIN), Bad("its image of 8 bytes"));
  EXPECT_DEATH(Read("multi_label_data_param { threads: 5 }", TRAIN), Bad("its image of 8 bytes"));
  datum.set_data("");
  WriteWithBad(datum);
  EXPECT_DEATH(Read(), Bad("its image of 0 bytes cannot be decoded"));
  datum.set_data(png.substr(0, png.size() / 2));
  WriteWithBad(datum);
  EXPECT_DEATH(Read(), Bad("its image of [0-9]* bytes cannot be decoded"));
}

// OpenCV itself would take it for a face with a grey lower half.
TEST_F(MultiLabelDataLayerDeathTest, JpegCutOff) {
  Datum datum = MakeDatum(Image(3, 64, 64), Labels(3), ".jpg");
  datum.mutable_data()->resize(datum.data().size() * 3 / 4);
  WriteWithBad(datum);
  EXPECT_DEATH(Read("transform_param { crop_size: 6 }"), Bad("its image of .* cannot be decoded"));
}

TEST_F(MultiLabelDataLayerDeathTest, FirstRecordIsCheckedToo) {
  Entries entries = MakeEntries(3);
  Datum datum = MakeDatum(Image(0), Labels(0));
  datum.set_data("no image");
  entries[0].second = datum.SerializeAsString();
  WriteLmdb(source_, entries);
  EXPECT_DEATH(Read(), "record '00000000_face' of LMDB '.*': its image .* cannot be decoded");
}

TEST_F(MultiLabelDataLayerDeathTest, NotADatum) {
  WriteWithBad(string("\xff\xff\xff no message"));
  EXPECT_DEATH(Read(), Bad("it is not a Datum"));
}

TEST_F(MultiLabelDataLayerDeathTest, WrongRawImage) {
  Datum datum = MakeRawDatum(Image(3), Labels(3));
  datum.set_channels(1);
  WriteWithBad(datum);
  EXPECT_DEATH(Read(), Bad("its raw image has 1 channels instead of 3"));
  datum.set_channels(3);
  datum.set_height(kHeight + 1);
  WriteWithBad(datum);
  EXPECT_DEATH(Read(), Bad("its raw image has 240 bytes of data instead of 3 x 9 x 10"));
  datum.set_height(0);
  WriteWithBad(datum);
  EXPECT_DEATH(Read(), Bad("its raw image has 240 bytes of data instead of 3 x 0 x 10"));
  datum.set_height(kHeight);
  datum.clear_data();
  datum.add_float_data(1);
  WriteWithBad(datum);
  EXPECT_DEATH(Read(), Bad("its raw image has 0 bytes .*float_data are not supported"));
}

TEST_F(MultiLabelDataLayerDeathTest, WrongSize) {
  WriteWithBad(MakeDatum(Image(3, kHeight, kWidth + 1), Labels(3)));
  EXPECT_DEATH(Read(), Bad("its image is 8 x 11, but the first record's is 8 x 10"));
  WriteWithBad(MakeDatum(Image(3, 5, 20), Labels(3)));
  EXPECT_DEATH(Read("transform_param { crop_size: 6 }"),
               Bad("its image is 5 x 20, smaller than crop_size 6"));
}

TEST_F(MultiLabelDataLayerDeathTest, WrongMean) {
  WriteLmdb(source_, MakeEntries());
  const string mean_file = dir_ / "mean.binaryproto";
  const string text = "transform_param { crop_size: 6 mean_file: '" + mean_file + "' ";
  EXPECT_DEATH(Read(text + "}"), "mean.binaryproto");
  BlobProto proto;
  for (int dim : {1, 3, kCrop, kCrop}) {
    proto.mutable_shape()->add_dim(dim);
  }
  for (int i = 0; i < 3 * kCrop * kCrop; ++i) {
    proto.add_data(0);
  }
  WriteProtoToBinaryFile(proto, mean_file);
  EXPECT_DEATH(Read(text + "}"),
               "record '00000000_face' .*its image is 1 x 3 x 8 x 10, but the "
               "mean of mean_file '.*mean.binaryproto' is 1 3 6 6 .108.");
  EXPECT_DEATH(Read(text + "mean_value: 1 }"), "mean_file and mean_value");
  EXPECT_DEATH(Read("transform_param { mean_value: [1, 2] }"), "2 values of mean_value");
}

TEST_F(MultiLabelDataLayerDeathTest, WrongParameters) {
  WriteLmdb(source_, MakeEntries(2));
  EXPECT_DEATH(RunLayer<float>(MakeParam(source_, TEST, 0), 1), "batch_size must be at least 1");
  EXPECT_DEATH(Read("multi_label_data_param { prefetch: 0 }"), "prefetch must be at least 1");
  EXPECT_DEATH(Read("multi_label_data_param { threads: 5000 }"), "threads must be at most");
  EXPECT_DEATH(Read("transform_param { force_gray: true }"), "force_gray is not supported");
  SolverGuard guard(0, 3);
  EXPECT_DEATH(Read("", TRAIN), "fewer records than there are solvers");
}

// --- The parts.

TEST(RecordOrderTest, EpochsArePermutationsOfTheOwnRecords) {
  for (size_t ranks : {1, 2, 5}) {
    std::set<size_t> all;
    for (size_t rank = 0; rank < ranks; ++rank) {
      caffe_ext::RecordOrder order(17, rank, ranks, true, 99);
      for (uint64_t epoch = 0; epoch < 4; ++epoch) {
        std::set<size_t> records;
        for (size_t i = 0; i < order.size(); ++i) {
          const size_t record = order[epoch * order.size() + i];
          EXPECT_EQ(record % ranks, rank);
          records.insert(record);
        }
        EXPECT_EQ(records.size(), order.size());
        all.insert(records.begin(), records.end());
      }
    }
    EXPECT_EQ(all.size(), 17u);
    EXPECT_EQ(*all.rbegin(), 16u);
  }
}

// Any position, however far, without walking there.
TEST(RecordOrderTest, IsAFunctionOfSeedAndPosition) {
  caffe_ext::RecordOrder walked(10, 0, 1, true, 7);
  for (uint64_t position = 0; position < 1000; ++position) {
    caffe_ext::RecordOrder jumped(10, 0, 1, true, 7);
    EXPECT_EQ(jumped[position], walked[position]);
  }
  EXPECT_LT(walked[uint64_t(1) << 60], 10u);
}

// Each of the 24 orders of four records comes up as often as chance has it.
TEST(RecordOrderTest, AllOrdersAreEquallyLikely) {
  std::map<vector<size_t>, int> counts;
  const int kEpochs = 24 * 500;
  caffe_ext::RecordOrder order(4, 0, 1, true, 1);
  for (uint64_t epoch = 0; epoch < kEpochs; ++epoch) {
    ++counts[{order[4 * epoch], order[4 * epoch + 1], order[4 * epoch + 2], order[4 * epoch + 3]}];
  }
  ASSERT_EQ(counts.size(), 24u);
  double chi_square = 0;
  for (const auto& count : counts) {
    chi_square += (count.second - 500.0) * (count.second - 500.0) / 500.0;
  }
  EXPECT_LT(chi_square, 60);  // 23 degrees of freedom: less than one in 10,000
}

TEST(RecordOrderTest, DrawsLookIndependent) {
  // Neighbours in stream and in number share no bits beyond chance: 32 of 64 differ on average.
  double differing = 0;
  const int kDraws = 2000;
  for (uint64_t i = 0; i < kDraws; ++i) {
    differing += __builtin_popcountll(caffe_ext::Draw(5, i) ^ caffe_ext::Draw(5, i + 1));
    differing += __builtin_popcountll(caffe_ext::Draw(i, 5) ^ caffe_ext::Draw(i + 1, 5));
  }
  EXPECT_NEAR(differing / (2 * kDraws), 32, 5 * 4 / std::sqrt(2.0 * kDraws));
  EXPECT_NE(caffe_ext::Draw(0, 0), 0u);
  EXPECT_NE(caffe_ext::Draw(1, 2), caffe_ext::Draw(2, 1));
  for (uint64_t n : {1, 2, 3, 31}) {
    std::set<uint64_t> values;
    for (uint64_t i = 0; i < 1000; ++i) {
      values.insert(caffe_ext::Below(caffe_ext::Draw(3, i), n));
    }
    EXPECT_EQ(values.size(), n);
    EXPECT_EQ(*values.rbegin(), n - 1);
  }
}

TEST(WorkerPoolTest, DoesEachItemOnce) {
  for (int workers : {1, 2, 7}) {
    caffe_ext::WorkerPool pool(workers);
    EXPECT_EQ(pool.size(), workers);
    for (size_t items : {0, 1, 3, 100}) {
      vector<std::atomic<int> > done(items);
      for (std::atomic<int>& count : done) {
        count = 0;
      }
      std::atomic<bool> strange(false);
      pool.Run(items, [&](int worker, size_t item) {
        strange = strange || worker < 0 || worker >= workers;
        ++done[item];
      });
      EXPECT_FALSE(strange);
      for (const std::atomic<int>& count : done) {
        EXPECT_EQ(count, 1);
      }
    }
  }
}

TEST(LmdbIndexTest, ValuesAndKeysInKeyOrder) {
  TempDir dir;
  Entries entries;
  for (int i = 0; i < 300; ++i) {
    // Small values live beside their keys, large ones on pages of their own.
    entries.push_back({Key(i), string(i % 3 ? 10 : 9000, static_cast<char>(i))});
  }
  entries.push_back({string("\x7f\x01z"), "last"});
  WriteLmdb(dir / "lmdb", entries);
  const caffe_ext::LmdbIndex index(dir / "lmdb");
  ASSERT_EQ(index.size(), entries.size());
  for (size_t i = 0; i < index.size(); ++i) {
    EXPECT_EQ(string(index[i].data, index[i].size), entries[i].second) << i;
  }
  EXPECT_EQ(index.Key(0), Key(0));
  EXPECT_EQ(index.Key(299), Key(299));
  EXPECT_EQ(index.Key(300), "\\x7f\\x01z");
  EXPECT_THROW(index.Key(301), std::runtime_error);
  EXPECT_LE(sizeof(caffe_ext::LmdbIndex::Value), 16u);
}

}  // namespace caffe
