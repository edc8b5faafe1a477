// The parts that MultiLabelData is made of, each by itself.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../src/layers/label_watch.hpp"
#include "../../src/layers/lmdb_index.hpp"
#include "../../src/layers/record_order.hpp"
#include "../../src/layers/worker_pool.hpp"
#include "multi_label_data_fixture.hpp"

namespace caffe {

// Intensities have no -1, and are no occurrences of 0 and 1 for that.
TEST(LabelWatchTest, IntensitiesEndIt) {
  const vector<int> levels(static_cast<size_t>(caffe_ext::LabelWatch::kEnough), 1), high(1, 2);
  vector<int> zeros(1000, 0);
  caffe_ext::LabelWatch occurrences, intensities, unknown;
  for (caffe_ext::LabelWatch* watch : {&occurrences, &intensities, &unknown}) {
    watch->Look(zeros.data(), zeros.size());
  }
  intensities.Look(high.data(), high.size());
  zeros[0] = 9;
  unknown.Look(zeros.data(), zeros.size());
  for (caffe_ext::LabelWatch* watch : {&occurrences, &intensities, &unknown}) {
    watch->Look(levels.data(), levels.size());
  }
  EXPECT_NE(occurrences.Fault(), "");
  EXPECT_EQ(intensities.Fault(), "");
  EXPECT_EQ(unknown.Fault(), "");
}

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

// In the processor's time; an epoch of so many takes hours.
TEST(RecordOrderTest, AMillionComeOnceAnEpoch) {
  const size_t kMillion = 1000000;
  caffe_ext::RecordOrder order(kMillion, 0, 1, true, 3);
  for (size_t epoch = 0; epoch < 2; ++epoch) {
    vector<bool> seen(kMillion);
    for (size_t i = 0; i < kMillion; ++i) {
      seen[order[epoch * kMillion + i]] = true;
    }
    EXPECT_EQ(std::count(seen.begin(), seen.end(), true), kMillion);
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
  string value;
  for (size_t i = 0; i < index.size(); ++i) {
    EXPECT_EQ(index.Read(i, &value), "");
    EXPECT_EQ(value, entries[i].second) << i;
  }
  EXPECT_EQ(index.Key(0), Key(0));
  EXPECT_EQ(index.Key(299), Key(299));
  EXPECT_EQ(index.Key(300), "\\x7f\\x01z");
  EXPECT_THROW(index.Key(301), std::runtime_error);
}

}  // namespace caffe
