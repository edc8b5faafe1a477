// A solver's test passes: each begins at the first record, and test_iter: 0 covers every record
// once.
#include <string>
#include <vector>

#include "caffe/sgd_solvers.hpp"
#include "multi_label_data_fixture.hpp"
#include "training/generator.hpp"
#include "training/test_pass.hpp"

namespace caffe {

const char kTestPassNet[] = R"(
  name: "tested"
  layer { name: "faces" type: "MultiLabelData" top: "data" top: "label"
    transform_param { crop_size: 6 mirror: true scale: 0.01 }
    multi_label_data_param { source: "$DIR/lmdb" batch_size: 4 $MORE } }
  layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
    inner_product_param { num_output: 5 weight_filler { type: "constant" } } }
  layer { name: "loss" type: "MultiLabelSigmoidCrossEntropyLoss" bottom: "fc" bottom: "label"
    top: "loss" }
  layer { name: "counts" type: "MultiLabelCounts" bottom: "fc" bottom: "label" top: "counts"
    include { phase: TEST } }
)";

template <typename TypeParam>
class TestPassTest : public MultiLabelDataLayerTest<TypeParam> {
  typedef typename TypeParam::Dtype Dtype;

 protected:
  NetParameter Param(const string& more = "") const {
    string text = kTestPassNet;
    text.replace(text.find("$DIR/lmdb"), 9, this->source_);
    text.replace(text.find("$MORE"), 5, more);
    NetParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(text, &param)) << text;
    param.mutable_state()->set_phase(TEST);
    return param;
  }

  // The records of a pass, and all of its pixels.
  static vector<int> Pass(Net<Dtype>* net, int test_iter, vector<Dtype>* pixels) {
    const int batches = caffe_ext::BeginTestPass(*net, test_iter);
    vector<int> records;
    pixels->clear();
    for (int i = 0; i < batches; ++i) {
      net->Forward();
      const Blob<Dtype>& labels = *net->blob_by_name("label");
      const Blob<Dtype>& data = *net->blob_by_name("data");
      EXPECT_EQ(labels.shape(0), data.shape(0));
      for (int n = 0; n < labels.shape(0); ++n) {
        records.push_back(RecordOf(labels.cpu_data() + n * kLabels));
      }
      pixels->insert(pixels->end(), data.cpu_data(), data.cpu_data() + data.count());
    }
    return records;
  }
};

TYPED_TEST_CASE(TestPassTest, TestDtypesAndDevices);

TYPED_TEST(TestPassTest, EveryRecordOnceInEveryPass) {
  typedef typename TypeParam::Dtype Dtype;
  Net<Dtype> net(this->Param());
  vector<Dtype> first, again;
  EXPECT_EQ(this->Pass(&net, 0, &first), Range(kRecords));
  // Crops are central in TEST, but faces are mirrored at random where the net says so.
  EXPECT_EQ(this->Pass(&net, 0, &again), Range(kRecords));
  EXPECT_TRUE(first == again);
}

TYPED_TEST(TestPassTest, EveryPassBeginsAtTheFirstRecord) {
  typedef typename TypeParam::Dtype Dtype;
  Net<Dtype> net(this->Param());
  vector<Dtype> pixels, first;
  net.Forward();  // of whoever ran the net before
  EXPECT_EQ(this->Pass(&net, 2, &first), Range(8));
  EXPECT_EQ(this->Pass(&net, 2, &pixels), Range(8));
  EXPECT_TRUE(first == pixels);
  EXPECT_EQ(this->Pass(&net, 0, &pixels), Range(kRecords));
  // More batches than the data have: the next round begins with a batch of its own.
  vector<int> rounds = Range(kRecords);
  for (int i = 0; i < 8; ++i) {
    rounds.push_back(i);
  }
  EXPECT_EQ(this->Pass(&net, 8, &pixels), rounds);
}

TYPED_TEST(TestPassTest, ShuffledRecordsComeInOneOrder) {
  typedef typename TypeParam::Dtype Dtype;
  Net<Dtype> net(this->Param("shuffle: true"));
  vector<Dtype> pixels;
  const vector<int> first = this->Pass(&net, 0, &pixels);
  EXPECT_NE(first, Range(kRecords));
  EXPECT_EQ(Sorted(first), Range(kRecords));
  EXPECT_EQ(this->Pass(&net, 0, &pixels), first);
}

// Dropout and the like draw from the same generator: a test must not change what training draws.
TYPED_TEST(TestPassTest, TakesNoRandomNumber) {
  typedef typename TypeParam::Dtype Dtype;
  Caffe::set_random_seed(1701);
  Net<Dtype> net(this->Param());
  const string before = caffe_ext::GeneratorState(*caffe_rng());
  vector<Dtype> pixels;
  this->Pass(&net, 3, &pixels);
  this->Pass(&net, 0, &pixels);
  EXPECT_EQ(caffe_ext::GeneratorState(*caffe_rng()), before);
}

// With test_iter: 0, a solver's test ends with the last record, in a batch of those that are left.
TYPED_TEST(TestPassTest, ASolverTestsOnAllRecords) {
  typedef typename TypeParam::Dtype Dtype;
  SolverParameter param;
  *param.mutable_net_param() = this->Param();
  param.mutable_net_param()->clear_state();
  param.add_test_iter(0);
  param.set_test_interval(1);
  param.set_base_lr(0);
  param.set_lr_policy("fixed");
  param.set_max_iter(2);
  param.set_snapshot_after_train(false);
  SGDSolver<Dtype> solver(param);
  Net<Dtype>* net = solver.test_nets()[0].get();
  // Steps to the second test, of which the last batch, with 3 records, is still in the net.
  solver.Step(2);
  EXPECT_EQ(net->blob_by_name("label")->shape(0), 3);
  for (int n = 0; n < 3; ++n) {
    EXPECT_EQ(RecordOf(net->blob_by_name("label")->cpu_data() + n * kLabels), 20 + n);
  }
}

TYPED_TEST(TestPassTest, DataOfUnknownLengthNeedANumber) {
  typedef typename TypeParam::Dtype Dtype;
  NetParameter param;
  CHECK(google::protobuf::TextFormat::ParseFromString(
      "layer { name: \"x\" type: \"DummyData\" top: \"x\" dummy_data_param { shape { dim: 2 } } }",
      &param));
  Net<Dtype> net(param);
  EXPECT_EQ(caffe_ext::BeginTestPass(net, 5), 5);
  EXPECT_DEATH(caffe_ext::BeginTestPass(net, 0), "set test_iter to the number of batches");
}

}  // namespace caffe
