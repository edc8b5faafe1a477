// What tests ask of the executor beyond CUDA's own interface.
#ifndef CUDA_ON_HOST_CONTROL_HPP_
#define CUDA_ON_HOST_CONTROL_HPP_

#include <cstddef>

namespace cuda_on_host {

// What happened since the program started, or since the test set these to zero.
struct Counters {
  size_t launches = 0;
  size_t host_to_device = 0, host_to_device_bytes = 0;
  size_t device_to_host = 0, device_to_host_bytes = 0;
  size_t device_to_device = 0, device_to_device_bytes = 0;
  size_t allocations = 0;
};
Counters& counters();

// Fills device memory with the bytes 0xFF, which is NaN as float and as double. NULL is ignored.
void Poison(void* device_pointer, size_t bytes);

// Which order blocks and threads run in: 0 is the natural one, any other number permutes them.
// The variable CUDA_ON_HOST_SEED of the environment gives the first one.
void SetSeed(unsigned seed);
unsigned seed();

}  // namespace cuda_on_host

#endif  // CUDA_ON_HOST_CONTROL_HPP_
