// In which order MultiLabelData gives the records: epochs, seeds, threads, solvers.
#include <set>
#include <string>
#include <vector>

#include "multi_label_data_fixture.hpp"

namespace caffe {

template <typename TypeParam>
class MultiLabelDataOrderTest : public MultiLabelDataLayerTest<TypeParam> {};

TYPED_TEST_CASE(MultiLabelDataOrderTest, TestDtypesAndDevices);

TYPED_TEST(MultiLabelDataOrderTest, EveryRecordOnceAnEpochInANewOrder) {
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

TYPED_TEST(MultiLabelDataOrderTest, ShuffleCanBeChosen) {
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

TYPED_TEST(MultiLabelDataOrderTest, ThreadsDoNotChangeTheBatches) {
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
TYPED_TEST(MultiLabelDataOrderTest, BatchSizeAndPrefetchDoNotChangeTheImages) {
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

TYPED_TEST(MultiLabelDataOrderTest, SeedsChangeTheBatches) {
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

TYPED_TEST(MultiLabelDataOrderTest, CropsDifferFromEpochToEpoch) {
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

TYPED_TEST(MultiLabelDataOrderTest, SolversShareTheRecordsInTrain) {
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

TYPED_TEST(MultiLabelDataOrderTest, SolversWithOneSeedCropDifferently) {
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

TYPED_TEST(MultiLabelDataOrderTest, EverySolverReadsAllInTest) {
  typedef typename TypeParam::Dtype Dtype;
  SolverGuard guard(2, 3);
  EXPECT_EQ(Records(RunLayer<Dtype>(MakeParam(this->source_, TEST, kRecords), 1)), Range(kRecords));
}

}  // namespace caffe
