#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layer_factory.hpp"
#include "caffe/layers/multi_label_counts_layer.hpp"
#include "caffe/layers/sigmoid_layer.hpp"
#include "caffe/net.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace caffe {

namespace {

const int kSamples = 301;  // more than a block has threads, and no multiple of them
const int kClasses = 5;

LayerParameter Parse(const string& text) {
  LayerParameter param;
  CHECK(google::protobuf::TextFormat::ParseFromString(
      "name: 'counts' type: 'MultiLabelCounts' " + text, &param))
      << text;
  return param;
}

}  // namespace

template <typename TypeParam>
class MultiLabelCountsLayerTest : public MultiDeviceTest<TypeParam> {
  typedef typename TypeParam::Dtype Dtype;

 protected:
  MultiLabelCountsLayerTest()
      : scores_(vector<int>{kSamples, kClasses}), labels_(vector<int>{kSamples, kClasses}) {
    // They look random, the same in every run; class 3 has unknown labels alone.
    for (int i = 0; i < scores_.count(); ++i) {
      scores_.mutable_cpu_data()[i] = static_cast<Dtype>(4 * std::sin(1.0 + 2.3 * i));
      labels_.mutable_cpu_data()[i] =
          i % kClasses == 3 ? 0 : static_cast<Dtype>((i * i + i / 3) % 3) - 1;
    }
    bottom_ = {&scores_, &labels_};
    top_ = {&counts_};
  }

  // The four counts of a class from the probabilities of Caffe's own layer, one question at a time.
  vector<double> Expected(int c, double threshold) {
    Blob<Dtype> probabilities;
    SigmoidLayer<Dtype> sigmoid((LayerParameter()));
    const vector<Blob<Dtype>*> from = {&scores_}, to = {&probabilities};
    sigmoid.SetUp(from, to);
    sigmoid.Forward(from, to);
    vector<double> counts(4, 0);
    for (int n = 0; n < scores_.shape(0); ++n) {
      const double p = probabilities.cpu_data()[n * kClasses + c];
      const double label = labels_.cpu_data()[n * kClasses + c];
      if (p >= threshold && label == 1) {
        ++counts[0];
      }
      if (p >= threshold && label == -1) {
        ++counts[1];
      }
      if (p < threshold && label == 1) {
        ++counts[2];
      }
      if (p < threshold && label == -1) {
        ++counts[3];
      }
    }
    return counts;
  }

  void Compare(const string& text, double threshold) {
    SCOPED_TRACE(text);
    MultiLabelCountsLayer<Dtype> layer(Parse(text));
    layer.SetUp(bottom_, top_);
    for (int pass = 0; pass < 2;
         ++pass) {  // counts are a batch's own: nothing is left of the first
      layer.Forward(bottom_, top_);
      ASSERT_EQ(counts_.shape(), (vector<int>{kClasses, 4}));
      for (int c = 0; c < kClasses; ++c) {
        const vector<double> expected = Expected(c, threshold);
        for (int i = 0; i < 4; ++i) {
          EXPECT_EQ(counts_.cpu_data()[c * 4 + i], expected[i]) << "class " << c << ", count " << i;
        }
      }
    }
  }

  // A sum of the second top: of the scores with this label, each to this power.
  double Sum(int c, int label, int power) {
    double sum = 0;
    for (int n = 0; n < labels_.shape(0); ++n) {
      if (labels_.cpu_data()[n * kClasses + c] == label) {
        sum += std::pow(static_cast<double>(scores_.cpu_data()[n * kClasses + c]), power);
      }
    }
    return sum;
  }

  // With a second top: its sums, and counts that are those of a layer without it.
  void CompareMoments() {
    Blob<Dtype> moments;
    MultiLabelCountsLayer<Dtype> layer(Parse("")), plain(Parse(""));
    const vector<Blob<Dtype>*> both = {&counts_, &moments};
    Blob<Dtype> alone;
    const vector<Blob<Dtype>*> one = {&alone};
    plain.SetUp(bottom_, one);
    plain.Forward(bottom_, one);
    layer.SetUp(bottom_, both);
    for (int pass = 0; pass < 2; ++pass) {
      layer.Forward(bottom_, both);
      ASSERT_EQ(moments.shape(), (vector<int>{kClasses, 4}));
      ASSERT_EQ(counts_.shape(), (vector<int>{kClasses, 4}));
      for (int i = 0; i < counts_.count(); ++i) {
        EXPECT_EQ(counts_.cpu_data()[i], alone.cpu_data()[i]) << i;
      }
      for (int c = 0; c < kClasses; ++c) {
        for (int i = 0; i < 4; ++i) {
          const double expected = Sum(c, i < 2 ? 1 : -1, 1 + i % 2);
          const double found = moments.cpu_data()[c * 4 + i];
          if (std::isnan(expected) || std::isinf(expected)) {
            EXPECT_TRUE(std::isnan(expected) ? std::isnan(found) : found == expected) << c;
          } else {
            // One rounding to Dtype, and the order of a sum of doubles, in which scores may cancel.
            EXPECT_NEAR(found, expected,
                        std::fabs(expected) * std::numeric_limits<Dtype>::epsilon() + 1e-11)
                << "class " << c << ", moment " << i;
          }
        }
      }
    }
  }

  Blob<Dtype> scores_, labels_, counts_;
  vector<Blob<Dtype>*> bottom_, top_;
};

TYPED_TEST_CASE(MultiLabelCountsLayerTest, TestDtypesAndDevices);

TYPED_TEST(MultiLabelCountsLayerTest, IsRegistered) {
  typedef typename TypeParam::Dtype Dtype;
  shared_ptr<Layer<Dtype> > layer = LayerRegistry<Dtype>::CreateLayer(Parse(""));
  EXPECT_STREQ(layer->type(), "MultiLabelCounts");
}

TYPED_TEST(MultiLabelCountsLayerTest, CountsAsTheDefinitionSays) { this->Compare("", 0.5); }

TYPED_TEST(MultiLabelCountsLayerTest, Thresholds) {
  this->Compare("multi_label_counts_param { threshold: 0.3 }", 0.3);
  this->Compare("multi_label_counts_param { threshold: 0.875 }", 0.875);
  this->Compare("multi_label_counts_param { threshold: 0 }", 0);
  this->Compare("multi_label_counts_param { threshold: 1 }", 1);
}

// At the threshold, and where only the rounding of the probability decides.
TYPED_TEST(MultiLabelCountsLayerTest, ScoresAtTheThreshold) {
  typedef typename TypeParam::Dtype Dtype;
  const double scores[] = {0, -0.0, -1e-9, 1e-9, -1e-30, -1e-3, 1e-3};
  for (int i = 0; i < this->scores_.count(); ++i) {
    this->scores_.mutable_cpu_data()[i] = static_cast<Dtype>(scores[i / kClasses % 7]);
  }
  this->Compare("", 0.5);
}

TYPED_TEST(MultiLabelCountsLayerTest, HugeScores) {
  typedef typename TypeParam::Dtype Dtype;
  const Dtype infinity = std::numeric_limits<Dtype>::infinity();
  const Dtype scores[] = {1e4, -1e4, infinity, -infinity};
  for (int i = 0; i < this->scores_.count(); ++i) {
    this->scores_.mutable_cpu_data()[i] = scores[i / kClasses % 4];
  }
  this->Compare("", 0.5);
}

TYPED_TEST(MultiLabelCountsLayerTest, FourAxesAndChangingBatches) {
  this->scores_.Reshape({kSamples, kClasses, 1, 1});
  this->Compare("", 0.5);
  for (int samples : {1, 2, 130}) {
    this->scores_.Reshape({samples, kClasses});
    this->labels_.Reshape({samples, kClasses, 1, 1});
    this->Compare("", 0.5);
  }
}

TYPED_TEST(MultiLabelCountsLayerTest, AScoreThatIsNoNumberLeavesItsClassWithoutCounts) {
  typedef typename TypeParam::Dtype Dtype;
  // Also where its label is unknown.
  this->scores_.mutable_cpu_data()[7 * kClasses + 3] = std::numeric_limits<Dtype>::quiet_NaN();
  this->scores_.mutable_cpu_data()[300 * kClasses] = std::numeric_limits<Dtype>::quiet_NaN();
  MultiLabelCountsLayer<Dtype> layer(Parse(""));
  layer.SetUp(this->bottom_, this->top_);
  layer.Forward(this->bottom_, this->top_);
  for (int c = 0; c < kClasses; ++c) {
    const vector<double> expected = this->Expected(c, 0.5);
    for (int i = 0; i < 4; ++i) {
      const Dtype count = this->counts_.cpu_data()[c * 4 + i];
      if (c == 0 || c == 3) {
        EXPECT_TRUE(std::isnan(count)) << c;
      } else {
        EXPECT_EQ(count, expected[i]) << c;
      }
    }
  }
}

// Class 3 has no known label: its sums are 0, as those of classes without positives or negatives.
TYPED_TEST(MultiLabelCountsLayerTest, MomentsAsTheDefinitionSays) {
  this->CompareMoments();
  for (int n = 0; n < kSamples; ++n) {
    this->labels_.mutable_cpu_data()[n * kClasses] = n % 2;       // no negative
    this->labels_.mutable_cpu_data()[n * kClasses + 1] = -n % 2;  // no positive
  }
  this->CompareMoments();
  this->scores_.Reshape({1, kClasses, 1, 1});
  this->labels_.Reshape({1, kClasses});
  this->CompareMoments();
}

// Large scores: a sum of floats would lose the digits in which their squares differ.
TYPED_TEST(MultiLabelCountsLayerTest, MomentsAreSummedAsDoubles) {
  typedef typename TypeParam::Dtype Dtype;
  for (int i = 0; i < this->scores_.count(); ++i) {
    this->scores_.mutable_cpu_data()[i] = static_cast<Dtype>(1000 + i % 7 * 0.125);
  }
  this->CompareMoments();
}

TYPED_TEST(MultiLabelCountsLayerTest, MomentsOfAnInfiniteScore) {
  typedef typename TypeParam::Dtype Dtype;
  const Dtype infinity = std::numeric_limits<Dtype>::infinity();
  this->scores_.mutable_cpu_data()[2 * kClasses] = -infinity;
  this->labels_.mutable_cpu_data()[2 * kClasses] = 1;
  this->scores_.mutable_cpu_data()[5 * kClasses + 3] = infinity;  // its label is unknown
  this->CompareMoments();
}

TYPED_TEST(MultiLabelCountsLayerTest, AScoreThatIsNoNumberLeavesItsClassWithoutMoments) {
  typedef typename TypeParam::Dtype Dtype;
  // The first with an unknown label, the others with one class's only.
  this->scores_.mutable_cpu_data()[7 * kClasses + 3] = std::numeric_limits<Dtype>::quiet_NaN();
  this->scores_.mutable_cpu_data()[300 * kClasses] = std::numeric_limits<Dtype>::quiet_NaN();
  this->labels_.mutable_cpu_data()[300 * kClasses] = 1;
  Blob<Dtype> moments;
  const vector<Blob<Dtype>*> both = {&this->counts_, &moments};
  MultiLabelCountsLayer<Dtype> layer(Parse(""));
  layer.SetUp(this->bottom_, both);
  layer.Forward(this->bottom_, both);
  for (int i = 0; i < moments.count(); ++i) {
    const bool broken = i / 4 == 0 || i / 4 == 3;
    EXPECT_EQ(std::isnan(moments.cpu_data()[i]), broken) << i;
    EXPECT_EQ(std::isnan(this->counts_.cpu_data()[i]), broken) << i;
  }
}

// A net learns the same with it as without it.
TYPED_TEST(MultiLabelCountsLayerTest, BesideALoss) {
  typedef typename TypeParam::Dtype Dtype;
  const string text =
      "force_backward: true "
      "layer { name: 'in' type: 'Input' top: 'scores' top: 'labels' "
      "        input_param { shape { dim: 3 dim: 4 } } } "
      "layer { name: 'half' type: 'Power' bottom: 'scores' top: 'x' power_param { scale: 0.5 } } "
      "layer { name: 'cost' type: 'MultiLabelSigmoidCrossEntropyLoss' "
      "        bottom: 'x' bottom: 'labels' top: 'cost' } ";
  const string layer =
      "layer { name: 'counts' type: 'MultiLabelCounts' bottom: 'x' bottom: 'labels' top: 'counts' ";
  const string texts[] = {text, text + layer + "}", text + layer + "top: 'moments' }"};
  vector<Dtype> diffs[3];
  for (int tops = 0; tops < 3; ++tops) {
    NetParameter param;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(texts[tops], &param));
    Net<Dtype> net(param);
    Blob<Dtype>* scores = net.blob_by_name("scores").get();
    for (int i = 0; i < 12; ++i) {
      scores->mutable_cpu_data()[i] = static_cast<Dtype>(std::sin(i + 1.0));
      net.blob_by_name("labels")->mutable_cpu_data()[i] = i % 3 - 1;
    }
    net.Forward();
    net.Backward();
    diffs[tops].assign(scores->cpu_diff(), scores->cpu_diff() + 12);
    EXPECT_EQ(net.num_outputs(), 1 + tops);
  }
  EXPECT_NE(diffs[0][0], 0);
  EXPECT_TRUE(diffs[0] == diffs[1]);
  EXPECT_TRUE(diffs[0] == diffs[2]);
}

class MultiLabelCountsLayerDeathTest : public ::testing::Test {
 protected:
  MultiLabelCountsLayerDeathTest() : scores_(vector<int>{2, 3}), labels_(vector<int>{2, 3}) {
    Caffe::set_mode(Caffe::CPU);
    ::testing::FLAGS_gtest_death_test_style = "threadsafe";
    bottom_ = {&scores_, &labels_};
    top_ = {&counts_};
    caffe_set(6, 0.5f, scores_.mutable_cpu_data());
    caffe_set(6, 1.f, labels_.mutable_cpu_data());
  }

  void Run(const string& text) {
    MultiLabelCountsLayer<float> layer(Parse(text));
    layer.SetUp(bottom_, top_);
    layer.Forward(bottom_, top_);
  }

  Blob<float> scores_, labels_, counts_;
  vector<Blob<float>*> bottom_, top_;
};

TEST_F(MultiLabelCountsLayerDeathTest, WrongLabels) {
  labels_.mutable_cpu_data()[5] = 2;
  EXPECT_DEATH(Run(""), "layer 'counts': the label of sample 1, class 2 is 2;");
  labels_.mutable_cpu_data()[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_DEATH(Run(""), "layer 'counts': the label of sample 1, class 2 is -?nan;");
}

TEST_F(MultiLabelCountsLayerDeathTest, LabelsWrittenForAnotherLoss) {
  const vector<int> shape = {100, 100};
  scores_.Reshape(shape);
  labels_.Reshape(shape);
  for (int i = 0; i < 10000; ++i) {
    labels_.mutable_cpu_data()[i] = i % 3 == 0;
  }
  EXPECT_DEATH(Run(""), "layer 'counts': of the first 10000 labels, 3334 are 1, 6666 are 0");
  Run("loss_param { ignore_label: 0 }");
  EXPECT_DEATH(Run("loss_param { ignore_label: 1 }"), "layer 'counts': .*may only be 0");
  Run("phase: TEST");
  EXPECT_EQ(counts_.cpu_data()[0], 34);
  labels_.mutable_cpu_data()[9998] = -1;
  Run("");
}

TEST_F(MultiLabelCountsLayerDeathTest, WrongShapes) {
  labels_.Reshape({3, 2});
  EXPECT_DEATH(Run(""), "layer 'counts': every score needs one label, but the scores are 2 3");
}

TEST_F(MultiLabelCountsLayerDeathTest, WrongNumberOfTops) {
  top_.clear();
  EXPECT_DEATH(Run(""), "MultiLabelCounts Layer produces at least 1 top");
  top_ = {&counts_, &counts_, &counts_};
  EXPECT_DEATH(Run(""), "MultiLabelCounts Layer produces at most 2 top");
}

TEST_F(MultiLabelCountsLayerDeathTest, WrongParameters) {
  EXPECT_DEATH(Run("multi_label_counts_param { threshold: 1.5 }"),
               "threshold is 1.5; it is a prob");
  EXPECT_DEATH(Run("multi_label_counts_param { threshold: -0.1 }"), "threshold is -0.1");
  EXPECT_DEATH(Run("multi_label_counts_param { threshold: nan }"), "threshold is -?nan");
  EXPECT_DEATH(Run("loss_weight: 1"), "counts are no loss");
  top_.push_back(&labels_);
  EXPECT_DEATH(Run("loss_weight: 0 loss_weight: 1"), "counts are no loss");
}

TEST_F(MultiLabelCountsLayerDeathTest, NoGradient) {
  MultiLabelCountsLayer<float> layer(Parse(""));
  layer.SetUp(bottom_, top_);
  layer.Forward(bottom_, top_);
  layer.Backward(top_, {false, false}, bottom_);
  EXPECT_DEATH(layer.Backward(top_, {true, false}, bottom_), "has no gradient");
}

}  // namespace caffe
