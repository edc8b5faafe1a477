// SolverParameter.gemm_math: in which precision cuBLAS multiplies for a solver.
#ifndef CPU_ONLY

#include <cmath>
#include <string>
#include <vector>

#include "caffe/sgd_solvers.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/util/math_functions.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace caffe {

class GPUMathTest : public ::testing::Test {
 protected:
  GPUMathTest() { Caffe::set_mode(Caffe::GPU); }
  ~GPUMathTest() { CUBLAS_CHECK(cublasSetMathMode(Caffe::cublas_handle(), CUBLAS_DEFAULT_MATH)); }

  static shared_ptr<SGDSolver<float> > MakeSolver(const string& more) {
    SolverParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(
        R"(lr_policy: "fixed" base_lr: 0.1 max_iter: 9 snapshot_after_train: false random_seed: 3
           net_param {
             layer { name: "data" type: "DummyData" top: "data" top: "target"
               dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
                                  data_filler { type: "gaussian" } } }
             layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
               inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
             layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "target" } } )" +
            more,
        &param));
    return shared_ptr<SGDSolver<float> >(new SGDSolver<float>(param));
  }

  static cublasMath_t Mode() {
    cublasMath_t mode;
    CUBLAS_CHECK(cublasGetMathMode(Caffe::cublas_handle(), &mode));
    return mode;
  }
};

TEST_F(GPUMathTest, TestASolverSetsItAndTheNextOneSetsItBack) {
  const shared_ptr<SGDSolver<float> > fast = MakeSolver("gemm_math: TF32");
  const shared_ptr<SGDSolver<float> > exact = MakeSolver("");
  const shared_ptr<SGDSolver<float> > named = MakeSolver("gemm_math: FLOAT32");
  EXPECT_EQ(Mode(), CUBLAS_DEFAULT_MATH);
  for (int i = 0; i < 2; ++i) {
    fast->Step(1);
    EXPECT_EQ(Mode(), CUBLAS_TF32_TENSOR_OP_MATH);
    (i ? exact : named)->Step(1);
    EXPECT_EQ(Mode(), CUBLAS_DEFAULT_MATH);
  }
}

TEST_F(GPUMathTest, TestOnTheCPUTheLogSaysOnceThatItHasNoEffect) {
  Caffe::set_mode(Caffe::CPU);
  FLAGS_logtostderr = true;
  ::testing::internal::CaptureStderr();
  MakeSolver("solver_mode: CPU gemm_math: TF32")->Step(1);
  MakeSolver("solver_mode: CPU gemm_math: TF32")->Step(1);
  const string said = ::testing::internal::GetCapturedStderr();
  FLAGS_logtostderr = false;
  const string warning = "gemm_math: TF32 has no effect: this solver runs on the CPU";
  const size_t place = said.find(warning);
  ASSERT_NE(place, string::npos) << said;
  EXPECT_EQ(said.find(warning, place + 1), string::npos) << said;
  EXPECT_EQ(Mode(), CUBLAS_DEFAULT_MATH);
}

// A product of 1 + 2^-12 with itself, whose last bits TF32 does not have.
TEST_F(GPUMathTest, TestProductsLoseTheBitsThatTF32DoesNotHave) {
  const int kSide = 256;
  const float kFactor = 1 + std::ldexp(1.f, -12);
  Blob<float> a(vector<int>{kSide, kSide}), b(a.shape()), c(a.shape());
  caffe_set(a.count(), kFactor, a.mutable_cpu_data());
  caffe_set(b.count(), kFactor, b.mutable_cpu_data());
  const auto multiply = [&]() {
    caffe_gpu_gemm<float>(CblasNoTrans, CblasNoTrans, kSide, kSide, kSide, 1, a.gpu_data(),
                          b.gpu_data(), 0, c.mutable_gpu_data());
    return c.cpu_data()[kSide + 1] / kSide;
  };
  MakeSolver("")->Step(1);
  EXPECT_NEAR(multiply(), kFactor * kFactor, 1e-5);
  MakeSolver("gemm_math: TF32")->Step(1);
  const float rounded = multiply();
#ifdef CUDA_ON_HOST
  EXPECT_NEAR(rounded, kFactor * kFactor, 1e-5);  // the host's BLAS has no TF32
#else
  int device, major;
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  EXPECT_NEAR(rounded, major < 8 ? kFactor * kFactor : 1, 1e-5);
#endif
}

}  // namespace caffe

#endif  // CPU_ONLY
