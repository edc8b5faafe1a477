// What the tests of MultiLabelData share: small LMDBs of noise whose labels tell the record, runs
// of the layer, and the transformation written down from its definition.
#ifndef TESTS_CPP_MULTI_LABEL_DATA_FIXTURE_HPP_
#define TESTS_CPP_MULTI_LABEL_DATA_FIXTURE_HPP_

#include <lmdb.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "boost/filesystem.hpp"
#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layers/multi_label_data_layer.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/util/io.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "opencv2/core/core.hpp"
#include "opencv2/imgcodecs/imgcodecs.hpp"

namespace caffe {

const int kRecords = 23;
const int kLabels = 5;
const int kHeight = 8;
const int kWidth = 10;
const int kCrop = 6;

typedef vector<std::pair<string, string> > Entries;

// A folder that goes with the object. Death tests run a test again in a child process that has no
// chance to clean up: the child's folder lies in its parent's, whose path it inherits.
class TempDir {
 public:
  TempDir() {
    const char* parent = getenv(kVariable);
    is_outermost_ = parent == nullptr;
    const boost::filesystem::path above =
        parent ? boost::filesystem::path(parent) : boost::filesystem::temp_directory_path();
    path_ = boost::filesystem::unique_path(above / "drml_test.%%%%-%%%%-%%%%").string();
    boost::filesystem::create_directory(path_);
    if (is_outermost_) {
      setenv(kVariable, path_.c_str(), 1);
    }
  }
  ~TempDir() {
    if (is_outermost_) {
      unsetenv(kVariable);
    }
    boost::filesystem::remove_all(path_);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  string operator/(const string& name) const { return path_ + "/" + name; }

 private:
  static constexpr const char* kVariable = "DRML_TEST_FOLDER";

  string path_;
  bool is_outermost_;
};

inline void WriteLmdb(const string& path, const Entries& entries) {
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

inline string Key(int record) {
  char key[32];
  snprintf(key, sizeof(key), "%08d_face", record);
  return key;
}

// Noise, so that no two crops of any two images are alike.
inline cv::Mat Image(int record, int height = kHeight, int width = kWidth) {
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
inline vector<int> Labels(int record) {
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

inline Datum MakeDatum(const cv::Mat& image, const vector<int>& labels,
                       const string& extension = ".png") {
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

inline Datum MakeRawDatum(const cv::Mat& image, const vector<int>& labels) {
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

inline Entries MakeEntries(int records = kRecords) {
  Entries entries;
  for (int i = 0; i < records; ++i) {
    entries.push_back({Key(i), MakeDatum(Image(i), Labels(i)).SerializeAsString()});
  }
  return entries;
}

inline LayerParameter MakeParam(const string& source, Phase phase, int batch_size,
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

// A mean image, each value from its channel and place.
template <typename Mean>
void WriteMean(const string& file, int height, int width, Mean mean) {
  BlobProto proto;
  for (int dim : {1, 3, height, width}) {
    proto.mutable_shape()->add_dim(dim);
  }
  for (int i = 0; i < 3 * height * width; ++i) {
    proto.add_data(static_cast<float>(mean(i / (height * width), i / width % height, i % width)));
  }
  WriteProtoToBinaryFile(proto, file);
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

template <typename Dtype, typename LayerType = MultiLabelDataLayer<Dtype> >
vector<Sample<Dtype> > RunLayer(const LayerParameter& param, int batches, unsigned seed = 1701) {
  Caffe::set_random_seed(seed);
  Blob<Dtype> data, labels;
  const vector<Blob<Dtype>*> bottom, top = {&data, &labels};
  LayerType layer(param);
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

inline vector<int> Range(int n) {
  vector<int> range(n);
  for (int i = 0; i < n; ++i) {
    range[i] = i;
  }
  return range;
}

inline vector<int> Sorted(vector<int> values) {
  std::sort(values.begin(), values.end());
  return values;
}

inline vector<int> Slice(const vector<int>& values, int first, int count) {
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

inline double NoMean(int c, int y, int x) { return 0; }

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

template <typename TypeParam>
class MultiLabelDataLayerTest : public MultiDeviceTest<TypeParam> {
  typedef typename TypeParam::Dtype Dtype;

 protected:
  MultiLabelDataLayerTest() : source_(dir_ / "lmdb") { WriteLmdb(source_, MakeEntries()); }

  TempDir dir_;
  string source_;
};

}  // namespace caffe

#endif  // TESTS_CPP_MULTI_LABEL_DATA_FIXTURE_HPP_
