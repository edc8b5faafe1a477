#include "engines/blocked_tensor.hpp"

#include <stdlib.h>

#include <algorithm>

#include "engines/large_memory.hpp"
#include "limits/host_memory.hpp"

namespace caffe_ext {

namespace {

// NaN stays NaN.
inline float Rectified(float x) { return x < 0 ? 0 : x; }

caffe::SyncedMemory* Memory(const caffe::Blob<float>& blob, BlobPart part) {
  return part == kData ? blob.data().get() : blob.diff().get();
}

}  // namespace

BlockedTensor::BlockedTensor(int num, int channels, int height, int width, int block)
    : num_(num),
      channels_(channels),
      height_(height),
      width_(width),
      block_(block),
      rectify_later_(false),
      data_(NULL) {
  const size_t bytes = size() * sizeof(float);
  CheckRoom(bytes);
  data_ = static_cast<float*>(AllocateLarge(bytes));
  CHECK(data_) << "no memory for " << bytes
               << " bytes of activations; a smaller batch_size needs less";
  CountTaken(data_);
}

BlockedTensor::~BlockedTensor() {
  CountGiven(data_);
  free(data_);
}

bool BlockedTensor::Fits(const caffe::Blob<float>& blob, int block) const {
  return blob.num_axes() == 4 && blob.shape(0) == num_ && blob.shape(1) == channels_ &&
         blob.shape(2) == height_ && blob.shape(3) == width_ && block == block_;
}

void BlockedTensor::Settle() {
  if (!rectify_later_) {
    return;
  }
  rectify_later_ = false;
  const long long count = size();
  float* x = data_;
#pragma omp parallel for simd schedule(static)
  for (long long i = 0; i < count; ++i) {
    x[i] = Rectified(x[i]);
  }
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
        const float x = from[i * block_ + lane];
        to[lane * area + i] = rectify_later_ ? Rectified(x) : x;
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

BlockedPtr EmptyBlocked(const caffe::Blob<float>& blob, int block) {
  return BlockedPtr(
      new BlockedTensor(blob.shape(0), blob.shape(1), blob.shape(2), blob.shape(3), block));
}

BlockedPtr PrivateUnsettled(const caffe::Blob<float>& blob, BlobPart part, int block) {
  BlockedPtr tensor =
      boost::dynamic_pointer_cast<BlockedTensor>(Memory(blob, part)->private_form());
  return tensor && tensor->Fits(blob, block) ? tensor : BlockedPtr();
}

BlockedPtr PrivateBlocked(const caffe::Blob<float>& blob, BlobPart part, int block) {
  const BlockedPtr tensor = PrivateUnsettled(blob, part, block);
  if (tensor) {
    tensor->Settle();
  }
  return tensor;
}

static void MakeFit(const caffe::Blob<float>& blob, int block, BlockedPtr* tensor) {
  if (!*tensor || !(*tensor)->Fits(blob, block)) {
    tensor->reset();  // before the new one is allocated
    *tensor = EmptyBlocked(blob, block);
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
  BlockedPtr tensor = PrivateUnsettled(blob, part, block);
  if (!tensor) {
    MakeFit(blob, block, scratch);
    tensor = *scratch;
  }
  tensor->Forget();
  return tensor;
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
