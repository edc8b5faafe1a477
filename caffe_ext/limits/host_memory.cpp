#include "limits/host_memory.hpp"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <fstream>

#include "caffe/common.hpp"
#include "caffe/proto/caffe.pb.h"
#include "caffe/syncedmem.hpp"
#include "engines/large_memory.hpp"

namespace caffe_ext {

namespace {

// Blobs that get huge pages: weights, which a batch reads once, arrive a quarter faster from them.
// Smaller blobs are malloc's, with nothing behind their last value (tests/sanitizers).
const size_t kLarge = 8 << 20;

std::atomic<size_t> taken(0);
thread_local const LayerAtWork* at_work = nullptr;

size_t MeasureLimit() {
  if (const char* given = std::getenv("CAFFE_MEMORY_MB")) {
    char* end;
    const double megabytes = std::strtod(given, &end);
    CHECK(end != given && *end == '\0' && megabytes >= 1 && megabytes < 1e12)
        << "CAFFE_MEMORY_MB is '" << given << "'; it is a number of megabytes, at least 1.";
    return static_cast<size_t>(megabytes * (1 << 20));
  }
  uint64_t limit = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  // Those of a container, version 2 and 1; "max" or a huge number where there is none.
  for (const char* file :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    uint64_t bytes;
    if (std::ifstream(file) >> bytes) {
      limit = std::min(limit, bytes);
    }
  }
  return limit;
}

const char kWayOut[] =
    ". Make the net or its batch smaller, or set CAFFE_MEMORY_MB to what it may take.";

}  // namespace

size_t HostMemoryLimit() {
  static const size_t limit = MeasureLimit();
  return limit;
}

void CheckShape(const std::vector<int>& shape, size_t bytes_of_value) {
  int extent = 1;  // of the axes that are not empty, by whose product Caffe divides
  bool empty = false;
  for (size_t i = 0; i < shape.size(); ++i) {
    CHECK_GE(shape[i], 0) << Whose() << "axis " << i << " of a blob would have a negative size";
    empty = empty || shape[i] == 0;
    if (shape[i] != 0) {
      CHECK_LE(shape[i], INT_MAX / extent) << Whose() << "blob size exceeds INT_MAX";
      extent *= shape[i];
    }
  }
  const size_t bytes = empty ? 0 : extent * bytes_of_value;
  CHECK_LE(bytes, HostMemoryLimit()) << Whose() << "a blob of " << bytes << " bytes is more than "
                                     << "all blobs may take, " << HostMemoryLimit() << kWayOut;
}

void CheckShape(const caffe::BlobShape& shape) {
  for (int i = 0; i < shape.dim_size(); ++i) {
    CHECK_LE(shape.dim(i), INT_MAX) << Whose() << "blob size exceeds INT_MAX";
    CHECK_GE(shape.dim(i), 0) << Whose() << "axis " << i << " of a blob would have a negative size";
  }
}

void CheckRoom(size_t bytes) {
  const size_t limit = HostMemoryLimit();
  const size_t before = taken.load();
  CHECK(bytes <= limit && before <= limit - bytes)
      << Whose() << "no room for a blob of " << bytes << " bytes: all blobs may take " << limit
      << ", and have taken " << before << kWayOut;
}

void CountTaken(void* memory) { taken += malloc_usable_size(memory); }
void CountGiven(void* memory) { taken -= malloc_usable_size(memory); }

void MallocHost(void** memory, size_t bytes, bool* use_cuda) {
  CheckRoom(bytes);
  if (caffe::Caffe::mode() == caffe::Caffe::CPU && bytes >= kLarge) {
    *memory = AllocateLarge(bytes);
    *use_cuda = false;
    CHECK(*memory) << "host allocation of size " << bytes << " failed";
  } else {
    caffe::CaffeMallocHost(memory, bytes, use_cuda);
  }
  if (!*use_cuda) {
    CountTaken(*memory);
  }
}

void FreeHost(void* memory, bool use_cuda) {
  if (!use_cuda) {
    CountGiven(memory);
  }
  caffe::CaffeFreeHost(memory, use_cuda);
}

LayerAtWork::LayerAtWork(const char* type, const std::string& name)
    : type_(type), name_(name), outer_(at_work) {
  at_work = this;
}

LayerAtWork::~LayerAtWork() { at_work = outer_; }

std::string LayerAtWork::Title() {
  return at_work ? "layer '" + at_work->name_ + "' (" + at_work->type_ + ")" : std::string();
}

std::string Whose() {
  const std::string title = LayerAtWork::Title();
  return title.empty() ? title : title + ": ";
}

}  // namespace caffe_ext
