// Faults in LMDB, records and parameters. Each stops the run with a message that says what, where
// and what to do.
#include <cstdint>
#include <fstream>
#include <string>

#include "boost/filesystem.hpp"
#include "multi_label_data_fixture.hpp"

namespace caffe {

class MultiLabelDataFaultsDeathTest : public ::testing::Test {
 protected:
  MultiLabelDataFaultsDeathTest() : source_(dir_ / "lmdb") {
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

TEST_F(MultiLabelDataFaultsDeathTest, NoSuchFolder) {
  EXPECT_DEATH(Read(), "layer 'faces': LMDB '.*/lmdb' cannot be opened: No such file");
  source_ = "";
  EXPECT_DEATH(Read(), "set multi_label_data_param.source");
}

TEST_F(MultiLabelDataFaultsDeathTest, NotAnLmdb) {
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

TEST_F(MultiLabelDataFaultsDeathTest, EmptyLmdb) {
  WriteLmdb(source_, {});
  EXPECT_DEATH(Read(), "LMDB '.*/lmdb' is empty");
}

TEST_F(MultiLabelDataFaultsDeathTest, TruncatedLmdb) {
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

TEST_F(MultiLabelDataFaultsDeathTest, WrongLabelCount) {
  WriteWithBad(MakeDatum(Image(3), {1, 0, -1, 1}));
  EXPECT_DEATH(Read(), Bad("it has 4 labels instead of 5 .the first record's number"));
  EXPECT_DEATH(Read("multi_label_data_param { num_labels: 5 }"),
               Bad("it has 4 labels instead of 5 .num_labels"));
  EXPECT_DEATH(Read("multi_label_data_param { num_labels: 12 }"),
               "record '00000000_face' .*it has 5 labels instead of 12");
  WriteWithBad(MakeDatum(Image(3), {}));
  EXPECT_DEATH(Read(), Bad("it has no labels"));
}

TEST_F(MultiLabelDataFaultsDeathTest, WrongLabel) {
  WriteWithBad(MakeDatum(Image(3), {1, 0, 6, -1, 1}));
  EXPECT_DEATH(Read(), Bad("its label 2 is 6"));
  WriteWithBad(MakeDatum(Image(3), {1, 10, 1, -1, 1}));
  EXPECT_DEATH(Read(), Bad("its label 1 is 10"));
  WriteWithBad(MakeDatum(Image(3), {1, 0, 1, -1, -2}));
  EXPECT_DEATH(Read(), Bad("its label 4 is -2"));
}

// Labels of 0 and 1 in as many records as prove that 0 was not written for unknown.
TEST_F(MultiLabelDataFaultsDeathTest, LabelsWrittenForAnotherLoss) {
  Entries entries;
  for (int i = 0; i < 1100; ++i) {
    const vector<int> labels = {i % 2, 0, 0, 1, 0, i % 3 == 0, 1, 0, 0, 0};
    entries.push_back({Key(i), MakeDatum(Image(0), labels).SerializeAsString()});
  }
  WriteLmdb(source_, entries);
  for (const Phase phase : {TRAIN, TEST}) {
    EXPECT_DEATH(Read("", phase),
                 "layer 'faces': LMDB '.*/lmdb': of the first 10000 labels, .*none "
                 "is -1.*label_values: ZERO_ONE .*label_values: SIGNED");
  }
  Read("multi_label_data_param { label_values: SIGNED }");
  Read("multi_label_data_param { label_values: ZERO_ONE }");
  // Sorted: the labels that show what 0 means are in the last tenth of the records.
  for (int i = 1000; i < 1100; ++i) {
    const vector<int> labels = {-1, 0, 0, 1, 0, 1, 1, 0, 0, 0};
    entries[i].second = MakeDatum(Image(0), labels).SerializeAsString();
  }
  boost::filesystem::remove_all(source_);
  WriteLmdb(source_, entries);
  Read("", TEST);
  // Too few to tell.
  boost::filesystem::remove_all(source_);
  WriteLmdb(source_, Entries(entries.begin(), entries.begin() + 900));
  Read("", TEST);
}

TEST_F(MultiLabelDataFaultsDeathTest, ZeroOneHasNoMinusOne) {
  WriteWithBad(MakeDatum(Image(3), {1, 0, 0, -1, 1}));
  EXPECT_DEATH(Read("multi_label_data_param { label_values: ZERO_ONE }"),
               "its label . is -1; with label_values: ZERO_ONE");
}

TEST_F(MultiLabelDataFaultsDeathTest, UndecodableImage) {
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
TEST_F(MultiLabelDataFaultsDeathTest, JpegCutOff) {
  Datum datum = MakeDatum(Image(3, 64, 64), Labels(3), ".jpg");
  datum.mutable_data()->resize(datum.data().size() * 3 / 4);
  WriteWithBad(datum);
  EXPECT_DEATH(Read("transform_param { crop_size: 6 }"), Bad("its image of .* cannot be decoded"));
}

TEST_F(MultiLabelDataFaultsDeathTest, FirstRecordIsCheckedToo) {
  Entries entries = MakeEntries(3);
  Datum datum = MakeDatum(Image(0), Labels(0));
  datum.set_data("no image");
  entries[0].second = datum.SerializeAsString();
  WriteLmdb(source_, entries);
  EXPECT_DEATH(Read(), "record '00000000_face' of LMDB '.*': its image .* cannot be decoded");
}

TEST_F(MultiLabelDataFaultsDeathTest, NotADatum) {
  WriteWithBad(string("\xff\xff\xff no message"));
  EXPECT_DEATH(Read(), Bad("it is not a Datum"));
}

TEST_F(MultiLabelDataFaultsDeathTest, WrongRawImage) {
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

TEST_F(MultiLabelDataFaultsDeathTest, WrongSize) {
  WriteWithBad(MakeDatum(Image(3, kHeight, kWidth + 1), Labels(3)));
  EXPECT_DEATH(Read(), Bad("its image is 8 x 11, but the first record's is 8 x 10"));
  WriteWithBad(MakeDatum(Image(3, 5, 20), Labels(3)));
  EXPECT_DEATH(Read("transform_param { crop_size: 6 }"),
               Bad("its image is 5 x 20, smaller than crop_size 6"));
}

TEST_F(MultiLabelDataFaultsDeathTest, WrongMean) {
  WriteLmdb(source_, MakeEntries());
  const string mean_file = dir_ / "mean.binaryproto";
  const string text = "transform_param { crop_size: 6 mean_file: '" + mean_file + "' ";
  EXPECT_DEATH(Read(text + "}"),
               "layer 'faces': mean_file '.*mean.binaryproto' cannot be opened; make it");
  std::ofstream(mean_file) << "no mean";
  EXPECT_DEATH(Read(text + "}"), "layer 'faces': mean_file '.*' is not a BlobProto");
  WriteMean(mean_file, kCrop, kCrop, NoMean);
  EXPECT_DEATH(Read(text + "}"),
               "record '00000000_face' .*its image is 1 x 3 x 8 x 10, but the "
               "mean of mean_file '.*mean.binaryproto' is 1 3 6 6 .108.");
  EXPECT_DEATH(Read(text + "mean_value: 1 }"), "layer 'faces': mean_file and mean_value are both");
  BlobProto short_of_values;
  ReadProtoFromBinaryFileOrDie(mean_file, &short_of_values);
  short_of_values.mutable_data()->Truncate(100);
  WriteProtoToBinaryFile(short_of_values, mean_file);
  EXPECT_DEATH(Read(text + "}"),
               "mean_file '.*' has 100 values where its shape asks for 108; make the mean");
  EXPECT_DEATH(Read("transform_param { mean_value: [1, 2] }"), "2 values of mean_value");
}

TEST_F(MultiLabelDataFaultsDeathTest, WrongParameters) {
  WriteLmdb(source_, MakeEntries(2));
  EXPECT_DEATH(RunLayer<float>(MakeParam(source_, TEST, 0), 1), "batch_size must be at least 1");
  // 3 x 8 x 10 x 10,000,000 values
  EXPECT_DEATH(RunLayer<float>(MakeParam(source_, TEST, 10000000), 1),
               "layer 'faces': batch_size 10000000 of images of 3 x 8 x 10 is more than a blob");
  EXPECT_DEATH(Read("multi_label_data_param { prefetch: 0 }"), "prefetch must be at least 1");
  EXPECT_DEATH(Read("multi_label_data_param { threads: 5000 }"), "threads must be at most");
  EXPECT_DEATH(Read("transform_param { force_gray: true }"), "force_gray is not supported");
  SolverGuard guard(0, 3);
  EXPECT_DEATH(Read("", TRAIN), "fewer records than there are solvers");
}

}  // namespace caffe
