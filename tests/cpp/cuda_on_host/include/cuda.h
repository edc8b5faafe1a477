// Stands in for the CUDA driver's header: of which Caffe uses the version only.
#ifndef CUDA_ON_HOST_CUDA_H_
#define CUDA_ON_HOST_CUDA_H_

#define CUDA_VERSION 13000

#endif  // CUDA_ON_HOST_CUDA_H_
