#include "engines/large_memory.hpp"

#include <stdlib.h>
#include <sys/mman.h>

#include "caffe/common.hpp"

namespace caffe_ext {

namespace {

const size_t kVector = 64, kHugePage = 2 << 20;
// Below, rounding up to whole pages would cost more than it brings.
const size_t kLarge = 4 * kHugePage;

}  // namespace

void* AllocateLarge(size_t bytes) {
  const bool large = bytes >= kLarge;
  void* memory = NULL;
  if (posix_memalign(&memory, large ? kHugePage : kVector, bytes > kVector ? bytes : kVector)) {
    return NULL;
  }
#ifdef MADV_HUGEPAGE
  if (large) {
    // The last, unfilled page stays a small one. What the kernel answers changes no value.
    (void)madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
  }
#endif
  return memory;
}

void LargeMemory::Free::operator()(float* p) const { free(p); }

float* LargeMemory::Room(size_t floats) {
  if (floats > size_) {
    memory_.reset();
    memory_.reset(static_cast<float*>(AllocateLarge(floats * sizeof(float))));
    CHECK(memory_) << "no memory for " << floats * sizeof(float) << " bytes";
    size_ = floats;
  }
  return memory_.get();
}

LargeMemory* ThreadScratch() {
  static thread_local LargeMemory memory;
  return &memory;
}

}  // namespace caffe_ext
