// The form in which the engine's layers hand each other their values.
#ifndef CAFFE_EXT_ENGINES_BLOCKED_TENSOR_HPP_
#define CAFFE_EXT_ENGINES_BLOCKED_TENSOR_HPP_

#include <stddef.h>

#include "caffe/blob.hpp"
#include "engines/private_form.hpp"

namespace caffe_ext {

/// Which half of a blob.
enum BlobPart { kData, kDiff };

/**
 * @brief N x C x H x W floats, with the channels in blocks of B: N x ceil(C/B) x H x W x B.
 *
 * The values of B channels at one pixel lie side by side, so that a vector register holds them
 * (oneDNN's nChw8c and nChw16c). Channels beyond C in the last block are zero, always.
 */
class BlockedTensor : public PrivateForm {
 public:
  /// Aligned memory of the shape, not yet set.
  BlockedTensor(int num, int channels, int height, int width, int block);
  virtual ~BlockedTensor();

  virtual void WritePlain(void* plain, size_t bytes) const;
  /// Takes the values from plain N x C x H x W memory.
  void ReadPlain(const float* plain);

  int num() const { return num_; }
  int channels() const { return channels_; }
  int height() const { return height_; }
  int width() const { return width_; }
  int block() const { return block_; }
  int blocks() const { return (channels_ + block_ - 1) / block_; }
  /// Floats in memory, those beyond C included.
  size_t size() const { return size_t(num_) * blocks() * height_ * width_ * block_; }
  float* data() { return data_; }
  const float* data() const { return data_; }
  bool Fits(const caffe::Blob<float>& blob, int block) const;

  /// From now on the values are max(0, x) of what the memory holds. Nothing is touched: the next
  /// pass over the memory does it, or Settle.
  void RectifyLater() { rectify_later_ = true; }
  bool rectify_later() const { return rectify_later_; }
  /// Makes the memory hold the values.
  void Settle();
  /// To be called before all values are written anew.
  void Forget() { rectify_later_ = false; }

 private:
  BlockedTensor(const BlockedTensor&);
  BlockedTensor& operator=(const BlockedTensor&);

  int num_, channels_, height_, width_, block_;
  bool rectify_later_;
  float* data_;
};

typedef caffe::shared_ptr<BlockedTensor> BlockedPtr;

/// A new tensor of the blob's shape.
BlockedPtr EmptyBlocked(const caffe::Blob<float>& blob, int block);

/// The blob's private form, null where it has none or one of another shape.
BlockedPtr PrivateBlocked(const caffe::Blob<float>& blob, BlobPart part, int block);

/// The same, for a layer that minds rectify_later() itself.
BlockedPtr PrivateUnsettled(const caffe::Blob<float>& blob, BlobPart part, int block);

/// The blob's values, blocked: its private form, or a copy of the plain values in *scratch.
BlockedPtr ReadBlocked(const caffe::Blob<float>& blob, BlobPart part, int block,
                       BlockedPtr* scratch);

/**
 * @brief A tensor for a layer to write a blob's new values into.
 *
 * The blob's own private form where it has one to reuse, else *scratch. Follow it with
 * PublishBlocked once it is filled.
 */
BlockedPtr OutputBlocked(const caffe::Blob<float>& blob, BlobPart part, int block,
                         BlockedPtr* scratch);

/// Makes the tensor the blob's values: as its private form, or as plain values where somebody has
/// looked at those (then *scratch keeps the tensor for the next time).
void PublishBlocked(const BlockedPtr& tensor, caffe::Blob<float>* blob, BlobPart part,
                    BlockedPtr* scratch);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_BLOCKED_TENSOR_HPP_
