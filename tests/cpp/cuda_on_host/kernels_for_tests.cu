// Right kernels, with what CUDA sources do in them.
#include "kernels_for_tests.hpp"

#define FOR_EACH(i, n) \
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += blockDim.x * gridDim.x)

// A launch out of a macro.
#define LAUNCH_FOR(kernel, n, ...) kernel<<<((n) + 63) / 64, 64>>>(__VA_ARGS__)

namespace right {

template <typename T>
__global__ void SaxpyKernel(const int n, const T a, const T* __restrict__ x, T* y) {
  FOR_EACH(i, n) { y[i] += a * x[i]; }
}

void Saxpy(int n, float a, const float* x, float* y) {
  SaxpyKernel<float>  // A comment, as in Caffe: <<<not, this>>>(one)
      <<<(n + 255) / 256, 256>>>(n, a, x, y);
}

void SaxpyOverStream(int n, double a, const double* x, double* y, cudaStream_t stream) {
  // The template's arguments follow from the launch's. Two blocks: the loop goes round.
  SaxpyKernel<<<2, dim3(32), 0, stream>>>(n, a, x, y);
}

template <typename T, int kThreads>
__global__ void __launch_bounds__(kThreads)
    SumRowsByBarriersKernel(const T* x, int columns, T* sums) {
  __shared__ T partial[kThreads > 1 ? kThreads : 1];
  T sum = 0;
  for (int i = threadIdx.x; i < columns; i += kThreads) {
    sum += x[blockIdx.x * columns + i];
  }
  partial[threadIdx.x] = sum;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) {
      partial[threadIdx.x] += partial[threadIdx.x + half];
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    sums[blockIdx.x] = partial[0];
  }
}

void SumRowsByBarriers(const float* x, int rows, int columns, int threads, float* sums) {
  if (threads == 1) {
    SumRowsByBarriersKernel<float, 1><<<rows, 1>>>(x, columns, sums);
  } else if (threads == 64) {
    SumRowsByBarriersKernel<float, 64><<<rows, 64>>>(x, columns, sums);
  } else {
    SumRowsByBarriersKernel<float, (1024 > 512 ? 1024 : 512)><<<rows, 1024>>>(x, columns, sums);
  }
}

template <typename T>
__device__ __forceinline__ T SumOfWarp(T value) {
  for (int delta = warpSize / 2; delta > 0; delta /= 2) {
    value += __shfl_down_sync(0xffffffffu, value, delta);
  }
  return value;
}

template <typename T>
__device__ T SumOfBlock(T value) {
  __shared__ T of_warps[32];
  value = SumOfWarp(value);
  if (threadIdx.x % 32 == 0) {
    of_warps[threadIdx.x / 32] = value;
  }
  __syncthreads();
  value = threadIdx.x < blockDim.x / 32 ? of_warps[threadIdx.x] : T(0);
  return threadIdx.x < 32 ? SumOfWarp(value) : value;
}

__global__ void SumRowsByShufflesKernel(const float* x, int columns, float* sums) {
  float sum = 0;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) {
    sum += __ldg(x + blockIdx.x * columns + i);
  }
  sum = SumOfBlock(sum);
  if (threadIdx.x == 0) {
    sums[blockIdx.x] = sum;
  }
}

void SumRowsByShuffles(const float* x, int rows, int columns, float* sums) {
  SumRowsByShufflesKernel<<<rows, 128>>>(x, columns, sums);
}

__global__ void ReverseKernel(const int* x, int n, int* y) {
  extern __shared__ __align__(16) int all[];
  all[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = all[n - 1 - threadIdx.x];
}

void ReverseInDynamicMemory(const int* x, int n, int* y) {
  ReverseKernel<<<1, n, n * sizeof(int)>>>(x, n, y);
}

template <int kTile>
__global__ void TransposeKernel(const float* x, int rows, int columns, float* y) {
  __shared__ float tile[kTile][kTile + 1];
  int row = blockIdx.y * kTile + threadIdx.y, column = blockIdx.x * kTile + threadIdx.x;
  if (row < rows && column < columns) {
    tile[threadIdx.y][threadIdx.x] = x[row * columns + column];
  }
  __syncthreads();
  row = blockIdx.y * kTile + threadIdx.x;
  column = blockIdx.x * kTile + threadIdx.y;
  if (row < rows && column < columns) {
    y[column * rows + row] = tile[threadIdx.x][threadIdx.y];
  }
}

void Transpose(const float* x, int rows, int columns, float* y) {
  const dim3 grid((columns + 7) / 8, (rows + 7) / 8), block(8, 8);
  TransposeKernel<8><<<grid, block>>>(x, rows, columns, y);
}

__global__ void CountKernel(const int* x, int n, int bins, int* counts, double* sum) {
  __shared__ int largest;
  if (threadIdx.x == 0) {
    largest = -1;
  }
  __syncthreads();
  FOR_EACH(i, n) {
    atomicAdd(counts + x[i] % bins, 1);
    atomicMax(&largest, x[i]);
    // As Caffe adds doubles.
    unsigned long long* const bits = reinterpret_cast<unsigned long long*>(sum);
    unsigned long long old = *bits, assumed;
    do {
      assumed = old;
      old = atomicCAS(bits, assumed, __double_as_longlong(x[i] + __longlong_as_double(assumed)));
    } while (assumed != old);
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    atomicMax(counts + bins, largest);
  }
}

void CountByAtomics(const int* x, int n, int bins, int* counts, double* sum) {
  LAUNCH_FOR(CountKernel, n, x, n, bins, counts, sum);
}

__global__ void WarpOperationsKernel(int* results) {
  const int lane = threadIdx.x;
  results[lane] = __shfl_sync(0xffffffffu, lane * 10, 3);
  results[32 + lane] = __shfl_xor_sync(0xffffffffu, lane, 1);
  results[64 + lane] = __shfl_down_sync(0xffffffffu, lane, 2);
  results[96 + lane] = __shfl_up_sync(0xffffffffu, lane, 2);
  results[128 + lane] = __shfl_down_sync(0xffffffffu, lane, 1, 8);
  results[160 + lane] = static_cast<int>(__ballot_sync(0xffffffffu, lane % 2));
  results[192 + lane] = 2 * __any_sync(0xffffffffu, lane == 5) + __all_sync(0xffffffffu, lane == 5);
}

void WarpOperations(int* results) { WarpOperationsKernel<<<1, 32>>>(results); }

__global__ void ShuffleInHalfWarpKernel(double* results) {
  if (threadIdx.x < 16) {
    results[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, threadIdx.x + 0.5, 15);
  } else {
    results[threadIdx.x] = __shfl_sync(0xffff0000u, threadIdx.x + 0.25, 16);
    __syncwarp(0xffff0000u);
  }
}

void ShuffleInHalfWarp(double* results) { ShuffleInHalfWarpKernel<<<1, 32>>>(results); }

__global__ void CopyPairKernel(Pair pair, int n) {
  FOR_EACH(i, n) { pair.to[i] = pair.from[i]; }
}

void CopyPair(const Pair& pair, int n) { CopyPairKernel<<<1, 32>>>(pair, n); }

__global__ void IndicesKernel(int* numbers) {
  const int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  numbers[block * blockDim.x * blockDim.y * blockDim.z + thread] = 1000 * block + thread;
}

void Indices(dim3 grid, dim3 block, int* numbers) { IndicesKernel<<<grid, block>>>(numbers); }

__global__ void DeviceMathKernel(float* y) {
  const float nan = __int_as_float(-1);
  float ok = isnan(nan) && max(nan, 2.0f) == 2 && min(3, 2.5) == 2.5 && fmaxf(1, nan) == 1;
  ok += abs(-1.5f) == 1.5f && fabs(-2.5) == 2.5 && max(-1, 0) == 0 && min(7u, 3u) == 3;
  ok += rsqrt(4.0f) == 0.5f && __powf(2, 3) == 8 && __expf(0) == 1 && log1p(0.0f) == 0;
  ok += sizeof(exp(1.0f)) == 4 && sizeof(sqrt(2.0)) == 8 && signbit(-0.0f) && __popc(255) == 8;
  *y = ok;
}

float DeviceMath(float* scratch) {
  DeviceMathKernel<<<1, 1>>>(scratch);
  float result;
  cudaMemcpy(&result, scratch, sizeof(result), cudaMemcpyDeviceToHost);
  return result;
}

}  // namespace right
