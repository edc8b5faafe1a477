// Stands in for the CUDA toolkit's header of the same name.
#ifndef CUDA_ON_HOST_DRIVER_TYPES_H_
#define CUDA_ON_HOST_DRIVER_TYPES_H_

#include "cuda_runtime.h"

#endif  // CUDA_ON_HOST_DRIVER_TYPES_H_
