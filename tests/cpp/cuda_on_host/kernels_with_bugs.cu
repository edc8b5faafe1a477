// Each of these has the bug that its name says, for the tests to see it found.
#include "kernels_for_tests.hpp"

namespace wrong {

__global__ void SumWithoutBarrierKernel(const float* x, float* sum) {
  __shared__ float partial[64];
  partial[threadIdx.x] = x[threadIdx.x];
  // Here it is missing.
  for (int half = 32; half > 0; half /= 2) {
    if (threadIdx.x < half) {
      partial[threadIdx.x] += partial[threadIdx.x + half];
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    *sum = partial[0];
  }
}
void SumWithoutBarrier(const float* x, int n, float* sum) {
  SumWithoutBarrierKernel<<<1, n>>>(x, sum);
}

__global__ void ReadNeighbourWithoutWarpBarrierKernel(int* y) {
  __shared__ int all[32];
  all[threadIdx.x] = threadIdx.x;
  // All in one warp, which does not make them run in step.
  y[threadIdx.x] = all[threadIdx.x ^ 1];
}
void ReadNeighbourWithoutWarpBarrier(int* y) {
  ReadNeighbourWithoutWarpBarrierKernel<<<1, 32>>>(y);
}

__global__ void BarrierInBranchKernel(int* y) {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  y[threadIdx.x] = 1;
}
void BarrierInBranch(int* y) { BarrierInBranchKernel<<<1, 32>>>(y); }

__global__ void BarrierAfterReturnKernel(int* y) {
  if (threadIdx.x == 5) {
    return;
  }
  __syncthreads();
  y[threadIdx.x] = 1;
}
void BarrierAfterReturn(int* y) { BarrierAfterReturnKernel<<<1, 32>>>(y); }

__global__ void TwoKindsOfBarrierKernel(int* y) {
  if (threadIdx.x < 32) {
    __syncwarp();
    y[threadIdx.x] = 1;
  }
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    __syncwarp();
  }
}
void TwoKindsOfBarrier(int* y) { TwoKindsOfBarrierKernel<<<1, 64>>>(y); }

__global__ void ShuffleInBranchKernel(int* y) {
  int value = threadIdx.x;
  if (threadIdx.x < 16) {
    value = __shfl_down_sync(0xffffffffu, value, 1);
  } else {
    value = __shfl_xor_sync(0xffffffffu, value, 1);
  }
  y[threadIdx.x] = value;
}
void ShuffleInBranch(int* y) { ShuffleInBranchKernel<<<1, 32>>>(y); }

__global__ void ShuffleOutsideOfMaskKernel(int* y) {
  y[threadIdx.x] = __shfl_down_sync(0x0000ffffu, static_cast<int>(threadIdx.x), 1);
}
void ShuffleOutsideOfMask(int* y) { ShuffleOutsideOfMaskKernel<<<1, 32>>>(y); }

__global__ void WritePastEndKernel(int n, float* y) {
  if (threadIdx.x <= n) {
    y[threadIdx.x] = 1;
  }
}
void WritePastEnd(int n, float* y) { WritePastEndKernel<<<1, 64>>>(n, y); }

__global__ void WriteBeforeBeginKernel(int n, float* y) {
  if (threadIdx.x < n) {
    y[static_cast<int>(threadIdx.x) - 1] = 1;
  }
}
void WriteBeforeBegin(int n, float* y) { WriteBeforeBeginKernel<<<1, 64>>>(n, y); }

__global__ void ReadPastEndKernel(int n, const float* x, float* y) {
  if (threadIdx.x < n) {
    y[threadIdx.x] = x[threadIdx.x + 1];
  }
}
void ReadPastEnd(int n, const float* x, float* y) { ReadPastEndKernel<<<1, 64>>>(n, x, y); }

__global__ void ReadOtherMemoryKernel(const float* x, long distance, float* y) { *y = x[distance]; }
void ReadOtherMemory(const float* x, long distance, float* y) {
  ReadOtherMemoryKernel<<<1, 1>>>(x, distance, y);
}

__global__ void ReadOtherMemoryByPairKernel(right::Pair pair, long distance) {
  *pair.to = pair.from[distance];
}
void ReadOtherMemoryByPair(const right::Pair& pair, long distance) {
  ReadOtherMemoryByPairKernel<<<1, 1>>>(pair, distance);
}

__global__ void WriteSharedPastEndKernel(int n, int* y) {
  __shared__ int all[16];
  int* const hidden = all;  // So that UBSan does not know the size.
  for (int i = 0; i < n; ++i) {
    hidden[i] = i;
  }
  y[0] = all[0];
}
void WriteSharedPastEnd(int n, int* y) { WriteSharedPastEndKernel<<<1, 1>>>(n, y); }

__global__ void ReadDynamicSharedPastEndKernel(int n, int* y) {
  extern __shared__ int all[];
  y[0] = all[n];
}
void ReadDynamicSharedPastEnd(int n, int* y) {
  ReadDynamicSharedPastEndKernel<<<1, 1, n * sizeof(int)>>>(n, y);
}

__global__ void ReadUnwrittenSharedKernel(float* y) {
  __shared__ float value;
  y[blockIdx.x] = value;
  value = 1;
}
void ReadUnwrittenShared(float* y) { ReadUnwrittenSharedKernel<<<2, 1>>>(y); }

__global__ void SkipLastKernel(int n, float* y) {
  if (threadIdx.x < n - 1) {
    y[threadIdx.x] = 1;
  }
}
void SkipLast(int n, float* y) { SkipLastKernel<<<1, 64>>>(n, y); }

__global__ void WrongStrideKernel(const float* x, int columns, int stride, float* y) {
  y[blockIdx.x * columns + threadIdx.x] = x[blockIdx.x * stride + threadIdx.x];
}
void WrongStride(const float* x, int rows, int columns, int stride, float* y) {
  WrongStrideKernel<<<rows, columns>>>(x, columns, stride, y);
}

__global__ void LaunchWithKernel(int* y) { y[0] = 1; }
void LaunchWith(dim3 grid, dim3 block, size_t shared_bytes, int* y) {
  LaunchWithKernel<<<grid, block, shared_bytes>>>(y);
}

__global__ void TakeTooMuchSharedKernel(int* y) {
  __shared__ int first[8192];
  __shared__ int second[8192];
  first[0] = second[0] = 1;
  y[0] = first[0];
}
void TakeTooMuchShared(int* y) { TakeTooMuchSharedKernel<<<1, 1>>>(y); }

}  // namespace wrong
