// Memory for what is larger than a processor's list of pages.
#ifndef CAFFE_EXT_ENGINES_LARGE_MEMORY_HPP_
#define CAFFE_EXT_ENGINES_LARGE_MEMORY_HPP_

#include <stddef.h>

#include <memory>

namespace caffe_ext {

/**
 * @brief Returns memory to be freed with free(), NULL where there is none; aligned to 64 bytes, its
 * values not set.
 *
 * From some megabytes on it asks the kernel for huge pages (Linux, madvise): a map of a batch
 * covers tens of thousands of small pages, and a pass over patches jumps from one to the next with
 * each row. Where the kernel has none to give, the memory is as any other.
 */
void* AllocateLarge(size_t bytes);

/// Aligned floats that grow and keep their memory; not set.
class LargeMemory {
 public:
  float* Room(size_t floats);

 private:
  struct Free {
    void operator()(float* p) const;
  };
  std::unique_ptr<float, Free> memory_;
  size_t size_ = 0;
};

/// This thread's, for one use at a time.
LargeMemory* ThreadScratch();

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_LARGE_MEMORY_HPP_
