// Whole nets with the engine and without: whoever looks sees Caffe's own values, at any time.
#include <malloc.h>
#include <omp.h>
#include <unistd.h>

#include <cstdio>

#include "caffe/net.hpp"
#include "caffe/sgd_solvers.hpp"
#include "engine_fixture.hpp"

namespace caffe {

// Convolution, Region, in-place ReLU, pooling and LRN hand each other private forms; Split,
// Eltwise, Concat, Flatten and the inner products look at plain ones.
static const char kLayers[] = R"(
  layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
    convolution_param { num_output: 17 kernel_size: 3 weight_filler { type: "msra" }
                        bias_filler { type: "gaussian" std: .1 } } }
  layer { name: "region2" type: "Region" bottom: "conv1" top: "region2"
    region_param { grid_h: 2 grid_w: 3 weight_filler { type: "msra" }
                   bias_filler { type: "gaussian" std: .1 } } }
  layer { name: "relu2" type: "ReLU" bottom: "region2" top: "region2" }
  layer { name: "pool3" type: "Pooling" bottom: "region2" top: "pool3"
    pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
  layer { name: "norm3" type: "LRN" bottom: "pool3" top: "norm3" lrn_param { alpha: .1 } }
  layer { name: "conv4" type: "Convolution" bottom: "norm3" top: "conv4"
    convolution_param { num_output: 17 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
  layer { name: "relu4" type: "ReLU" bottom: "conv4" top: "conv4" }
  layer { name: "sum" type: "Eltwise" bottom: "conv4" bottom: "norm3" top: "sum" }
  layer { name: "conv5" type: "Convolution" bottom: "sum" top: "conv5"
    convolution_param { num_output: 8 kernel_size: 1 weight_filler { type: "msra" } } }
  layer { name: "both" type: "Concat" bottom: "conv5" bottom: "norm3" top: "both" }
  layer { name: "flat" type: "Flatten" bottom: "both" top: "flat" }
  layer { name: "fc6" type: "InnerProduct" bottom: "flat" top: "fc6"
    inner_product_param { num_output: 20 weight_filler { type: "xavier" } } }
  layer { name: "drop6" type: "Dropout" bottom: "fc6" top: "fc6" }
  layer { name: "fc7" type: "InnerProduct" bottom: "fc6" top: "fc7"
    inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
)";

static const char kInput[] = R"(force_backward: true
  layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 3 dim: 13 dim: 16 } } }
)";

static const char kTraining[] = R"(
  layer { name: "data" type: "DummyData" top: "data" top: "target" dummy_data_param {
    shape { dim: 4 dim: 3 dim: 13 dim: 16 } shape { dim: 4 dim: 4 }
    data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }
)";
static const char kLoss[] = R"(
  layer { name: "loss" type: "MultiLabelSigmoidCrossEntropyLoss" bottom: "fc7" bottom: "target" top: "loss" })";

class EngineNetTest : public EngineTest {
 protected:
  static NetParameter Parse(const string& text, Phase phase = TRAIN) {
    NetParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(text, &param));
    param.mutable_state()->set_phase(phase);
    return param;
  }

  static shared_ptr<Net<float> > MakeNet(bool engine, const string& text, Phase phase = TRAIN) {
    caffe_ext::SetEngineEnabled(engine);
    Caffe::set_random_seed(5);
    shared_ptr<Net<float> > net(new Net<float>(Parse(text, phase)));
    caffe_ext::SetEngineEnabled(true);
    return net;
  }

  // The same net with and without the engine, with the same weights.
  void MakePair(const string& text, Phase phase = TRAIN) {
    for (int engine = 0; engine < 2; ++engine) {
      nets_[engine] = MakeNet(engine, text, phase);
    }
    SetData();
  }

  void SetData() {
    FillBlob(nets_[0]->blob_by_name("data").get());
    nets_[1]->blob_by_name("data")->CopyFrom(*nets_[0]->blob_by_name("data"));
  }

  void Iterate() {
    for (const shared_ptr<Net<float> >& net : nets_) {
      Caffe::set_random_seed(11);  // the same dropout
      net->ClearParamDiffs();
      net->Forward();
      Blob<float>* out = net->blob_by_name("fc7").get();
      for (int i = 0; i < out->count(); ++i) {
        out->mutable_cpu_diff()[i] = (i % 3) - 1;
      }
      net->Backward();
    }
  }

  // An activation that rounding moves across a ReLU's kink takes its whole gradient along; layer by
  // layer (see test_engine_layers.cpp) gradients agree as closely as values do.
  static constexpr double kDiffTolerance = 1e-2;

  void ExpectSame(bool diffs = true) {
    for (const string& name : nets_[0]->blob_names()) {
      const Blob<float>& expected = *nets_[0]->blob_by_name(name);
      const Blob<float>& actual = *nets_[1]->blob_by_name(name);
      ASSERT_EQ(actual.shape(), expected.shape()) << name;
      ExpectClose(actual.cpu_data(), expected.cpu_data(), expected.count(), name);
      if (diffs) {
        ExpectClose(actual.cpu_diff(), expected.cpu_diff(), expected.count(), name + " diff",
                    kDiffTolerance);
      }
    }
    for (int i = 0; i < nets_[0]->params().size(); ++i) {
      const Blob<float>& expected = *nets_[0]->params()[i];
      const Blob<float>& actual = *nets_[1]->params()[i];
      ExpectClose(actual.cpu_data(), expected.cpu_data(), expected.count(), "parameter");
      ExpectClose(actual.cpu_diff(), expected.cpu_diff(), expected.count(), "parameter diff",
                  kDiffTolerance);
    }
  }

  static string Text(const char* input) { return string(input) + kLayers; }

  shared_ptr<Net<float> > nets_[2];
};

TEST_F(EngineNetTest, TestEveryBlobIsPlainWhenLookedAt) {
  for (const Phase phase : {TRAIN, TEST}) {
    MakePair(Text(kInput), phase);
    Iterate();
    ExpectSame();
    // Now everything has been looked at, and goes on being right.
    SetData();
    Iterate();
    ExpectSame();
  }
}

TEST_F(EngineNetTest, TestNobodyLooksForSomeIterations) {
  MakePair(Text(kInput));
  for (int i = 0; i < 3; ++i) {
    SetData();
    Iterate();
  }
  ExpectSame();
}

TEST_F(EngineNetTest, TestAHeldPointerSeesLaterResults) {
  MakePair(Text(kInput));
  Iterate();
  const float* held = nets_[1]->blob_by_name("conv1")->cpu_data();
  const float* held_diff = nets_[1]->blob_by_name("region2")->cpu_diff();
  SetData();
  Iterate();
  const Blob<float>& expected = *nets_[0]->blob_by_name("conv1");
  ExpectClose(held, expected.cpu_data(), expected.count(), "conv1");
  const Blob<float>& expected_diff = *nets_[0]->blob_by_name("region2");
  ExpectClose(held_diff, expected_diff.cpu_diff(), expected_diff.count(), "region2 diff",
              kDiffTolerance);
}

TEST_F(EngineNetTest, TestWritingThroughAHeldPointerIsObeyed) {
  MakePair(Text(kInput), TEST);
  float* held[2];
  int layer = -1;
  for (int engine = 0; engine < 2; ++engine) {
    nets_[engine]->Forward();
    held[engine] = nets_[engine]->blob_by_name("conv1")->mutable_cpu_data();
  }
  for (int i = 0; i < nets_[0]->layers().size(); ++i) {
    layer = nets_[0]->layer_names()[i] == "region2" ? i : layer;
  }
  for (int engine = 0; engine < 2; ++engine) {
    nets_[engine]->ForwardTo(layer - 1);
    for (int i = 0; i < 40; ++i) {
      held[engine][i] = i;
    }
    nets_[engine]->ForwardFrom(layer);
  }
  ExpectSame(false);
}

TEST_F(EngineNetTest, TestReshape) {
  MakePair(Text(kInput));
  const vector<vector<int> > shapes = {{3, 3, 13, 16}, {1, 3, 13, 16}, {5, 3, 13, 16}};
  for (const vector<int>& shape : shapes) {
    for (const shared_ptr<Net<float> >& net : nets_) {
      net->blob_by_name("data")->Reshape(shape);
      net->Reshape();
    }
    SetData();
    Iterate();
  }
  ExpectSame();
}

TEST_F(EngineNetTest, TestSurgeryAndSharedWeights) {
  MakePair(Text(kInput));
  shared_ptr<Net<float> > test_nets[2];
  for (int engine = 0; engine < 2; ++engine) {
    test_nets[engine] = MakeNet(engine, Text(kInput), TEST);
    test_nets[engine]->ShareTrainedLayersWith(nets_[engine].get());
    test_nets[engine]->blob_by_name("data")->CopyFrom(*nets_[0]->blob_by_name("data"));
  }
  for (int round = 0; round < 2; ++round) {
    Iterate();
    for (int engine = 0; engine < 2; ++engine) {
      // A pointer that was taken long ago will do.
      float* weight = nets_[engine]->layer_by_name("conv4")->blobs()[0]->mutable_cpu_data();
      weight[3] += 1;
      test_nets[engine]->Forward();
    }
    const Blob<float>& expected = *test_nets[0]->blob_by_name("fc7");
    ExpectClose(test_nets[1]->blob_by_name("fc7")->cpu_data(), expected.cpu_data(),
                expected.count(), "test net");
  }
}

// A net that is built and thrown away leaves nothing behind.
TEST_F(EngineNetTest, TestAThousandNets) {
  const auto in_use = [] { return mallinfo2().uordblks + mallinfo2().hblkhd; };
  size_t before = 0;
  for (int i = 0; i < 1000; ++i) {
    const shared_ptr<Net<float> > net = MakeNet(true, Text(kInput));
    if (i % 100 == 0) {
      net->Forward();
      net->Backward();
    }
    before = i == 200 ? in_use() : before;
  }
  EXPECT_LT(in_use(), before + (4 << 20));
}

class EngineSolverTest : public EngineNetTest {
 protected:
  struct Run {
    vector<float> losses, weights;
  };

  static SolverParameter Solver(const string& options) {
    SolverParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(
        "base_lr: .002 lr_policy: 'fixed' momentum: .9 weight_decay: .0005 random_seed: 3 "
        "snapshot_after_train: false max_iter: 1000 " +
            options,
        &param));
    *param.mutable_net_param() = Parse(Text(kTraining) + kLoss);
    return param;
  }

  static Run Train(bool engine, int iterations, const string& options = "") {
    caffe_ext::SetEngineEnabled(engine);
    SGDSolver<float> solver(Solver(options));
    Run run;
    for (int i = 0; i < iterations; ++i) {
      solver.Step(1);
      run.losses.push_back(solver.net()->blob_by_name("loss")->cpu_data()[0]);
    }
    for (const Blob<float>* blob : solver.net()->learnable_params()) {
      run.weights.insert(run.weights.end(), blob->cpu_data(), blob->cpu_data() + blob->count());
    }
    caffe_ext::SetEngineEnabled(true);
    return run;
  }
};

TEST_F(EngineSolverTest, TestFiftyIterations) {
  for (const char* const options : {"", "iter_size: 2"}) {
    const Run plain = Train(false, 50, options), engine = Train(true, 50, options);
    EXPECT_LT(plain.losses.back(), .7 * plain.losses.front()) << "nothing was learned";
    for (int i = 0; i < 50; ++i) {
      EXPECT_NEAR(engine.losses[i], plain.losses[i], 1e-3 * plain.losses[0]) << "iteration " << i;
    }
  }
}

TEST_F(EngineSolverTest, TestTheSameToTheBit) {
  const Run first = Train(true, 20), second = Train(true, 20);
  EXPECT_EQ(first.losses, second.losses);
  EXPECT_EQ(first.weights, second.weights);
}

TEST_F(EngineSolverTest, TestSnapshotAndRestore) {
  const string prefix = string("/tmp/engine_") + std::to_string(getpid());
  SGDSolver<float> solver(Solver("snapshot_prefix: '" + prefix + "'"));
  solver.Step(3);
  solver.Snapshot();
  // Written by one, read by the other.
  shared_ptr<Net<float> > nets[2];
  for (int engine = 0; engine < 2; ++engine) {
    nets[engine] = MakeNet(engine, Text(kInput), TEST);
    nets[engine]->CopyTrainedLayersFrom(prefix + "_iter_3.caffemodel");
    for (int i = 0; i < nets[engine]->blob_by_name("data")->count(); ++i) {
      nets[engine]->blob_by_name("data")->mutable_cpu_data()[i] = i % 7 - 3;
    }
    nets[engine]->Forward();
  }
  const Blob<float>& expected = *nets[0]->blob_by_name("fc7");
  ExpectClose(nets[1]->blob_by_name("fc7")->cpu_data(), expected.cpu_data(), expected.count(),
              "fc7");
  SGDSolver<float> restored(Solver(""));
  restored.Restore((prefix + "_iter_3.solverstate").c_str());
  EXPECT_EQ(restored.iter(), 3);
  for (int i = 0; i < solver.net()->learnable_params().size(); ++i) {
    const Blob<float>& saved = *solver.net()->learnable_params()[i];
    ExpectClose(restored.net()->learnable_params()[i]->cpu_data(), saved.cpu_data(), saved.count(),
                "weights", 0);
  }
  std::remove((prefix + "_iter_3.caffemodel").c_str());
  std::remove((prefix + "_iter_3.solverstate").c_str());
}

}  // namespace caffe
