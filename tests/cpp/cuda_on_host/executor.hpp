// Runs kernels: what the parts of the executor know of each other.
#ifndef CUDA_ON_HOST_EXECUTOR_HPP_
#define CUDA_ON_HOST_EXECUTOR_HPP_

#include <cstddef>

#include "cuda_runtime.h"

namespace cuda_on_host {

constexpr int kMaxThreads = 1024, kMaxThreadsZ = 64;
constexpr int kMaxGridX = 0x7fffffff, kMaxGridYZ = 65535;
constexpr size_t kMaxSharedBytes = 48 << 10;

// "kernel name (file:line)" while one runs.
const char* RunningKernel();

// What cudaGetLastError of this host thread returns next.
void StoreError(cudaError_t error);

}  // namespace cuda_on_host

#endif  // CUDA_ON_HOST_EXECUTOR_HPP_
