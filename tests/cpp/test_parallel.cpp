#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "caffe/net.hpp"
#include "parallel/buckets.hpp"
#include "parallel/ranks.hpp"

namespace caffe_ext {

namespace {

// Layers 0 to 4; 1 and 3 share their weights, 2 is frozen.
const char kNet[] =
    "layer { name: 'data' type: 'DummyData' top: 'data'"
    "  dummy_data_param { shape { dim: 2 dim: 6 } } }"
    "layer { name: 'a' type: 'InnerProduct' bottom: 'data' top: 'a' param { name: 'w' }"
    "  inner_product_param { num_output: 6 } }"
    "layer { name: 'b' type: 'InnerProduct' bottom: 'a' top: 'b' param { lr_mult: 0 }"
    "  param { lr_mult: 0 } inner_product_param { num_output: 6 } }"
    "layer { name: 'c' type: 'InnerProduct' bottom: 'b' top: 'c' param { name: 'w' }"
    "  inner_product_param { num_output: 6 } }"
    "layer { name: 'd' type: 'InnerProduct' bottom: 'c' top: 'd'"
    "  inner_product_param { num_output: 100 } }";

std::vector<Gradient> Gradients(bool frozen) {
  caffe::NetParameter param;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(kNet, &param));
  return GradientsOf(caffe::Net<float>(param), frozen);
}

}  // namespace

TEST(BucketsTest, SharedOnceFrozenOnRequest) {
  // learnable_params(): a's weight (and c's), a's bias, b's two, c's bias, d's two.
  const int params[] = {0, 1, 4, 5, 6}, layers[] = {1, 1, 3, 4, 4}, counts[] = {36, 6, 6, 600, 100};
  const std::vector<Gradient> gradients = Gradients(false);
  ASSERT_EQ(5, gradients.size());
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(params[i], gradients[i].param);
    EXPECT_EQ(layers[i], gradients[i].layer);
    EXPECT_EQ(counts[i], gradients[i].count);
  }
  EXPECT_EQ(7, Gradients(true).size());
}

TEST(BucketsTest, FilledInBackwardsOrder) {
  const std::vector<Bucket> buckets = FillBuckets(Gradients(true), 500);
  ASSERT_EQ(2, buckets.size());
  EXPECT_EQ(std::vector<int>({5}), buckets[0].params);
  EXPECT_EQ(4, buckets[0].layer);
  EXPECT_EQ(600, buckets[0].count);
  EXPECT_EQ(std::vector<int>({6, 4, 2, 3, 0, 1}), buckets[1].params);
  EXPECT_EQ(1, buckets[1].layer);
  EXPECT_EQ(100 + 6 + 36 + 6 + 36 + 6, buckets[1].count);
}

TEST(BucketsTest, ALargeGradientHasABucketOfItsOwn) {
  const std::vector<Bucket> buckets = FillBuckets(Gradients(true), 36);
  // Of 600, 100, 36 and 36 values; those of 6 are put together after the last layer's.
  const std::vector<std::vector<int> > params = {{5}, {6}, {2}, {0}, {4, 3, 1}};
  const std::vector<int> layers = {4, 4, 2, 1, 1};
  ASSERT_EQ(params.size(), buckets.size());
  for (size_t b = 0; b < buckets.size(); ++b) {
    EXPECT_EQ(params[b], buckets[b].params);
    EXPECT_EQ(layers[b], buckets[b].layer);
  }
  EXPECT_EQ(18, buckets[4].count);
}

TEST(BucketsTest, NothingToSum) { EXPECT_TRUE(FillBuckets(std::vector<Gradient>(), 500).empty()); }

// For mpirun: each operation gives every rank what it should.
TEST(RanksTest, Operations) {
  Ranks ranks;
  const int rank = ranks.rank(), size = ranks.size();
  ASSERT_GT(size, 1) << "start this with mpirun";

  EXPECT_EQ((1u << size) - 1, ranks.AnyOf(1u << rank));

  uint64_t number = rank == 0 ? ~uint64_t(0) : 0;
  ranks.Broadcast(&number);
  EXPECT_EQ(~uint64_t(0), number);

  for (int count : {0, 1, 1000, 1 << 20}) {
    std::vector<float> values(count), sums(count);
    for (int i = 0; i < count; ++i) {
      values[i] = rank == 0 ? i : -1;
      sums[i] = rank + i % 7;
    }
    ranks.Broadcast(values.data(), count);
    ranks.Sum(sums.data(), count);
    for (int i = 0; i < count; ++i) {
      ASSERT_EQ(i, values[i]);
      ASSERT_EQ(size * (size - 1) / 2 + size * (i % 7), sums[i]);
    }
  }

  const std::vector<float> values = ranks.GatherOnAll({rank + 0.5f, -1.f * rank, 7});
  ASSERT_EQ(3 * size, values.size());
  for (int r = 0; r < size; ++r) {
    EXPECT_EQ(r + 0.5f, values[3 * r]);
    EXPECT_EQ(-r, values[3 * r + 1]);
    EXPECT_EQ(7, values[3 * r + 2]);
  }

  // Of different lengths, with one that is empty, and bytes that are no text.
  const std::string mine(rank * 3, static_cast<char>(rank));
  const std::vector<std::string> all = ranks.Gather(mine);
  ASSERT_EQ(rank == 0 ? size : 0, all.size());
  for (size_t r = 0; r < all.size(); ++r) {
    EXPECT_EQ(std::string(r * 3, static_cast<char>(r)), all[r]);
  }
  EXPECT_EQ(mine, ranks.Scatter(all));
}

}  // namespace caffe_ext
