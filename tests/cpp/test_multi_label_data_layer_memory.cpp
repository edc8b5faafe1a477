// What the data layer takes in memory: by record, and over many batches. tools/long_run.py measures
// the same over more.
#include <string>
#include <vector>

#include "multi_label_data_fixture.hpp"
#include "process_memory.hpp"

namespace caffe {

class MultiLabelDataMemoryTest : public ::testing::Test {
 protected:
  MultiLabelDataMemoryTest() { Caffe::set_mode(Caffe::CPU); }

  // Raw records of 4 x 4 pixels, written in the order of their keys without a copy in memory.
  string WriteMany(int records) {
    const string path = dir_ / ("lmdb" + std::to_string(records));
    boost::filesystem::create_directories(path);
    MDB_env* env;
    MDB_txn* txn;
    MDB_dbi dbi;
    CHECK_EQ(mdb_env_create(&env), 0);
    CHECK_EQ(mdb_env_set_mapsize(env, size_t(1) << 30), 0);
    CHECK_EQ(mdb_env_open(env, path.c_str(), MDB_NOSYNC | MDB_NOLOCK, 0664), 0);
    Datum datum = MakeRawDatum(Image(0, 4, 4), Labels(0));
    for (int i = 0; i < records;) {
      CHECK_EQ(mdb_txn_begin(env, nullptr, 0, &txn), 0);
      CHECK_EQ(mdb_dbi_open(txn, nullptr, 0, &dbi), 0);
      for (const int end = std::min(records, i + 50000); i < end; ++i) {
        string name = Key(i), bytes = datum.SerializeAsString();
        MDB_val key = {name.size(), &name[0]};
        MDB_val value = {bytes.size(), &bytes[0]};
        CHECK_EQ(mdb_put(txn, dbi, &key, &value, MDB_APPEND), 0);
      }
      CHECK_EQ(mdb_txn_commit(txn), 0);
    }
    mdb_env_close(env);
    return path;
  }

  TempDir dir_;
};

TEST_F(MultiLabelDataMemoryTest, AMillionRecords) {
  // The first one pays for what a process needs once.
  const int kSizes[] = {1001, 1000, 1000000};
  double anonymous[3], mapped[3];
  for (int k = 0; k < 3; ++k) {
    const string source = WriteMany(kSizes[k]);
    const double anonymous_before = AnonymousBytes(), mapped_before = StatusBytes("RssFile");
    Blob<float> data, labels;
    const vector<Blob<float>*> bottom, top = {&data, &labels};
    MultiLabelDataLayer<float> layer(MakeParam(source, TRAIN, 4));
    layer.SetUp(bottom, top);
    layer.Forward(bottom, top);  // the first batch comes after the first shuffle
    anonymous[k] = AnonymousBytes() - anonymous_before;
    mapped[k] = StatusBytes("RssFile") - mapped_before;
  }
  const double records = kSizes[2] - kSizes[1];
  EXPECT_LT((anonymous[2] - anonymous[1]) / records, 16);
  // That both are at work: 10 bytes of the index, 4 of the order.
  EXPECT_GT((anonymous[2] - anonymous[1]) / records, 13);
  EXPECT_LT((mapped[2] - mapped[1]) / records, 2);
}

TEST_F(MultiLabelDataMemoryTest, FlatOverManyBatches) {
  Entries entries;
  for (int i = 0; i < 40; ++i) {
    // Of changing lengths, raw and encoded.
    const cv::Mat image = Image(i, kHeight + i % 7, kWidth + i % 5);
    const Datum datum = i % 3 ? MakeDatum(image, Labels(i)) : MakeRawDatum(image, Labels(i));
    entries.push_back({Key(i), datum.SerializeAsString()});
  }
  WriteLmdb(dir_ / "lmdb", entries);
  Blob<float> data, labels;
  const vector<Blob<float>*> bottom, top = {&data, &labels};
  MultiLabelDataLayer<float> layer(
      MakeParam(dir_ / "lmdb", TRAIN, 8,
                string(kCropMirror) + "multi_label_data_param { threads: 3 prefetch: 3 }"));
  layer.SetUp(bottom, top);
  double before = 0;
  for (int batch = 0; batch < 2000; ++batch) {
    if (batch == 200) {
      before = AnonymousBytes();
    }
    layer.Forward(bottom, top);
  }
  // 145 bytes a batch
  EXPECT_LT(AnonymousBytes() - before, 256 << 10);
}

}  // namespace caffe
