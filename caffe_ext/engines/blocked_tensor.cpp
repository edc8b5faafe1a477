#include "engines/blocked_tensor.hpp"

#include <stdlib.h>

#include <algorithm>

namespace caffe_ext {

namespace {

const size_t kAlignment = 64;

caffe::SyncedMemory* Memory(const caffe::Blob<float>& blob, BlobPart part) {
  return part == kData ? blob.data().get() : blob.diff().get();
}

}  // namespace

BlockedTensor::BlockedTensor(int num, int channels, int height, int width, int block)
    : num_(num), channels_(channels), height_(height), width_(width), block_(block), data_(NULL) {
  void* memory = NULL;
  const size_t bytes = std::max(size() * sizeof(float), kAlignment);
  CHECK_EQ(posix_memalign(&memory, kAlignment, bytes), 0)
      << "no memory for " << bytes << " bytes of activations; a smaller batch_size needs less";
  data_ = static_cast<float*>(memory);
}

BlockedTensor::~BlockedTensor() { free(data_); }

bool BlockedTensor::Fits(const caffe::Blob<float>& blob, int block) const {
  return blob.num_axes() == 4 && blob.shape(0) == num_ && blob.shape(1) == channels_ &&
         blob.shape(2) == height_ && blob.shape(3) == width_ && block == block_;
}

void BlockedTensor::WritePlain(void* plain, size_t bytes) const {
  float* out = static_cast<float*>(plain);
  const size_t area = size_t(height_) * width_;
  CHECK_LE(area * channels_ * num_ * sizeof(float), bytes);
  const int rows = num_ * blocks();
#pragma omp parallel for schedule(static)
  for (int row = 0; row < rows; ++row) {
    const int n = row / blocks(), first = row % blocks() * block_;
    const int lanes = std::min(block_, channels_ - first);
    const float* from = data_ + row * area * block_;
    float* to = out + (size_t(n) * channels_ + first) * area;
    for (size_t i = 0; i < area; ++i) {
      for (int lane = 0; lane < lanes; ++lane) {
        to[lane * area + i] = from[i * block_ + lane];
      }
    }
  }
}

void BlockedTensor::ReadPlain(const float* plain) {
  const size_t area = size_t(height_) * width_;
  const int rows = num_ * blocks();
#pragma omp parallel for schedule(static)
  for (int row = 0; row < rows; ++row) {
    const int n = row / blocks(), first = row % blocks() * block_;
    const int lanes = std::min(block_, channels_ - first);
    const float* from = plain + (size_t(n) * channels_ + first) * area;
    float* to = data_ + row * area * block_;
    for (size_t i = 0; i < area; ++i) {
      for (int lane = 0; lane < lanes; ++lane) {
        to[i * block_ + lane] = from[lane * area + i];
      }
      std::fill(to + i * block_ + lanes, to + (i + 1) * block_, 0.f);
    }
  }
}

BlockedPtr PrivateBlocked(const caffe::Blob<float>& blob, BlobPart part, int block) {
  BlockedPtr tensor =
      boost::dynamic_pointer_cast<BlockedTensor>(Memory(blob, part)->private_form());
  return tensor && tensor->Fits(blob, block) ? tensor : BlockedPtr();
}

static void MakeFit(const caffe::Blob<float>& blob, int block, BlockedPtr* tensor) {
  if (!*tensor || !(*tensor)->Fits(blob, block)) {
    tensor->reset();  // before the new one is allocated
    tensor->reset(
        new BlockedTensor(blob.shape(0), blob.shape(1), blob.shape(2), blob.shape(3), block));
  }
}

BlockedPtr ReadBlocked(const caffe::Blob<float>& blob, BlobPart part, int block,
                       BlockedPtr* scratch) {
  BlockedPtr tensor = PrivateBlocked(blob, part, block);
  if (tensor) {
    return tensor;
  }
  MakeFit(blob, block, scratch);
  (*scratch)->ReadPlain(part == kData ? blob.cpu_data() : blob.cpu_diff());
  return *scratch;
}

BlockedPtr OutputBlocked(const caffe::Blob<float>& blob, BlobPart part, int block,
                         BlockedPtr* scratch) {
  BlockedPtr tensor = PrivateBlocked(blob, part, block);
  if (tensor) {
    return tensor;
  }
  MakeFit(blob, block, scratch);
  return *scratch;
}

void PublishBlocked(const BlockedPtr& tensor, caffe::Blob<float>* blob, BlobPart part,
                    BlockedPtr* scratch) {
  if (Memory(*blob, part)->plain_seen()) {
    float* plain = part == kData ? blob->mutable_cpu_data() : blob->mutable_cpu_diff();
    tensor->WritePlain(plain, blob->count() * sizeof(float));
    return;
  }
  Memory(*blob, part)->set_private_form(tensor);
  if (*scratch == tensor) {
    scratch->reset();
  }
}

}  // namespace caffe_ext
