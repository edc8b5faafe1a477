// DRML in small, trained on the GPU: as on the CPU, and without a copy to the host.
#ifndef CPU_ONLY

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "caffe/net.hpp"
#include "caffe/sgd_solvers.hpp"
#include "caffe/util/io.hpp"
#include "multi_label_data_fixture.hpp"
#ifdef CUDA_ON_HOST
#include "cuda_on_host/control.hpp"
#endif

namespace caffe {

class GPUNetTest : public ::testing::Test {
 protected:
  static const int kSide = 50;
  static const int kRecordsOfNet = 17;

  GPUNetTest() : source_(dir_ / "lmdb"), mean_(dir_ / "mean.binaryproto") {
    Entries entries;
    for (int i = 0; i < kRecordsOfNet; ++i) {
      vector<int> labels(12);
      for (int k = 0; k < 12; ++k) {
        labels[k] = (i * 7 + k * 5) % 3 - 1;
      }
      entries.push_back({Key(i), MakeDatum(Image(i, kSide, kSide), labels).SerializeAsString()});
    }
    WriteLmdb(source_, entries);
    WriteMean(mean_, kSide, kSide, [](int, int, int) { return 127; });
  }

  // models/drml as it is, but for its sizes: every layer type, option and connection is the
  // model's.
  NetParameter SmallDRML(bool dropout) const {
    NetParameter model, small;
    ReadProtoFromTextFileOrDie("models/drml/train_val.prototxt", &model);
    for (LayerParameter layer : model.layer()) {
      if (layer.type() == "Dropout" && !dropout) {
        continue;
      }
      if (layer.type() == "MultiLabelData") {
        layer.mutable_transform_param()->set_crop_size(42);
        layer.mutable_transform_param()->set_mean_file(mean_);
        layer.mutable_multi_label_data_param()->set_source(source_);
        layer.mutable_multi_label_data_param()->set_batch_size(3);
      }
      if (layer.has_convolution_param()) {
        ConvolutionParameter* param = layer.mutable_convolution_param();
        param->set_num_output(6);
        if (layer.name() != "conv1") {
          param->set_kernel_size(0, layer.name() == "conv4" || layer.name() == "conv5" ? 5 : 3);
        }
        param->mutable_weight_filler()->set_type("msra");
      }
      if (layer.has_region_param()) {
        layer.mutable_region_param()->set_num_output(6);
        layer.mutable_region_param()->set_grid_h(5);  // 32 is not divisible by 5
        layer.mutable_region_param()->mutable_weight_filler()->set_type("msra");
      }
      if (layer.has_inner_product_param() && layer.name() != "fc10") {
        layer.mutable_inner_product_param()->set_num_output(20);
        layer.mutable_inner_product_param()->mutable_weight_filler()->set_type("xavier");
      }
      *small.add_layer() = layer;
    }
    return small;
  }

  shared_ptr<SGDSolver<float> > MakeSolver(Caffe::Brew mode, bool dropout, int seed = 7) const {
    Caffe::set_mode(mode);
    SolverParameter param;
    ReadProtoFromTextFileOrDie("models/drml/solver.prototxt", &param);
    param.clear_net();
    param.clear_test_iter();
    param.clear_test_interval();
    param.clear_test_initialization();
    *param.mutable_net_param() = SmallDRML(dropout);
    param.set_display(0);
    param.set_snapshot(0);
    param.set_snapshot_after_train(false);
    param.set_random_seed(seed);
    param.set_solver_mode(mode == Caffe::GPU ? SolverParameter_SolverMode_GPU
                                             : SolverParameter_SolverMode_CPU);
    return shared_ptr<SGDSolver<float> >(new SGDSolver<float>(param));
  }

  // The largest difference of two values of a parameter, as a share of the parameter's largest.
  static double Difference(const Net<float>& cpu, const Net<float>& gpu) {
    EXPECT_EQ(cpu.params().size(), gpu.params().size());
    double difference = 0;
    for (size_t i = 0; i < cpu.params().size(); ++i) {
      const Blob<float>& expected = *cpu.params()[i];
      const Blob<float>& actual = *gpu.params()[i];
      double largest = 1e-6, apart = 0;
      for (int j = 0; j < expected.count(); ++j) {
        const double value = expected.cpu_data()[j], other = actual.cpu_data()[j];
        EXPECT_TRUE(std::isfinite(other)) << "parameter " << i << ", element " << j;
        largest = std::max(largest, std::abs(value));
        apart = std::max(apart, std::abs(value - other));
      }
      difference = std::max(difference, apart / largest);
    }
    return difference;
  }

  TempDir dir_;
  const string source_, mean_;
};

// A value that rounds to the other side of a ReLU's kink, or to another maximum of a pooling
// window, changes gradients by far more than rounding does. It is rare, and no two seeds have it at
// once.
TEST_F(GPUNetTest, TestTrainsAsTheCPUDoes) {
  const int kSteps = 4;
  int rounding_apart = 0;
  for (int seed = 7; seed < 10; ++seed) {
    vector<float> losses;
    shared_ptr<SGDSolver<float> > cpu = MakeSolver(Caffe::CPU, false, seed);
    for (int i = 0; i < kSteps; ++i) {
      cpu->Step(1);
      losses.push_back(cpu->net()->blob_by_name("loss")->cpu_data()[0]);
    }
    shared_ptr<SGDSolver<float> > gpu = MakeSolver(Caffe::GPU, false, seed);
    for (int i = 0; i < kSteps; ++i) {
      gpu->Step(1);
      EXPECT_NEAR(gpu->net()->blob_by_name("loss")->cpu_data()[0], losses[i], 1e-4 * losses[i])
          << "seed " << seed << ", step " << i;
    }
    EXPECT_NE(losses[0], losses[kSteps - 1]);
    const double difference = Difference(*cpu->net(), *gpu->net());
    EXPECT_LE(difference, 2e-2) << "seed " << seed;
    rounding_apart += difference <= 1e-4;
    Caffe::set_mode(Caffe::CPU);  // a solver's clock must end in the mode that it began in
    cpu.reset();
    Caffe::set_mode(Caffe::GPU);
  }
  EXPECT_GE(rounding_apart, 2);
}

// With dropout, whose masks no CPU draws.
TEST_F(GPUNetTest, TestAWholeIterationStaysOnTheGPU) {
  shared_ptr<SGDSolver<float> > solver = MakeSolver(Caffe::GPU, true);
  solver->Step(2);
#ifdef CUDA_ON_HOST
  const cuda_on_host::Counters before = cuda_on_host::counters();
  solver->Step(3);
  const cuda_on_host::Counters after = cuda_on_host::counters();
  EXPECT_GT(after.launches, before.launches);
  EXPECT_EQ(after.device_to_host, before.device_to_host);
  EXPECT_EQ(after.allocations, before.allocations);
#else
  solver->Step(3);
#endif
  EXPECT_TRUE(std::isfinite(solver->net()->blob_by_name("loss")->cpu_data()[0]));
}

}  // namespace caffe

#endif  // CPU_ONLY
