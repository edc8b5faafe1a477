// Device memory and page-locked host memory, as the other parts see them.
#ifndef CUDA_ON_HOST_MEMORY_HPP_
#define CUDA_ON_HOST_MEMORY_HPP_

#include <cstddef>
#include <mutex>
#include <vector>

#include "cuda_runtime.h"

namespace cuda_on_host {

// Held by whoever uses the device: one launch, copy or library call runs at a time.
std::recursive_mutex& DeviceMutex();

enum class Place { kHost, kPinnedHost, kDevice };
Place PlaceOf(const void* pointer);

// Reports unless the bytes lie in one piece of device memory (or of page-locked host memory,
// which the device reaches as well). `user` and `what` name the call and its argument.
void RequireDeviceMemory(const char* user, const char* what, const void* pointer, size_t bytes);

// Reports if somebody wrote into a guard zone.
void CheckDeviceGuards(const char* after);

// While this lives, instrumented code may touch the device memory that it was given.
class DeviceAccess {
 public:
  DeviceAccess() {}
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
  // Opens the allocation that holds this pointer, if one does.
  void Open(const void* pointer);
  void OpenAll();

 private:
  struct Range {
    char* data;
    size_t size;
  };
  std::vector<Range> opened_;
  bool all_ = false;
};

// Reports unless the stream exists.
void RequireStream(const char* user, cudaStream_t stream);

}  // namespace cuda_on_host

#endif  // CUDA_ON_HOST_MEMORY_HPP_
