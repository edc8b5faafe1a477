// What rewrite_kernels.py turns kernel launches and __shared__ declarations into.
#ifndef CUDA_ON_HOST_LAUNCH_HPP_
#define CUDA_ON_HOST_LAUNCH_HPP_

#include <cstddef>
#include <memory>
#include <mutex>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "cuda_runtime.h"

namespace cuda_on_host {

// Where a launch stands in the sources.
struct Site {
  const char* kernel;
  const char* file;
  int line;
};

class DeviceAccess;

// One launch: checks its configuration and its arguments, then runs it.
class LaunchScope {
 public:
  LaunchScope(const Site& site, dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream);
  ~LaunchScope();
  LaunchScope(const LaunchScope&) = delete;
  LaunchScope& operator=(const LaunchScope&) = delete;
  // False after a configuration that no device would run: cudaGetLastError says so.
  bool valid() const { return valid_; }
  // The kernel may touch the memory that its arguments point to, and no other.
  void UsePointer(int argument, const void* pointer);
  // The same for all that looks like a pointer to device memory in a structure passed by value.
  void UsePointersIn(const void* structure, size_t bytes);
  void UseAllMemory();
  void Run(void (*thread_body)(const void*), const void* context);

 private:
  const Site site_;
  const dim3 grid_, block_;
  const size_t shared_bytes_;
  bool valid_ = false;
  std::unique_lock<std::recursive_mutex> lock_;
  std::unique_ptr<DeviceAccess> access_;
};

// Whether memory of this type may lead a kernel on to other memory.
template <typename T>
struct HoldsNoPointer
    : std::integral_constant<bool, std::is_arithmetic<T>::value || std::is_enum<T>::value> {};
template <>
struct HoldsNoPointer<void> : std::true_type {};
template <>
struct HoldsNoPointer<int2> : std::true_type {};
template <>
struct HoldsNoPointer<int4> : std::true_type {};
template <>
struct HoldsNoPointer<uint2> : std::true_type {};
template <>
struct HoldsNoPointer<uint4> : std::true_type {};
template <>
struct HoldsNoPointer<float2> : std::true_type {};
template <>
struct HoldsNoPointer<float4> : std::true_type {};
template <>
struct HoldsNoPointer<double2> : std::true_type {};
template <>
struct HoldsNoPointer<double4> : std::true_type {};

template <typename T>
void UseArgument(LaunchScope* scope, int argument, T* pointer) {
  if (std::is_function<T>::value) {
    return;
  }
  scope->UsePointer(argument, reinterpret_cast<const void*>(pointer));
  if (!HoldsNoPointer<typename std::remove_cv<T>::type>::value) {
    scope->UseAllMemory();
  }
}
template <typename T>
void UseArgument(LaunchScope* scope, int /*argument*/, const T& value) {
  if (!HoldsNoPointer<T>::value) {
    scope->UsePointersIn(&value, sizeof(value));
  }
}

template <typename Kernel, typename... Parameters>
class KernelCall {
 public:
  explicit KernelCall(const Kernel& kernel, const Parameters&... parameters)
      : kernel_(kernel), parameters_(parameters...) {}

  void Run(LaunchScope* scope) const {
    UseArguments(scope, std::index_sequence_for<Parameters...>());
    scope->Run(&RunThread, this);
  }

 private:
  template <size_t... I>
  void UseArguments(LaunchScope* scope, std::index_sequence<I...>) const {
    const int in_order[] = {0, (UseArgument(scope, int(I) + 1, std::get<I>(parameters_)), 0)...};
    static_cast<void>(in_order);
    static_cast<void>(scope);
  }
  template <size_t... I>
  void Call(std::index_sequence<I...>) const {
    kernel_(std::get<I>(parameters_)...);
  }
  static void RunThread(const void* call) {
    static_cast<const KernelCall*>(call)->Call(std::index_sequence_for<Parameters...>());
  }

  const Kernel kernel_;
  const std::tuple<Parameters...> parameters_;
};

// What stands between <<< and >>>.
struct Configuration {
  Site site;
  dim3 grid, block;
  size_t shared_bytes;
  cudaStream_t stream;

  template <typename Kernel, typename... Parameters>
  void Run(const Kernel& kernel, const Parameters&... parameters) const {
    LaunchScope scope(site, grid, block, shared_bytes, stream);
    if (scope.valid()) {
      KernelCall<Kernel, Parameters...>(kernel, parameters...).Run(&scope);
    }
  }
};

// Waits for the arguments, which are converted to the kernel's own parameter types.
template <typename... Parameters>
struct ConfiguredKernel {
  Configuration configuration;
  void (*kernel)(Parameters...);
  void operator()(Parameters... arguments) const { configuration.Run(kernel, arguments...); }
};
template <typename... Parameters>
ConfiguredKernel<Parameters...> Launch(const Site& site, void (*kernel)(Parameters...), dim3 grid,
                                       dim3 block, size_t shared_bytes = 0,
                                       cudaStream_t stream = nullptr) {
  return {{site, grid, block, shared_bytes, stream}, kernel};
}

// The same for a kernel whose template arguments, if any, follow from its arguments.
template <typename Kernel>
struct ConfiguredCall {
  Configuration configuration;
  Kernel kernel;
  template <typename... Arguments>
  void operator()(Arguments... arguments) const {
    configuration.Run(kernel, arguments...);
  }
};
template <typename Kernel>
ConfiguredCall<Kernel> Launch(const Site& site, Kernel kernel, dim3 grid, dim3 block,
                              size_t shared_bytes = 0, cudaStream_t stream = nullptr) {
  return {{site, grid, block, shared_bytes, stream}, kernel};
}

// A __shared__ variable: one place per block, which the block's first thread to come by takes.
class SharedSlot {
 public:
  constexpr explicit SharedSlot(const char* name) : name_(name) {}
  template <typename T>
  operator T&() {
    return *static_cast<T*>(Place(sizeof(T)));
  }

 private:
  void* Place(size_t bytes);
  const char* const name_;
  void* place_ = nullptr;
  unsigned long long block_ = 0;
};

void* DynamicSharedMemory();
template <typename T>
T* DynamicShared() {
  return static_cast<T*>(DynamicSharedMemory());
}

}  // namespace cuda_on_host

#endif  // CUDA_ON_HOST_LAUNCH_HPP_
