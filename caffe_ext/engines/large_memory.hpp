// Memory for what is larger than a processor's list of pages.
#ifndef CAFFE_EXT_ENGINES_LARGE_MEMORY_HPP_
#define CAFFE_EXT_ENGINES_LARGE_MEMORY_HPP_

#include <stddef.h>

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

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_LARGE_MEMORY_HPP_
