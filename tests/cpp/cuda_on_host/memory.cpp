#include "memory.hpp"

#include <cstdlib>
#include <cstring>
#include <map>

#include "cuda_on_host/control.hpp"
#include "cuda_runtime.h"
#include "guarded.hpp"
#include "report.hpp"

namespace cuda_on_host {
namespace {

constexpr size_t kTotalBytes = size_t(4) << 30;
constexpr size_t kAlignment = 256;
// Without a guard's pattern, but just as forbidden: catches strides that jump a guard.
constexpr size_t kMarginBytes = 4096;

struct Allocation {
  char* raw;
  char* data;
  size_t size;
};

typedef std::map<const char*, Allocation> Allocations;  // By the address of the data.

// Never destroyed: Caffe frees memory in destructors that run at the program's very end.
struct Memory {
  Allocations device, pinned;
  size_t used = 0;
  Counters counters;
};
Memory& memory() {
  static Memory* const instance = new Memory;
  return *instance;
}

// A pointer just past the end belongs to the allocation, too: `data + offset` of nothing left.
const Allocation* Find(const Allocations& allocations, const void* pointer) {
  const char* const address = static_cast<const char*>(pointer);
  Allocations::const_iterator next = allocations.upper_bound(address);
  if (next == allocations.begin()) {
    return nullptr;
  }
  const Allocation& allocation = std::prev(next)->second;
  return address <= allocation.data + allocation.size ? &allocation : nullptr;
}

const Allocation* FindDevice(const void* pointer) { return Find(memory().device, pointer); }

const char* Name(Place place) {
  return place == Place::kDevice ? "device memory"
         : place == Place::kHost ? "host memory"
                                 : "page-locked host memory";
}

void CheckGuards(const Allocation& allocation, const char* after) {
  const bool before_intact = GuardIntact(allocation.data - kGuardBytes);
  if (!before_intact || !GuardIntact(allocation.data + allocation.size)) {
    Report("%s: somebody wrote %s the %zu bytes of device memory at %p", after,
           before_intact ? "past the end of" : "in front of", allocation.size,
           static_cast<void*>(allocation.data));
  }
}

// One end of a copy: reports unless it is where the copy's kind says, and long enough.
Place CheckEnd(const char* user, const char* what, const void* pointer, size_t bytes,
               bool kind_known, bool device_expected) {
  const Place place = PlaceOf(pointer);
  if (kind_known && device_expected != (place == Place::kDevice)) {
    Report("%s: %s (%p) lies in %s, against the kind of the copy", user, what, pointer,
           Name(place));
  }
  if (place != Place::kHost) {
    RequireDeviceMemory(user, what, pointer, bytes);
  }
  return place;
}

cudaError_t Copy(const char* user, void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) {
    return cudaErrorInvalidValue;
  }
  if (bytes == 0) {
    return cudaSuccess;
  }
  const std::lock_guard<std::recursive_mutex> lock(DeviceMutex());
  const bool known = kind != cudaMemcpyDefault;
  const bool to_device = Place::kDevice == CheckEnd(user, "the destination", to, bytes, known,
                                                    kind == cudaMemcpyHostToDevice ||
                                                        kind == cudaMemcpyDeviceToDevice);
  const bool from_device = Place::kDevice == CheckEnd(user, "the source", from, bytes, known,
                                                      kind == cudaMemcpyDeviceToHost ||
                                                          kind == cudaMemcpyDeviceToDevice);
  DeviceAccess access;
  access.Open(to);
  access.Open(from);
  memmove(to, from, bytes);
  Counters& count = counters();
  if (to_device && from_device) {
    ++count.device_to_device;
    count.device_to_device_bytes += bytes;
  } else if (to_device) {
    ++count.host_to_device;
    count.host_to_device_bytes += bytes;
  } else if (from_device) {
    ++count.device_to_host;
    count.device_to_host_bytes += bytes;
  }
  return cudaSuccess;
}

cudaError_t Fill(const char* user, void* pointer, int value, size_t bytes) {
  if (bytes == 0) {
    return cudaSuccess;
  }
  const std::lock_guard<std::recursive_mutex> lock(DeviceMutex());
  RequireDeviceMemory(user, "the destination", pointer, bytes);
  DeviceAccess access;
  access.Open(pointer);
  memset(pointer, value, bytes);
  return cudaSuccess;
}

}  // namespace

Counters& counters() { return memory().counters; }

std::recursive_mutex& DeviceMutex() {
  static std::recursive_mutex* const mutex = new std::recursive_mutex;
  return *mutex;
}

Place PlaceOf(const void* pointer) {
  const std::lock_guard<std::recursive_mutex> lock(DeviceMutex());
  if (FindDevice(pointer)) {
    return Place::kDevice;
  }
  return Find(memory().pinned, pointer) ? Place::kPinnedHost : Place::kHost;
}

void RequireDeviceMemory(const char* user, const char* what, const void* pointer, size_t bytes) {
  const std::lock_guard<std::recursive_mutex> lock(DeviceMutex());
  const Allocation* allocation = FindDevice(pointer);
  const char* kind = "device memory";
  if (!allocation) {
    allocation = Find(memory().pinned, pointer);
    kind = "page-locked host memory";
  }
  if (!allocation) {
    Report("%s: %s (%p) is no pointer to device memory", user, what, pointer);
  }
  const size_t left = allocation->data + allocation->size - static_cast<const char*>(pointer);
  if (bytes > left) {
    Report("%s: %s needs %zu bytes where only %zu bytes of %s are left", user, what, bytes, left,
           kind);
  }
}

void CheckDeviceGuards(const char* after) {
  for (const auto& entry : memory().device) {
    CheckGuards(entry.second, after);
  }
}

void DeviceAccess::Open(const void* pointer) {
#ifdef CUDA_ON_HOST_ASAN
  const Allocation* const allocation = FindDevice(pointer);
  if (allocation && !all_) {
    ASAN_UNPOISON_MEMORY_REGION(allocation->data, allocation->size);
    opened_.push_back({allocation->data, allocation->size});
  }
#else
  static_cast<void>(pointer);
#endif
}

void DeviceAccess::OpenAll() {
  if (!all_) {
    for (const auto& entry : memory().device) {
      Open(entry.first);
    }
    all_ = true;
  }
}

DeviceAccess::~DeviceAccess() {
  for (const Range& range : opened_) {
    ASAN_POISON_MEMORY_REGION(range.data, range.size);
  }
}

void Poison(void* device_pointer, size_t bytes) {
  if (device_pointer != nullptr) {
    Fill("Poison", device_pointer, kFreshByte, bytes);
  }
}

}  // namespace cuda_on_host

using cuda_on_host::Allocation;

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  using namespace cuda_on_host;
  const std::lock_guard<std::recursive_mutex> lock(DeviceMutex());
  *pointer = nullptr;
  if (bytes == 0) {
    return cudaSuccess;
  }
  if (bytes > kTotalBytes - memory().used) {
    return cudaErrorMemoryAllocation;
  }
  const size_t around = kMarginBytes + kGuardBytes;
  const size_t total = bytes + 2 * around + kAlignment;
  char* const raw = static_cast<char*>(malloc(total));
  if (raw == nullptr) {
    return cudaErrorMemoryAllocation;
  }
  const uintptr_t first = reinterpret_cast<uintptr_t>(raw) + around;
  char* const data = raw + around + (kAlignment - first % kAlignment) % kAlignment;
  memset(data, kFreshByte, bytes);
  SetGuard(data - kGuardBytes);
  SetGuard(data + bytes);
  ASAN_POISON_MEMORY_REGION(raw, total);
  memory().device[data] = Allocation{raw, data, bytes};
  memory().used += bytes;
  ++memory().counters.allocations;
  *pointer = data;
  return cudaSuccess;
}

cudaError_t cudaFree(void* pointer) {
  using namespace cuda_on_host;
  const std::lock_guard<std::recursive_mutex> lock(DeviceMutex());
  if (pointer == nullptr) {
    return cudaSuccess;
  }
  const auto found = memory().device.find(static_cast<char*>(pointer));
  if (found == memory().device.end()) {
    Report("cudaFree: %p is not what cudaMalloc returned, or is free already", pointer);
  }
  const Allocation allocation = found->second;
  CheckGuards(allocation, "cudaFree");
  memory().used -= allocation.size;
  memory().device.erase(found);
  ASAN_UNPOISON_MEMORY_REGION(allocation.raw,
                              allocation.data + allocation.size + kGuardBytes - allocation.raw);
  free(allocation.raw);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  using namespace cuda_on_host;
  const std::lock_guard<std::recursive_mutex> lock(DeviceMutex());
  *pointer = nullptr;
  if (bytes == 0) {
    return cudaSuccess;
  }
  char* const data = static_cast<char*>(malloc(bytes));
  if (data == nullptr) {
    return cudaErrorMemoryAllocation;
  }
  memset(data, kFreshByte, bytes);
  memory().pinned[data] = Allocation{data, data, bytes};
  *pointer = data;
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned /*flags*/) {
  return cudaMallocHost(pointer, bytes);
}

cudaError_t cudaFreeHost(void* pointer) {
  using namespace cuda_on_host;
  const std::lock_guard<std::recursive_mutex> lock(DeviceMutex());
  if (pointer == nullptr) {
    return cudaSuccess;
  }
  if (memory().pinned.erase(static_cast<char*>(pointer)) == 0) {
    Report("cudaFreeHost: %p is not what cudaMallocHost returned, or is free already", pointer);
  }
  free(pointer);
  return cudaSuccess;
}

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned flags) {
  using namespace cuda_on_host;
  if (flags != 0 || PlaceOf(host) != Place::kPinnedHost) {
    return cudaErrorInvalidValue;
  }
  *device = host;
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  using namespace cuda_on_host;
  const Place place = PlaceOf(pointer);
  void* const plain = const_cast<void*>(pointer);
  attributes->type = place == Place::kDevice       ? cudaMemoryTypeDevice
                     : place == Place::kPinnedHost ? cudaMemoryTypeHost
                                                   : cudaMemoryTypeUnregistered;
  attributes->device = place == Place::kHost ? -1 : 0;
  attributes->devicePointer = place == Place::kHost ? nullptr : plain;
  attributes->hostPointer = place == Place::kDevice ? nullptr : plain;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  using namespace cuda_on_host;
  const std::lock_guard<std::recursive_mutex> lock(DeviceMutex());
  *total_bytes = kTotalBytes;
  *free_bytes = kTotalBytes - memory().used;
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return cuda_on_host::Copy("cudaMemcpy", to, from, bytes, kind);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  cuda_on_host::RequireStream("cudaMemcpyAsync", stream);
  return cuda_on_host::Copy("cudaMemcpyAsync", to, from, bytes, kind);
}

cudaError_t cudaMemset(void* pointer, int value, size_t bytes) {
  return cuda_on_host::Fill("cudaMemset", pointer, value, bytes);
}

cudaError_t cudaMemsetAsync(void* pointer, int value, size_t bytes, cudaStream_t stream) {
  cuda_on_host::RequireStream("cudaMemsetAsync", stream);
  return cuda_on_host::Fill("cudaMemsetAsync", pointer, value, bytes);
}
