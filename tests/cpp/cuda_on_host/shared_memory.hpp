// One block's shared memory: pieces between guard zones.
#ifndef CUDA_ON_HOST_SHARED_MEMORY_HPP_
#define CUDA_ON_HOST_SHARED_MEMORY_HPP_

#include <cstddef>
#include <memory>
#include <vector>

namespace cuda_on_host {

class SharedMemory {
 public:
  SharedMemory();
  // Takes back all pieces, for the next block.
  void Clear();
  // A fresh piece, filled with 0xFF. Reports if a device would not have that much.
  void* Take(const char* name, size_t bytes);
  // Reports if somebody wrote into a guard zone.
  void CheckGuards() const;

 private:
  struct Piece {
    const char* name;
    char* data;
    size_t bytes;
  };
  std::unique_ptr<char[]> storage_;
  char* next_;
  size_t taken_ = 0;
  std::vector<Piece> pieces_;
};

}  // namespace cuda_on_host

#endif  // CUDA_ON_HOST_SHARED_MEMORY_HPP_
