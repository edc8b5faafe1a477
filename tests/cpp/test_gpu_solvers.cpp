// Several solvers as threads of one process, each on a GPU, as `caffe train -gpu 0,1` starts them;
// on the host, all on its one device.
#if !defined(CPU_ONLY) && defined(USE_NCCL)

#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "caffe/parallel.hpp"
#include "caffe/sgd_solvers.hpp"
#include "caffe/util/hdf5.hpp"
#include "multi_label_data_fixture.hpp"
#include "training/errors.hpp"

namespace caffe {

class GPUSolversTest : public ::testing::Test {
 protected:
  GPUSolversTest() { Caffe::set_mode(Caffe::GPU); }

  static bool EnoughDevices() {
#ifdef CUDA_ON_HOST
    return true;
#else
    int count = 0;
    CUDA_CHECK(cudaGetDeviceCount(&count));
    return count > 1;
#endif
  }
  static vector<int> Devices() {
#ifdef CUDA_ON_HOST
    return {0, 0};
#else
    return {0, 1};
#endif
  }

  // Rows of three values and a target. Of two solvers, the first one reads the even rows.
  void WriteRows(int nan_row) const {
    const int kRows = 24;
    Blob<float> data(vector<int>{kRows, 3}), label(vector<int>{kRows, 1});
    for (int i = 0; i < data.count(); ++i) {
      data.mutable_cpu_data()[i] = std::sin(1 + 2.3f * i);
    }
    for (int i = 0; i < kRows; ++i) {
      label.mutable_cpu_data()[i] = std::cos(1 + 1.7f * i);
    }
    if (nan_row >= 0) {
      data.mutable_cpu_data()[3 * nan_row] = std::numeric_limits<float>::quiet_NaN();
    }
    const hid_t file =
        H5Fcreate((dir_ / "rows.h5").c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    ASSERT_GE(file, 0);
    hdf5_save_nd_dataset(file, "data", data);
    hdf5_save_nd_dataset(file, "label", label);
    H5Fclose(file);
    std::ofstream(dir_ / "list.txt") << (dir_ / "rows.h5") << "\n";
  }

  SolverParameter Param(int batch, const string& options) const {
    const string text =
        "momentum: 0.9 lr_policy: 'fixed' random_seed: 5 max_iter: 5 solver_mode: GPU "
        "snapshot_after_train: false snapshot_prefix: '" +
        (dir_ / "run") + "' " + options +
        " net_param { layer { name: 'rows' type: 'HDF5Data' top: 'data' top: 'label' "
        "  hdf5_data_param { source: '" +
        (dir_ / "list.txt") + "' batch_size: " + std::to_string(batch) +
        " } } "
        "layer { name: 'fc' type: 'InnerProduct' bottom: 'data' top: 'fc' "
        "  inner_product_param { num_output: 1 weight_filler { type: 'xavier' } } } "
        "layer { name: 'loss' type: 'EuclideanLoss' bottom: 'fc' bottom: 'label' top: 'loss' } }";
    SolverParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(text, &param)) << text;
    return param;
  }

  static vector<float> Weights(const Solver<float>& solver) {
    vector<float> weights;
    for (const Blob<float>* blob : const_cast<Solver<float>&>(solver).net()->learnable_params()) {
      weights.insert(weights.end(), blob->cpu_data(), blob->cpu_data() + blob->count());
    }
    return weights;
  }

  // Trains two solvers of two rows each. Returns what stops them, and the weights of the first.
  string TrainTwo(const string& options, vector<float>* weights) const {
    const SolverGuard guard(0, 2);
    SolverParameter param = Param(2, options);
    param.set_device_id(Devices()[0]);
    shared_ptr<Solver<float> > solver(new SGDSolver<float>(param));
    NCCL<float> nccl(solver);
    string fault;
    try {
      nccl.Run(Devices(), NULL);
    } catch (const caffe_ext::LossError& error) {
      fault = error.what();
    }
    *weights = Weights(*solver);
    return fault;
  }

  bool Exists(const string& name) const { return boost::filesystem::exists(dir_ / name); }

  TempDir dir_;
};

// Two halves of a batch are one batch.
TEST_F(GPUSolversTest, TestTwoTrainAsOneDoes) {
  if (!EnoughDevices()) {
    return;
  }
  WriteRows(-1);
  for (const char* options : {"base_lr: 0.1", "base_lr: 0.1 layer_wise_reduce: false"}) {
    SGDSolver<float> alone(Param(4, options));
    alone.Solve();
    const vector<float> expected = Weights(alone);
    vector<float> found;
    EXPECT_EQ(TrainTwo(options, &found), "");
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_NEAR(found[i], expected[i], 1e-5) << options << ", " << i;
    }
  }
}

// In the second batch of either solver: both stop there, and what there is is kept.
TEST_F(GPUSolversTest, TestALossThatIsNotFinite) {
  if (!EnoughDevices()) {
    return;
  }
  for (const int row : {4, 5}) {
    WriteRows(row);
    vector<float> weights;
    const string fault = TrainTwo("base_lr: 0.1", &weights);
    const string device = "GPU " + std::to_string(Devices()[row % 2]);
    EXPECT_EQ(fault.find(device + ": Iteration 1: the loss is "), 0) << fault;
    EXPECT_NE(fault.find("in blob 'data', a top of layer 'rows' (HDF5Data)"), string::npos)
        << fault;
    EXPECT_NE(fault.find("For a look at it: " + (dir_ / "run_iter_1_nonfinite.caffemodel")),
              string::npos)
        << fault;
    EXPECT_TRUE(Exists("run_iter_1_nonfinite.caffemodel"));
    EXPECT_TRUE(Exists("run_iter_1_nonfinite.solverstate"));
    EXPECT_FALSE(Exists("run_iter_1.caffemodel"));
    boost::filesystem::remove(dir_ / "run_iter_1_nonfinite.caffemodel");
    for (float weight : weights) {
      EXPECT_TRUE(std::isfinite(weight));
    }
  }
}

TEST_F(GPUSolversTest, TestAnUpdateThatIsNotFinite) {
  if (!EnoughDevices()) {
    return;
  }
  WriteRows(-1);
  vector<float> weights;
  const string fault = TrainTwo("base_lr: 3e38", &weights);
  EXPECT_NE(fault.find("GPU 0: Iteration "), string::npos) << fault;
  EXPECT_NE(fault.find("_nonfinite.caffemodel"), string::npos) << fault;
  for (float weight : weights) {
    EXPECT_TRUE(std::isfinite(weight));
  }
}

}  // namespace caffe

#endif  // CPU_ONLY, USE_NCCL
