// A second form of a blob's memory that only the engine's layers know.
#ifndef CAFFE_EXT_ENGINES_PRIVATE_FORM_HPP_
#define CAFFE_EXT_ENGINES_PRIVATE_FORM_HPP_

#include <stddef.h>

namespace caffe_ext {

/**
 * @brief Values that stand in for a SyncedMemory's plain ones until somebody asks for those.
 *
 * A layer of the engine may attach one (SyncedMemory::set_private_form) and the next layer of the
 * engine may read it; the plain memory then need not even exist. The first call of cpu_data,
 * mutable_cpu_data, gpu_data or mutable_gpu_data has the form written out, drops it, and from then
 * on that memory is plain for good (SyncedMemory::plain_seen): whoever holds a pointer, a NumPy
 * view of net.blobs['conv4'].data for example, sees every later result and may write into it, as
 * in Caffe without the engine.
 */
class PrivateForm {
 public:
  virtual ~PrivateForm() {}
  /// Writes the values in Caffe's own order (N x C x H x W), `bytes` of them at most.
  virtual void WritePlain(void* plain, size_t bytes) const = 0;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_PRIVATE_FORM_HPP_
