// Random numbers: number i of a generator depends on its seed and on i alone.
#include <curand.h>

#include <cmath>
#include <cstdint>
#include <mutex>

#include "memory.hpp"

struct curandGenerator_st {
  uint64_t seed = 0;
  uint64_t offset = 0;
};

namespace cuda_on_host {
namespace {

uint64_t Random(const curandGenerator_st& generator, uint64_t i) {  // As splitmix64 does.
  uint64_t value = generator.seed + 0x9e3779b97f4a7c15u * (generator.offset + i + 1);
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

// As cuRAND's: 0 is left out and 1 is not.
template <typename T>
T Uniform(uint64_t random) {
  return static_cast<T>(((random >> 11) + 1) * (1.0 / 9007199254740992.0));
}

template <typename T, typename Number>
curandStatus_t Fill(const char* user, curandGenerator_t generator, T* to, size_t count,
                    const Number& number) {
  if (generator == nullptr) {
    return CURAND_STATUS_NOT_INITIALIZED;
  }
  if (count > 0) {
    const std::lock_guard<std::recursive_mutex> lock(DeviceMutex());
    RequireDeviceMemory(user, "the destination", to, count * sizeof(T));
    DeviceAccess access;
    access.Open(to);
    for (size_t i = 0; i < count; ++i) {
      to[i] = number(i);
    }
    generator->offset += count;
  }
  return CURAND_STATUS_SUCCESS;
}

template <typename T>
curandStatus_t FillUniform(const char* user, curandGenerator_t generator, T* to, size_t count) {
  return Fill(user, generator, to, count,
              [=](size_t i) { return Uniform<T>(Random(*generator, i)); });
}

template <typename T>
curandStatus_t FillNormal(const char* user, curandGenerator_t generator, T* to, size_t count,
                          T mean, T deviation) {
  if (count % 2 != 0) {
    return CURAND_STATUS_LENGTH_NOT_MULTIPLE;  // cuRAND draws pairs, too.
  }
  return Fill(user, generator, to, count, [=](size_t i) {
    const size_t first = i / 2 * 2;
    const double radius = sqrt(-2 * log(Uniform<double>(Random(*generator, first))));
    const double angle = 2 * M_PI * Uniform<double>(Random(*generator, first + 1));
    return static_cast<T>(mean + deviation * radius * (i % 2 == 0 ? cos(angle) : sin(angle)));
  });
}

}  // namespace
}  // namespace cuda_on_host

curandStatus_t curandCreateGenerator(curandGenerator_t* generator, curandRngType_t /*type*/) {
  *generator = new curandGenerator_st;
  return CURAND_STATUS_SUCCESS;
}

curandStatus_t curandDestroyGenerator(curandGenerator_t generator) {
  delete generator;
  return CURAND_STATUS_SUCCESS;
}

curandStatus_t curandSetStream(curandGenerator_t /*generator*/, cudaStream_t stream) {
  cuda_on_host::RequireStream("curandSetStream", stream);
  return CURAND_STATUS_SUCCESS;
}

curandStatus_t curandSetPseudoRandomGeneratorSeed(curandGenerator_t generator,
                                                  unsigned long long seed) {
  generator->seed = seed;
  return CURAND_STATUS_SUCCESS;
}

curandStatus_t curandSetGeneratorOffset(curandGenerator_t generator, unsigned long long offset) {
  generator->offset = offset;
  return CURAND_STATUS_SUCCESS;
}

curandStatus_t curandGenerate(curandGenerator_t generator, unsigned* to, size_t count) {
  using namespace cuda_on_host;
  return Fill("curandGenerate", generator, to, count,
              [=](size_t i) { return static_cast<unsigned>(Random(*generator, i) >> 32); });
}

curandStatus_t curandGenerateUniform(curandGenerator_t generator, float* to, size_t count) {
  return cuda_on_host::FillUniform("curandGenerateUniform", generator, to, count);
}

curandStatus_t curandGenerateUniformDouble(curandGenerator_t generator, double* to, size_t count) {
  return cuda_on_host::FillUniform("curandGenerateUniformDouble", generator, to, count);
}

curandStatus_t curandGenerateNormal(curandGenerator_t generator, float* to, size_t count,
                                    float mean, float deviation) {
  return cuda_on_host::FillNormal("curandGenerateNormal", generator, to, count, mean, deviation);
}

curandStatus_t curandGenerateNormalDouble(curandGenerator_t generator, double* to, size_t count,
                                          double mean, double deviation) {
  return cuda_on_host::FillNormal("curandGenerateNormalDouble", generator, to, count, mean,
                                  deviation);
}
