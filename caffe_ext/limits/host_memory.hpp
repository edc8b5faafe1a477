// How much memory blobs may take, and whose blob it is.
#ifndef CAFFE_EXT_LIMITS_HOST_MEMORY_HPP_
#define CAFFE_EXT_LIMITS_HOST_MEMORY_HPP_

#include <cstddef>
#include <string>
#include <vector>

namespace caffe {
class BlobShape;
}  // namespace caffe

namespace caffe_ext {

/**
 * @brief Bytes that the blobs of this process may take on the host, all together: the machine's
 * memory, or its control group's, or what the environment's CAFFE_MEMORY_MB says.
 *
 * Linux gives out more than it has and ends the process at a moment of its own: a net that
 * cannot fit is refused by name instead.
 */
size_t HostMemoryLimit();

/// A fatal message where so many bytes more would pass the limit; and what is counted: memory from
/// malloc, after it was taken and before it is freed.
void CheckRoom(size_t bytes);
void CountTaken(void* memory);
void CountGiven(void* memory);

/// CaffeMallocHost and CaffeFreeHost with all that, for SyncedMemory.
void MallocHost(void** memory, size_t bytes, bool* use_cuda);
void FreeHost(void* memory, bool use_cuda);

/// A fatal message, before anybody asks for its values, where a blob of this shape would have an
/// axis of negative size, more values than an int counts, or more bytes than the limit; with the
/// shape of a file, where an axis is beyond an int.
void CheckShape(const std::vector<int>& shape, size_t bytes_of_value);
void CheckShape(const caffe::BlobShape& shape);

/// The layer that this thread sets up or runs, for messages.
class LayerAtWork {
 public:
  LayerAtWork(const char* type, const std::string& name);
  ~LayerAtWork();
  LayerAtWork(const LayerAtWork&) = delete;
  LayerAtWork& operator=(const LayerAtWork&) = delete;

  /// "layer 'name' (type)", or "" where there is none.
  static std::string Title();

 private:
  const char* const type_;
  const std::string& name_;
  const LayerAtWork* const outer_;
};

/// "layer 'name' (type): ", or "".
std::string Whose();

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LIMITS_HOST_MEMORY_HPP_
