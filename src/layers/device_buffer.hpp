#ifndef DRML_LAYERS_DEVICE_BUFFER_HPP_
#define DRML_LAYERS_DEVICE_BUFFER_HPP_

#include <cstddef>

#include "caffe/common.hpp"
#include "caffe/util/device_alternate.hpp"

namespace caffe_ext {

/// Scratch memory on the current GPU, for what a pass of a layer forgets when it is over.
class DeviceBuffer {
 public:
  DeviceBuffer() : memory_(NULL), bytes_(0) {}
  // What CUDA answers is not looked at: at the end of a process its runtime may be gone before us.
  ~DeviceBuffer() { cudaFree(memory_); }

  /// Memory for `count` values of undefined content; what was there before is lost.
  template <typename T>
  T* Reserve(size_t count) {
    const size_t bytes = count * sizeof(T);
    if (bytes > bytes_) {
      CUDA_CHECK(cudaFree(memory_));
      memory_ = NULL;
      bytes_ = 0;
      CUDA_CHECK(cudaMalloc(&memory_, bytes));
      bytes_ = bytes;
    }
    return static_cast<T*>(memory_);
  }

 private:
  DeviceBuffer(const DeviceBuffer&);
  DeviceBuffer& operator=(const DeviceBuffer&);

  void* memory_;
  size_t bytes_;
};

}  // namespace caffe_ext

#endif  // DRML_LAYERS_DEVICE_BUFFER_HPP_
