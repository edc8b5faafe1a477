// NCCL among threads of one process, as Caffe's parallel.cpp uses it: in place of the library's
// header. All ranks are on the one device; an operation is done when its call returns.
#ifndef CUDA_ON_HOST_NCCL_H_
#define CUDA_ON_HOST_NCCL_H_

#include <cuda_runtime.h>
#include <stddef.h>

#define NCCL_UNIQUE_ID_BYTES 128

typedef struct ncclComm* ncclComm_t;
typedef struct {
  char internal[NCCL_UNIQUE_ID_BYTES];
} ncclUniqueId;
typedef enum { ncclSuccess = 0, ncclInvalidArgument = 4, ncclInvalidUsage = 5 } ncclResult_t;
typedef enum { ncclSum = 0 } ncclRedOp_t;
typedef enum { ncclFloat = 7, ncclDouble = 8 } ncclDataType_t;

const char* ncclGetErrorString(ncclResult_t result);

/// Several processes are refused: ncclInvalidUsage.
ncclResult_t ncclGetUniqueId(ncclUniqueId* id);
ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank);

ncclResult_t ncclCommInitAll(ncclComm_t* comms, int ranks, const int* devices);
ncclResult_t ncclCommDestroy(ncclComm_t comm);

/// Sums are in the order of the ranks, in the values' own type.
ncclResult_t ncclAllReduce(const void* send, void* receive, size_t count, ncclDataType_t type,
                           ncclRedOp_t operation, ncclComm_t comm, cudaStream_t stream);
ncclResult_t ncclBcast(void* values, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                       cudaStream_t stream);

#endif  // CUDA_ON_HOST_NCCL_H_
