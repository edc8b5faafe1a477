// Guard zones: bytes before and after a piece of memory that nobody may touch.
#ifndef CUDA_ON_HOST_GUARDED_HPP_
#define CUDA_ON_HOST_GUARDED_HPP_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "asan.hpp"

namespace cuda_on_host {

constexpr size_t kGuardBytes = 256;
constexpr unsigned char kGuardByte = 0xA5;
constexpr unsigned char kFreshByte = 0xFF;  // NaN, as float and as double.

// Marks a zone. With AddressSanitizer the very access shows, without it a changed byte does.
inline void SetGuard(char* zone) {
  ASAN_UNPOISON_MEMORY_REGION(zone, kGuardBytes);
  memset(zone, kGuardByte, kGuardBytes);
  ASAN_POISON_MEMORY_REGION(zone, kGuardBytes);
}

// Not instrumented, as it reads what it forbids others to touch.
__attribute__((no_sanitize_address, no_sanitize_undefined)) inline bool GuardIntact(
    const char* zone) {
  uint64_t changed = 0;
  for (size_t i = 0; i < kGuardBytes; i += sizeof(uint64_t)) {
    uint64_t word;
    __builtin_memcpy(&word, zone + i, sizeof(word));
    changed |= word ^ (~uint64_t(0) / 0xFF * kGuardByte);
  }
  return changed == 0;
}

}  // namespace cuda_on_host

#endif  // CUDA_ON_HOST_GUARDED_HPP_
