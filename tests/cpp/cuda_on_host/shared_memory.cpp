#include "shared_memory.hpp"

#include <cstdint>
#include <cstring>

#include "executor.hpp"
#include "guarded.hpp"
#include "report.hpp"

namespace cuda_on_host {
namespace {

constexpr size_t kMaxPieces = 64;
constexpr size_t kAlignment = 128;
constexpr size_t kStorageBytes =
    kMaxSharedBytes + kMaxPieces * (kGuardBytes + kAlignment) + kGuardBytes + kAlignment;

}  // namespace

SharedMemory::SharedMemory() : storage_(new char[kStorageBytes]) {
  next_ = storage_.get();
  ASAN_POISON_MEMORY_REGION(storage_.get(), kStorageBytes);
}

void SharedMemory::Clear() {
  ASAN_POISON_MEMORY_REGION(storage_.get(), size_t(next_ - storage_.get()));
  next_ = storage_.get();
  taken_ = 0;
  pieces_.clear();
}

void* SharedMemory::Take(const char* name, size_t bytes) {
  taken_ += (bytes + 15) / 16 * 16;
  if (taken_ > kMaxSharedBytes || pieces_.size() == kMaxPieces) {
    Report("%s: the block's shared memory would exceed %zu bytes in %zu pieces with %s",
           RunningKernel(), kMaxSharedBytes, kMaxPieces, name);
  }
  const uintptr_t after_guard = reinterpret_cast<uintptr_t>(next_) + kGuardBytes;
  char* const data = next_ + kGuardBytes + (kAlignment - after_guard % kAlignment) % kAlignment;
  SetGuard(data - kGuardBytes);
  ASAN_UNPOISON_MEMORY_REGION(data, bytes);
  memset(data, kFreshByte, bytes);
  SetGuard(data + bytes);
  pieces_.push_back({name, data, bytes});
  next_ = data + bytes;  // The next piece's guard may begin inside this one's.
  return data;
}

void SharedMemory::CheckGuards() const {
  for (const Piece& piece : pieces_) {
    const bool before_intact = GuardIntact(piece.data - kGuardBytes);
    if (!before_intact || !GuardIntact(piece.data + piece.bytes)) {
      Report("%s: somebody wrote %s the %zu bytes of the shared memory %s", RunningKernel(),
             before_intact ? "past the end of" : "in front of", piece.bytes, piece.name);
    }
  }
}

}  // namespace cuda_on_host
