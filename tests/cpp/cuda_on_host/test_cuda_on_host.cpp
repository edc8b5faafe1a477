// Proves that the executor computes what a device would, and that it finds planted bugs.
#include <cublas_v2.h>
#include <curand.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

#include "asan.hpp"
#include "cuda_on_host/control.hpp"
#include "kernels_for_tests.hpp"

namespace {

template <typename T>
class Device {
 public:
  explicit Device(size_t count) : count_(count) {
    EXPECT_EQ(cudaSuccess, cudaMalloc(&data_, Bytes()));
  }
  explicit Device(const std::vector<T>& values) : Device(values.size()) {
    cudaMemcpy(data_, values.data(), Bytes(), cudaMemcpyHostToDevice);
  }
  ~Device() { cudaFree(data_); }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  operator T*() const { return data_; }
  std::vector<T> Values() const {
    std::vector<T> values(count_);
    cudaMemcpy(values.data(), data_, Bytes(), cudaMemcpyDeviceToHost);
    return values;
  }

 private:
  size_t Bytes() const { return count_ * sizeof(T); }
  const size_t count_;
  T* data_ = nullptr;
};

std::vector<float> Ramp(int n) {
  std::vector<float> values(n);
  std::iota(values.begin(), values.end(), 0.f);
  return values;
}

// Runs a test's body in the natural order and in some others.
template <typename Body>
void ForSomeOrders(const Body& body) {
  const unsigned before = cuda_on_host::seed();
  for (unsigned seed = 0; seed < 6; ++seed) {
    SCOPED_TRACE(seed);
    cuda_on_host::SetSeed(seed);
    body();
  }
  cuda_on_host::SetSeed(before);
}

TEST(CudaOnHost, RunsPlainKernels) {
  ForSomeOrders([] {
    const Device<float> x(Ramp(1000)), y(std::vector<float>(1000, 1));
    right::Saxpy(1000, 2, x, y);
    const std::vector<float> result = y.Values();
    for (int i = 0; i < 1000; ++i) {
      ASSERT_EQ(2 * i + 1, result[i]);
    }
  });
}

TEST(CudaOnHost, RunsOnStreams) {
  cudaStream_t stream;
  ASSERT_EQ(cudaSuccess, cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  const Device<double> x(std::vector<double>(100, 3)), y(std::vector<double>(100, 1));
  right::SaxpyOverStream(100, 2, x, y, stream);
  EXPECT_EQ(cudaSuccess, cudaStreamSynchronize(stream));
  EXPECT_EQ(std::vector<double>(100, 7), y.Values());
  EXPECT_EQ(cudaSuccess, cudaStreamDestroy(stream));
  EXPECT_DEATH(right::SaxpyOverStream(100, 2, x, y, stream), "SaxpyKernel.*stream.*not exist");
}

TEST(CudaOnHost, SumsByBarriers) {
  ForSomeOrders([] {
    for (int threads : {1, 64, 1024}) {
      const Device<float> x(Ramp(3 * 500)), sums(3);
      right::SumRowsByBarriers(x, 3, 500, threads, sums);
      EXPECT_EQ((std::vector<float>{124750, 374750, 624750}), sums.Values());
    }
  });
}

TEST(CudaOnHost, SumsByShuffles) {
  ForSomeOrders([] {
    const Device<float> x(Ramp(3 * 500)), sums(3);
    right::SumRowsByShuffles(x, 3, 500, sums);
    EXPECT_EQ((std::vector<float>{124750, 374750, 624750}), sums.Values());
  });
}

TEST(CudaOnHost, GivesDynamicSharedMemory) {
  ForSomeOrders([] {
    const Device<int> x(std::vector<int>{1, 2, 3, 4, 5}), y(5);
    right::ReverseInDynamicMemory(x, 5, y);
    EXPECT_EQ((std::vector<int>{5, 4, 3, 2, 1}), y.Values());
  });
}

TEST(CudaOnHost, RunsBlocksOfTwoDimensions) {
  ForSomeOrders([] {
    const Device<float> x(Ramp(20 * 13)), y(20 * 13);
    right::Transpose(x, 20, 13, y);
    const std::vector<float> result = y.Values();
    for (int i = 0; i < 20 * 13; ++i) {
      ASSERT_EQ(i % 20 * 13 + i / 20, result[i]);
    }
  });
}

TEST(CudaOnHost, NumbersBlocksAndThreads) {
  ForSomeOrders([] {
    const Device<int> numbers(24 * 30);
    right::Indices(dim3(2, 3, 4), dim3(5, 3, 2), numbers);
    const std::vector<int> result = numbers.Values();
    for (int i = 0; i < 24 * 30; ++i) {
      ASSERT_EQ(i / 30 * 1000 + i % 30, result[i]);
    }
  });
}

TEST(CudaOnHost, HasAtomicOperations) {
  ForSomeOrders([] {
    std::vector<int> values(200);
    std::iota(values.begin(), values.end(), 0);
    const Device<int> x(values), counts(std::vector<int>(5, 0));
    const Device<double> sum(std::vector<double>(1, 0));
    right::CountByAtomics(x, 200, 4, counts, sum);
    EXPECT_EQ((std::vector<int>{50, 50, 50, 50, 199}), counts.Values());
    EXPECT_EQ(19900, sum.Values()[0]);
  });
}

TEST(CudaOnHost, HasWarpOperations) {
  ForSomeOrders([] {
    const Device<int> results(7 * 32);
    right::WarpOperations(results);
    const std::vector<int> r = results.Values();
    for (int lane = 0; lane < 32; ++lane) {
      EXPECT_EQ(30, r[lane]);
      EXPECT_EQ(lane ^ 1, r[32 + lane]);
      EXPECT_EQ(lane < 30 ? lane + 2 : lane, r[64 + lane]);
      EXPECT_EQ(lane >= 2 ? lane - 2 : lane, r[96 + lane]);
      EXPECT_EQ(lane % 8 < 7 ? lane + 1 : lane, r[128 + lane]);
      EXPECT_EQ(static_cast<int>(0xaaaaaaaa), r[160 + lane]);
      EXPECT_EQ(2, r[192 + lane]);
    }
  });
}

TEST(CudaOnHost, LetsPartsOfAWarpGoTheirWays) {
  ForSomeOrders([] {
    const Device<double> results(32);
    right::ShuffleInHalfWarp(results);
    const std::vector<double> r = results.Values();
    for (int lane = 0; lane < 32; ++lane) {
      EXPECT_EQ(lane < 16 ? (lane ^ 15) + 0.5 : 16.25, r[lane]);
    }
  });
}

TEST(CudaOnHost, ServesSeveralHostThreads) {
  const auto work = [] {
    for (int i = 0; i < 20; ++i) {
      const Device<float> x(Ramp(3 * 500)), sums(3);
      right::SumRowsByBarriers(x, 3, 500, 64, sums);
      EXPECT_EQ((std::vector<float>{124750, 374750, 624750}), sums.Values());
    }
  };
  std::thread first(work), second(work);
  work();
  first.join();
  second.join();
}

TEST(CudaOnHost, FollowsPointersInStructures) {
  const Device<float> from(Ramp(50)), to(50);
  right::CopyPair(right::Pair{from, to}, 50);
  EXPECT_EQ(Ramp(50), to.Values());
}

TEST(CudaOnHost, HasCudasMathematics) {
  const Device<float> scratch(1);
  EXPECT_EQ(4, right::DeviceMath(scratch));
}

TEST(CudaOnHost, Counts) {
  cuda_on_host::counters() = cuda_on_host::Counters();
  const Device<float> x(Ramp(10)), y(10);
  right::Saxpy(10, 1, x, y);
  cudaMemcpy(y, x, 40, cudaMemcpyDefault);
  y.Values();
  EXPECT_EQ(1, cuda_on_host::counters().launches);
  EXPECT_EQ(2, cuda_on_host::counters().allocations);
  EXPECT_EQ(1, cuda_on_host::counters().host_to_device);
  EXPECT_EQ(40, cuda_on_host::counters().host_to_device_bytes);
  EXPECT_EQ(1, cuda_on_host::counters().device_to_device);
  EXPECT_EQ(40, cuda_on_host::counters().device_to_device_bytes);
  EXPECT_EQ(1, cuda_on_host::counters().device_to_host);
  EXPECT_EQ(40, cuda_on_host::counters().device_to_host_bytes);
}

TEST(CudaOnHost, KnowsWhereMemoryLies) {
  float* pinned;
  ASSERT_EQ(cudaSuccess, cudaMallocHost(&pinned, 40));
  const Device<float> device(10);
  float host;
  cudaPointerAttributes attributes;
  cudaPointerGetAttributes(&attributes, pinned + 3);
  EXPECT_EQ(cudaMemoryTypeHost, attributes.type);
  cudaPointerGetAttributes(&attributes, device + 3);
  EXPECT_EQ(cudaMemoryTypeDevice, attributes.type);
  cudaPointerGetAttributes(&attributes, &host);
  EXPECT_EQ(cudaMemoryTypeUnregistered, attributes.type);
  // A device reaches page-locked memory.
  std::fill(pinned, pinned + 10, 1.f);
  right::Saxpy(10, 2, pinned, pinned);
  EXPECT_EQ(3, pinned[9]);
  EXPECT_EQ(cudaSuccess, cudaFreeHost(pinned));
}

// --- cuBLAS and cuRAND.

class CudaOnHostLibraries : public testing::Test {
 protected:
  CudaOnHostLibraries() {
    cublasCreate(&blas_);
    curandCreateGenerator(&random_, CURAND_RNG_PSEUDO_DEFAULT);
    curandSetPseudoRandomGeneratorSeed(random_, 7);
  }
  ~CudaOnHostLibraries() {
    cublasDestroy(blas_);
    curandDestroyGenerator(random_);
  }
  const float one_ = 1, zero_ = 0, nan_ = NAN;
  cublasHandle_t blas_;
  curandGenerator_t random_;
};

TEST_F(CudaOnHostLibraries, Multiply) {
  // By columns: A is 2x3, B is 3x2.
  const Device<float> a({1, 4, 2, 5, 3, 6}), b({1, 0, 0, 1, 1, 1}), c({nan_, nan_, nan_, nan_}),
      y(2);
  cublasSgemm(blas_, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 3, &one_, a, 2, b, 3, &zero_, c, 2);
  EXPECT_EQ((std::vector<float>{1, 4, 6, 15}), c.Values());
  cublasSgemv(blas_, CUBLAS_OP_N, 2, 3, &one_, a, 2, b + 3, 1, &zero_, y, 1);
  EXPECT_EQ((std::vector<float>{6, 15}), y.Values());
  // Two products of 1x1, 3 and 2 numbers apart.
  cublasSgemmStridedBatched(blas_, CUBLAS_OP_T, CUBLAS_OP_N, 1, 1, 1, &one_, a, 1, 3, a, 1, 2,
                            &zero_, c, 1, 1, 2);
  EXPECT_EQ((std::vector<float>{1, 10, 6, 15}), c.Values());
  float dot, sum;
  cublasSdot(blas_, 3, a, 1, a + 1, 2, &dot);
  EXPECT_EQ(1 * 4 + 4 * 5 + 2 * 6, dot);
  cublasSasum(blas_, 6, a, 1, &sum);
  EXPECT_EQ(21, sum);
}

TEST_F(CudaOnHostLibraries, CheckExtents) {
  const Device<float> a(6), b(6), c(4);
  const auto multiply = [&](int k, int lda, const float* third) {
    cublasSgemm(blas_, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, k, &one_, a, lda, b, k, &zero_,
                const_cast<float*>(third), 2);
  };
  float host[4];
  EXPECT_DEATH(multiply(4, 2, c), "cublasSgemm: A needs 32 bytes where only 24");
  EXPECT_DEATH(multiply(3, 1, c), "cublasSgemm: the leading dimension 1 of A");
  EXPECT_DEATH(multiply(3, 2, c + 1), "cublasSgemm: C needs 16 bytes where only 12");
  EXPECT_DEATH(multiply(3, 2, host), "cublasSgemm: C .* no pointer to device memory");
  EXPECT_DEATH(cublasSaxpy(blas_, 4, &one_, a, 2, b, 1), "cublasSaxpy: x needs 28 bytes");
  EXPECT_DEATH(cublasSdot(blas_, 4, a, 1, b, 1, c), "cublasSdot: the result");
}

TEST_F(CudaOnHostLibraries, DrawNumbers) {
  const int n = 10000;
  const Device<float> x(n), y(n);
  curandGenerateUniform(random_, x, n);
  curandGenerateNormal(random_, y, n, 1, 2);
  double mean = 0, square = 0;
  for (float value : x.Values()) {
    ASSERT_TRUE(value > 0 && value <= 1);
  }
  for (float value : y.Values()) {
    mean += value / n;
    square += (value - 1) * (value - 1) / n;
  }
  EXPECT_NEAR(1, mean, 0.1);
  EXPECT_NEAR(4, square, 0.2);
  const std::vector<float> first = x.Values();
  curandSetGeneratorOffset(random_, 0);
  curandGenerateUniform(random_, x, n);
  EXPECT_EQ(first, x.Values());
  EXPECT_EQ(CURAND_STATUS_LENGTH_NOT_MULTIPLE, curandGenerateNormal(random_, y, 3, 1, 2));
  EXPECT_DEATH(curandGenerateUniform(random_, x, n + 1), "curandGenerateUniform: .* needs 40004");
}

// --- Planted bugs.

// Whether some of a few orders of the threads gives another result than the right one.
template <typename Run, typename T>
bool SomeOrderDiffers(const Run& run, const T& right) {
  bool differs = false;
  ForSomeOrders([&] { differs |= run() != right; });
  return differs;
}

TEST(CudaOnHostFinds, MissingBarrier) {
  const Device<float> x(Ramp(64)), sum(1);
  const auto run = [&] {
    wrong::SumWithoutBarrier(x, 64, sum);
    return sum.Values()[0];
  };
  EXPECT_TRUE(SomeOrderDiffers(run, 2016.f));
}

TEST(CudaOnHostFinds, MissingWarpBarrier) {
  const Device<int> y(32);
  std::vector<int> right(32);
  for (int i = 0; i < 32; ++i) {
    right[i] = i ^ 1;
  }
  const auto run = [&] {
    wrong::ReadNeighbourWithoutWarpBarrier(y);
    return y.Values();
  };
  EXPECT_TRUE(SomeOrderDiffers(run, right));
}

TEST(CudaOnHostFinds, Divergence) {
  const Device<int> y(64);
  EXPECT_DEATH(wrong::BarrierInBranch(y),
               "BarrierInBranchKernel.*divergence.*waits at __syncthreads.*waits at __syncthreads");
  EXPECT_DEATH(wrong::BarrierAfterReturn(y), "divergence.*thread .5,0,0. has ended");
  EXPECT_DEATH(wrong::TwoKindsOfBarrier(y), "divergence.*__syncthreads.*__syncwarp");
  EXPECT_DEATH(wrong::ShuffleInBranch(y), "divergence.*__shfl_down_sync.*__shfl_xor_sync");
  EXPECT_DEATH(wrong::ShuffleOutsideOfMask(y),
               "__shfl_down_sync.*which its mask 0xffff leaves out");
}

TEST(CudaOnHostFinds, WritesOutsideOfMemory) {
  const Device<float> y(10);
  EXPECT_DEATH(wrong::WritePastEnd(10, y), "use-after-poison|past the end of the 40 bytes");
  EXPECT_DEATH(wrong::WriteBeforeBegin(10, y), "use-after-poison|in front of the 40 bytes");
}

TEST(CudaOnHostFinds, WritesOutsideOfSharedMemory) {
  const Device<int> y(10);
  EXPECT_DEATH(wrong::WriteSharedPastEnd(17, y),
               "use-after-poison|past the end of the 64 bytes.*all");
}

#ifdef CUDA_ON_HOST_ASAN
TEST(CudaOnHostFinds, ReadsOutsideOfMemory) {
  const Device<float> x(10), y(20), other(10);
  EXPECT_DEATH(wrong::ReadPastEnd(10, x, y), "use-after-poison");
  // The other's memory exists, but the kernel was not given it.
  EXPECT_DEATH(wrong::ReadOtherMemory(x, other - x, y), "use-after-poison");
  EXPECT_DEATH(wrong::ReadOtherMemoryByPair(right::Pair{x, y}, other - x), "use-after-poison");
  EXPECT_DEATH(wrong::WrongStride(x, 2, 5, 6, y), "use-after-poison");
}

TEST(CudaOnHostFinds, ReadsOutsideOfSharedMemory) {
  const Device<int> y(10);
  EXPECT_DEATH(wrong::ReadDynamicSharedPastEnd(7, y), "use-after-poison");
}

TEST(CudaOnHostFinds, HostTouchingDeviceMemory) {
  const Device<float> x(10);
  float* const data = x;
  EXPECT_DEATH(data[3] = 1, "use-after-poison");
  right::Saxpy(10, 1, x, x);  // Closes it again behind itself.
  EXPECT_DEATH(printf("%f", data[3]), "use-after-poison");
}
#endif

TEST(CudaOnHostFinds, UnwrittenMemory) {
  const Device<float> y(10);
  wrong::SkipLast(10, y);
  EXPECT_TRUE(std::isnan(y.Values()[9]));
  cudaMemset(y, 0, 40);
  cuda_on_host::Poison(y, 40);
  cuda_on_host::Poison(nullptr, 40);
  wrong::SkipLast(10, y);
  EXPECT_EQ(1, y.Values()[8]);
  EXPECT_TRUE(std::isnan(y.Values()[9]));
  wrong::ReadUnwrittenShared(y);
  EXPECT_TRUE(std::isnan(y.Values()[0]) && std::isnan(y.Values()[1]));
}

TEST(CudaOnHostFinds, PointersToTheWrongMemory) {
  const Device<float> x(10);
  std::vector<float> host(10);
  EXPECT_DEATH(
      right::Saxpy(10, 1, host.data(), x),
      "kernel SaxpyKernel.*kernels_for_tests.cu:[0-9]+.: argument 3 .* no pointer to device");
  float* freed;
  cudaMalloc(&freed, 40);
  cudaFree(freed);
  EXPECT_DEATH(right::Saxpy(10, 1, x, freed), "argument 4 .* no pointer to device memory");
  EXPECT_DEATH(cudaFree(freed), "cudaFree: .* is free already");
  EXPECT_DEATH(cudaMemcpy(x, host.data(), 40, cudaMemcpyDeviceToHost), "against the kind");
  EXPECT_DEATH(cudaMemcpy(host.data(), x, 44, cudaMemcpyDefault), "source needs 44 bytes");
  EXPECT_DEATH(cudaMemset(host.data(), 0, 4), "no pointer to device memory");
}

TEST(CudaOnHostFinds, ImpossibleLaunches) {
  const Device<int> y(1);
  const auto error = [&](dim3 grid, dim3 block, size_t shared_bytes = 0) {
    wrong::LaunchWith(grid, block, shared_bytes, y);
    EXPECT_EQ(cudaPeekAtLastError(), cudaPeekAtLastError());
    return cudaGetLastError();
  };
  EXPECT_EQ(cudaSuccess, error(1, 1024, 48 << 10));
  EXPECT_EQ(cudaErrorInvalidConfiguration, error(0, 1));
  EXPECT_EQ(cudaErrorInvalidConfiguration, error(1, 0));
  EXPECT_EQ(cudaErrorInvalidConfiguration, error(1, 1025));
  EXPECT_EQ(cudaErrorInvalidConfiguration, error(1, dim3(32, 33)));
  EXPECT_EQ(cudaErrorInvalidConfiguration, error(dim3(1, 65536), 1));
  EXPECT_EQ(cudaErrorInvalidConfiguration, error(1, 1, (48 << 10) + 1));
  EXPECT_EQ(cudaSuccess, cudaGetLastError());
  EXPECT_DEATH(wrong::TakeTooMuchShared(y), "TakeTooMuchShared.*exceed 49152 bytes.*");
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
