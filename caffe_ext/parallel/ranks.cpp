#include "parallel/ranks.hpp"

#include <glog/logging.h>
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <numeric>

namespace caffe_ext {

namespace {

const int kRoot = 0;
// MPI counts in int.
const size_t kMostAtOnce = size_t(1) << 30;
// Few values travel while one naps; waiting for the others first would only be one more trip.
const size_t kFew = size_t(1) << 15;

// Microseconds before a rank that fails ends all: MPICH's launcher drops what it has not read yet.
const int kLastWords = 300 * 1000;

int world_rank, world_size;

// What LOG(FATAL) ends in, on whatever thread, once its message is out.
[[noreturn]] void StopAll() {
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  fprintf(stderr, "Rank %d of %d (process %d on %s) failed for the reason above: all ranks stop.\n",
          world_rank, world_size, static_cast<int>(getpid()), host);
  fflush(stderr);
  usleep(kLastWords);
  MPI_Abort(MPI_COMM_WORLD, 1);
  _exit(1);
}

// Who waits for microseconds asks often; who waits longer leaves the core to those who compute.
void WaitQuietly(MPI_Request* request) {
  const int kEager = 200;
  int done = 0;
  for (int i = 0;; ++i) {
    MPI_Test(request, &done, MPI_STATUS_IGNORE);
    if (done) {
      return;
    }
    if (i >= kEager) {
      const timespec nap = {0, 100 * 1000};
      nanosleep(&nap, NULL);
    }
  }
}

template <typename Operation>
void InPieces(float* values, size_t count, Operation operation) {
  for (size_t begin = 0; begin < count; begin += kMostAtOnce) {
    operation(values + begin, static_cast<int>(std::min(kMostAtOnce, count - begin)));
  }
}

std::vector<int> Offsets(const std::vector<int>& sizes) {
  std::vector<int> offsets(sizes.size(), 0);
  std::partial_sum(sizes.begin(), sizes.end() - 1, offsets.begin() + 1);
  return offsets;
}

}  // namespace

Ranks::Ranks() {
  // A rank whose launcher is gone, however that went, has nobody left who would end it.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // One thread sums gradients while another computes. MULTIPLE, as any thread may fail at any time.
  int provided = 0;
  MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &provided);
  CHECK_GE(provided, MPI_THREAD_SERIALIZED)
      << "This MPI serves one thread alone; take one that was built with threads.";
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  MPI_Comm machine;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &machine);
  MPI_Comm_rank(machine, &local_rank_);
  MPI_Comm_size(machine, &local_size_);
  MPI_Comm_free(&machine);
  world_rank = rank_;
  world_size = size_;
  google::InstallFailureFunction(&StopAll);
  // By it MPI ends the ranks that are well, of which there is no trace of calls to be shown.
  signal(SIGTERM, SIG_DFL);
}

Ranks::~Ranks() {
  // MPI_Finalize waits for the others, who do not know of an exception here (of a Python layer,
  // say). main() is yet to say what it was.
  if (std::uncaught_exceptions() > 0) {
    atexit(&StopAll);
    return;
  }
  Arrive();
  MPI_Finalize();
}

void Ranks::Arrive() {
  MPI_Request request;
  MPI_Ibarrier(MPI_COMM_WORLD, &request);
  WaitQuietly(&request);
}

unsigned Ranks::AnyOf(unsigned bits) {
  unsigned any = 0;
  MPI_Request request;
  MPI_Iallreduce(&bits, &any, 1, MPI_UNSIGNED, MPI_BOR, MPI_COMM_WORLD, &request);
  WaitQuietly(&request);
  return any;
}

void Ranks::Broadcast(float* values, size_t count) {
  Arrive();
  InPieces(values, count,
           [](float* v, int n) { MPI_Bcast(v, n, MPI_FLOAT, kRoot, MPI_COMM_WORLD); });
}

void Ranks::Broadcast(uint64_t* value) {
  Arrive();
  MPI_Bcast(value, 1, MPI_UINT64_T, kRoot, MPI_COMM_WORLD);
}

void Ranks::Sum(float* values, size_t count) {
  if (count <= kFew) {
    MPI_Request request;
    MPI_Iallreduce(MPI_IN_PLACE, values, static_cast<int>(count), MPI_FLOAT, MPI_SUM,
                   MPI_COMM_WORLD, &request);
    WaitQuietly(&request);
    return;
  }
  Arrive();
  InPieces(values, count, [](float* v, int n) {
    MPI_Allreduce(MPI_IN_PLACE, v, n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
  });
}

std::vector<float> Ranks::GatherOnAll(const std::vector<float>& mine) {
  CHECK_LE(mine.size(), kMostAtOnce);
  Arrive();
  const int count = static_cast<int>(mine.size());
  std::vector<float> all(mine.size() * size_);
  MPI_Allgather(mine.data(), count, MPI_FLOAT, all.data(), count, MPI_FLOAT, MPI_COMM_WORLD);
  return all;
}

std::vector<std::string> Ranks::Gather(const std::string& mine) {
  Arrive();
  const bool root = rank_ == kRoot;
  const int size = static_cast<int>(mine.size());
  std::vector<int> sizes(root ? size_ : 1);
  MPI_Gather(&size, 1, MPI_INT, sizes.data(), 1, MPI_INT, kRoot, MPI_COMM_WORLD);
  const std::vector<int> offsets = Offsets(sizes);
  std::vector<char> bytes(root ? offsets.back() + sizes.back() : 0);
  MPI_Gatherv(mine.data(), size, MPI_CHAR, bytes.data(), sizes.data(), offsets.data(), MPI_CHAR,
              kRoot, MPI_COMM_WORLD);
  std::vector<std::string> all;
  for (int r = 0; root && r < size_; ++r) {
    all.push_back(std::string(bytes.data() + offsets[r], sizes[r]));
  }
  return all;
}

std::string Ranks::Scatter(const std::vector<std::string>& all) {
  Arrive();
  std::string bytes;
  std::vector<int> sizes(1);
  if (rank_ == kRoot) {
    CHECK_EQ(all.size(), static_cast<size_t>(size_));
    sizes.clear();
    for (const std::string& one : all) {
      bytes += one;
      sizes.push_back(static_cast<int>(one.size()));
    }
  }
  int size = 0;
  MPI_Scatter(sizes.data(), 1, MPI_INT, &size, 1, MPI_INT, kRoot, MPI_COMM_WORLD);
  std::vector<char> mine(size);
  const std::vector<int> offsets = Offsets(sizes);
  MPI_Scatterv(bytes.data(), sizes.data(), offsets.data(), MPI_CHAR, mine.data(), size, MPI_CHAR,
               kRoot, MPI_COMM_WORLD);
  return std::string(mine.data(), mine.size());
}

}  // namespace caffe_ext
