// The kernels that test_cuda_on_host.cpp launches: right ones, and one for each kind of bug.
#ifndef CUDA_ON_HOST_KERNELS_FOR_TESTS_HPP_
#define CUDA_ON_HOST_KERNELS_FOR_TESTS_HPP_

#include <cuda_runtime.h>

namespace right {

void Saxpy(int n, float a, const float* x, float* y);
void SaxpyOverStream(int n, double a, const double* x, double* y, cudaStream_t stream);
// One sum per row; the number of threads per row is a power of 2.
void SumRowsByBarriers(const float* x, int rows, int columns, int threads, float* sums);
void SumRowsByShuffles(const float* x, int rows, int columns, float* sums);
void ReverseInDynamicMemory(const int* x, int n, int* y);
void Transpose(const float* x, int rows, int columns, float* y);
void CountByAtomics(const int* x, int n, int bins, int* counts, double* sum);
// All lanes' results of the shuffles and of the votes, 7 x 32 numbers.
void WarpOperations(int* results);
void ShuffleInHalfWarp(double* results);
// A structure that leads to device memory, by value.
struct Pair {
  const float* from;
  float* to;
};
void CopyPair(const Pair& pair, int n);
// blockIdx, threadIdx, as one number per thread of a 3-D grid of 3-D blocks.
void Indices(dim3 grid, dim3 block, int* numbers);
float DeviceMath(float* scratch);

}  // namespace right

namespace wrong {

void SumWithoutBarrier(const float* x, int n, float* sum);
void ReadNeighbourWithoutWarpBarrier(int* y);
void BarrierInBranch(int* y);
void BarrierAfterReturn(int* y);
void TwoKindsOfBarrier(int* y);
void ShuffleInBranch(int* y);
void ShuffleOutsideOfMask(int* y);
void WritePastEnd(int n, float* y);
void WriteBeforeBegin(int n, float* y);
void ReadPastEnd(int n, const float* x, float* y);
void ReadOtherMemory(const float* x, long distance, float* y);
void ReadOtherMemoryByPair(const right::Pair& pair, long distance);
void WriteSharedPastEnd(int n, int* y);
void ReadDynamicSharedPastEnd(int n, int* y);
void ReadUnwrittenShared(float* y);
void SkipLast(int n, float* y);
void WrongStride(const float* x, int rows, int columns, int stride, float* y);
void LaunchWith(dim3 grid, dim3 block, size_t shared_bytes, int* y);
void TakeTooMuchShared(int* y);

}  // namespace wrong

#endif  // CUDA_ON_HOST_KERNELS_FOR_TESTS_HPP_
