// Properties of a GPU that every CUDA knows by this name.
#ifndef CAFFE_EXT_COMPAT_DEVICE_ATTRIBUTE_HPP_
#define CAFFE_EXT_COMPAT_DEVICE_ATTRIBUTE_HPP_

#ifndef CPU_ONLY
#include <cuda_runtime.h>

namespace caffe_ext {

/// An attribute of the device in use; 0 where it cannot be asked for.
inline int CurrentDeviceAttribute(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&value, attribute, device);
  return value;
}

}  // namespace caffe_ext
#endif  // CPU_ONLY

#endif  // CAFFE_EXT_COMPAT_DEVICE_ATTRIBUTE_HPP_
