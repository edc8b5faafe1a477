// Stands in for src/layers/device_buffer.hpp: memory that is asked for again holds nothing.
#ifndef CAFFE_ON_HOST_DEVICE_BUFFER_HPP_
#define CAFFE_ON_HOST_DEVICE_BUFFER_HPP_

#define DeviceBuffer LastingDeviceBuffer
#include "../../../src/layers/device_buffer.hpp"
#undef DeviceBuffer

#include "cuda_on_host/control.hpp"

namespace caffe_ext {

class DeviceBuffer : public LastingDeviceBuffer {
 public:
  template <typename T>
  T* Reserve(size_t count) {
    T* const memory = LastingDeviceBuffer::Reserve<T>(count);
    cuda_on_host::Poison(memory, count * sizeof(T));
    return memory;
  }
};

}  // namespace caffe_ext

#endif  // CAFFE_ON_HOST_DEVICE_BUFFER_HPP_
