// An LMDB that another process exchanges, writes to or shortens while the layer reads it.
#include <chrono>  // NOLINT(build/c++11)
#include <fstream>
#include <iterator>
#include <string>
#include <thread>  // NOLINT(build/c++11)
#include <vector>

#include "../../src/layers/lmdb_index.hpp"
#include "boost/filesystem.hpp"
#include "multi_label_data_fixture.hpp"

namespace caffe {

class MultiLabelDataChangesTest : public ::testing::Test {
 protected:
  MultiLabelDataChangesTest() : source_(dir_ / "lmdb") {
    Caffe::set_mode(Caffe::CPU);
    // The layer has threads, which a plain fork would lose.
    ::testing::FLAGS_gtest_death_test_style = "threadsafe";
    WriteLmdb(source_, MakeEntries());
  }

  // Other labels in records of the same keys and lengths.
  static Entries OtherEntries() {
    Entries entries = MakeEntries();
    for (auto& entry : entries) {
      Datum datum;
      CHECK(datum.ParseFromString(entry.second));
      datum.set_labels(0, -datum.labels(0));
      entry.second = datum.SerializeAsString();
    }
    return entries;
  }

  static string Bytes(const string& path) {
    std::ifstream file(path.c_str(), std::ios::binary);
    return string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  }

  // As cp does it: the file stays, its content goes.
  static void WriteOver(const string& path, const string& bytes) {
    std::ofstream(path.c_str(), std::ios::binary) << bytes;
  }

  // Records of 40 batches, `change` made after the fifth.
  template <typename Change>
  vector<int> ReadOn(Change change) {
    // A file's time of writing goes by the ticks of the system's clock.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    Caffe::set_random_seed(1701);
    Blob<float> data, labels;
    const vector<Blob<float>*> bottom, top = {&data, &labels};
    MultiLabelDataLayer<float> layer(MakeParam(source_, TRAIN, 3));
    layer.SetUp(bottom, top);
    vector<int> records;
    for (int batch = 0; batch < 40; ++batch) {
      if (batch == 5) {
        change();
      }
      layer.Forward(bottom, top);
      for (int i = 0; i < 3; ++i) {
        records.push_back(RecordOf(labels.cpu_data() + i * kLabels));
      }
    }
    return records;
  }

  TempDir dir_;
  string source_;
};

typedef MultiLabelDataChangesTest MultiLabelDataChangesDeathTest;

TEST_F(MultiLabelDataChangesTest, ReplacedUnderItsName) {
  const vector<int> expected = ReadOn([] {});
  const string other = dir_ / "other", old = dir_ / "old";
  WriteLmdb(other, OtherEntries());
  FLAGS_logtostderr = true;
  ::testing::internal::CaptureStderr();
  const vector<int> records = ReadOn([&] {
    boost::filesystem::rename(source_, old);
    boost::filesystem::rename(other, source_);
  });
  EXPECT_EQ(records, expected);
  const string said = ::testing::internal::GetCapturedStderr();
  FLAGS_logtostderr = false;
  const string words = "lmdb' was moved, removed or replaced by another one";
  EXPECT_NE(said.find(words), string::npos) << said;
  EXPECT_EQ(said.find(words), said.rfind(words)) << "said more than once";
  // The next one opens what has the name now.
  EXPECT_NE(ReadOn([] {}), expected);
}

TEST_F(MultiLabelDataChangesTest, RemovedAndMadeAnew) {
  const vector<int> expected = ReadOn([] {});
  vector<int> records = ReadOn([&] {
    boost::filesystem::remove_all(source_);
    WriteLmdb(source_, OtherEntries());
  });
  EXPECT_EQ(records, expected);
  WriteLmdb(dir_ / "third", MakeEntries());
  source_ = dir_ / "third";
  records = ReadOn([&] { boost::filesystem::remove_all(source_); });
  EXPECT_EQ(records, expected);
}

TEST_F(MultiLabelDataChangesDeathTest, Truncated) {
  for (int left : {0, 5000}) {
    EXPECT_DEATH(ReadOn([&] { boost::filesystem::resize_file(source_ + "/data.mdb", left); }),
                 "MultiLabelData layer 'faces': LMDB '.*/lmdb' was truncated while it was read: "
                 "data.mdb has " +
                     std::to_string(left) + " bytes of .*write a new folder");
    boost::filesystem::remove_all(source_);
    WriteLmdb(source_, MakeEntries());
  }
}

TEST_F(MultiLabelDataChangesDeathTest, WrittenOver) {
  WriteLmdb(dir_ / "other", OtherEntries());
  const string other = Bytes(dir_ / "other/data.mdb");
  ASSERT_EQ(other.size(), boost::filesystem::file_size(source_ + "/data.mdb"));
  EXPECT_DEATH(ReadOn([&] { WriteOver(source_ + "/data.mdb", other); }),
               "layer 'faces': LMDB '.*/lmdb' was (written to|truncated) while it was read");
}

TEST_F(MultiLabelDataChangesDeathTest, RecordsAdded) {
  EXPECT_DEATH(ReadOn([&] { WriteLmdb(source_, {{Key(kRecords), MakeEntries(1)[0].second}}); }),
               "layer 'faces': LMDB '.*/lmdb' was written to while it was read");
}

// A writer that maps the file may leave its time of writing as it was.
TEST_F(MultiLabelDataChangesTest, ACommitIsSeenWhateverTheTimeOfWriting) {
  const string file = source_ + "/data.mdb";
  const std::time_t written = boost::filesystem::last_write_time(file);
  boost::filesystem::last_write_time(file, written);  // whole seconds
  const caffe_ext::LmdbIndex index(source_);
  EXPECT_EQ(index.Changed(), "");
  const string before = Bytes(file);
  WriteLmdb(source_, {{Key(5), "another value"}});
  // Every page of data as before, LMDB's first two as they are now; what grew is cut off again.
  string after = Bytes(file).substr(0, 8192) + before.substr(8192);
  WriteOver(file, after);
  boost::filesystem::last_write_time(file, written);
  EXPECT_NE(index.Changed().find("was written to"), string::npos);
  // Nothing of the map is touched then.
  EXPECT_EQ(index.Key(3), "number 3");
  WriteOver(file, before);
  boost::filesystem::last_write_time(file, written);
  EXPECT_EQ(index.Changed(), "");
  EXPECT_EQ(index.Key(3), Key(3));
  EXPECT_FALSE(index.Replaced());
}

TEST_F(MultiLabelDataChangesTest, ShortenedFilesEndNoReadWithASignal) {
  const caffe_ext::LmdbIndex index(source_);
  boost::filesystem::resize_file(source_ + "/data.mdb", 0);
  string value;
  EXPECT_EQ(index.Read(0, &value), "it cannot be read: data.mdb ends inside it");
  EXPECT_EQ(index.Key(0), "number 0");
}

}  // namespace caffe
