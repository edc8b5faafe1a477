#include "executor.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "cuda_on_host/control.hpp"
#include "cuda_on_host/device.hpp"
#include "cuda_on_host/launch.hpp"
#include "fiber.hpp"
#include "memory.hpp"
#include "report.hpp"
#include "shared_memory.hpp"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace cuda_on_host {
namespace {

enum class State { kFresh, kReady, kWaiting, kEnded };

// One CUDA thread of the running block. Its state is in Executor::states_, which every phase goes
// through.
struct Thread {
  uint3 index;
  Fiber* fiber;  // Its stack, once it had to wait.
  // What it waits for: all threads that the mask names have to come to the same place.
  const char* operation;
  const char* file;
  int line;
  unsigned mask;
  uint64_t value;
  const Exchange* exchange;  // What the threads that it waited for have brought.
};

constexpr const char kBlockBarrier[] = "__syncthreads";

// Mostly the same literal of one file.
bool SameText(const char* a, const char* b) { return a == b || strcmp(a, b) == 0; }
bool SamePlace(const Thread& a, const Thread& b) {
  return a.line == b.line && a.mask == b.mask && SameText(a.operation, b.operation) &&
         SameText(a.file, b.file);
}
bool AtBlockBarrier(const Thread& thread) { return thread.operation == kBlockBarrier; }

std::string Text(const uint3& index) {
  return "(" + std::to_string(index.x) + "," + std::to_string(index.y) + "," +
         std::to_string(index.z) + ")";
}
std::string Position(const Thread& thread, State state) {
  if (state == State::kEnded) {
    return "has ended";
  }
  return std::string("waits at ") + thread.operation + " (" + thread.file + ":" +
         std::to_string(thread.line) + ")";
}

uint64_t Mix(uint64_t value) {  // The finalizer of splitmix64.
  value += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

unsigned SeedFromEnvironment() {
  const char* const text = getenv("CUDA_ON_HOST_SEED");
  return text == nullptr ? 0 : static_cast<unsigned>(strtoul(text, nullptr, 10));
}

class Executor {
 public:
  static Executor& Get() {
    static Executor* const instance = new Executor;
    return *instance;
  }

  void Run(const std::string& kernel, size_t shared_bytes, void (*body)(const void*),
           const void* context);
  // Called by a CUDA thread; returns when all that it waits for have come.
  const Thread& Wait(const char* operation, unsigned mask, uint64_t value, const char* file,
                     int line);

  unsigned seed = SeedFromEnvironment();
  std::string kernel;  // Empty while none runs.
  SharedMemory shared;
  void* dynamic_shared = nullptr;
  unsigned long long block_number = 0;  // Over all launches.
  int current = 0;                      // The running thread.

 private:
  void Permute(std::vector<size_t>* order, uint64_t purpose);
  void NumberThreads();
  void RunBlock();
  void RunPhase();
  Fiber* NextFiber();
  static void FiberMain(Fiber* fiber);
  void Continue(size_t thread);
  void ReleaseWaiting();
  bool ReleaseBlock();
  bool ReleaseWarp(size_t first, size_t end);
  [[noreturn]] void ReportDivergence();

  void (*body_)(const void*) = nullptr;
  const void* context_ = nullptr;
  uint64_t launch_number_ = 0;
  std::vector<Thread> threads_;
  std::vector<State> states_;
  std::vector<Exchange> exchanges_;  // Of the group of threads that begins with this one.
  std::vector<size_t> order_;        // In which the threads of the present phase go on.
  size_t next_ = 0;                  // In `order_`.
  bool fresh_ = false;               // Whether these have not begun yet.
  std::vector<Fiber*> fibers_, idle_;
  size_t started_fibers_ = 0;
};

void Executor::Permute(std::vector<size_t>* order, uint64_t purpose) {
  if (seed == 0) {
    return;
  }
  uint64_t state = Mix(Mix(seed) ^ launch_number_) ^ purpose;
  for (size_t i = order->size(); i > 1; --i) {
    state = Mix(state);
    std::swap((*order)[i - 1], (*order)[state % i]);
  }
}

void Executor::Run(const std::string& name, size_t shared_bytes, void (*body)(const void*),
                   const void* context) {
  if (!kernel.empty()) {
    Report("%s: launches %s, which is not supported", kernel.c_str(), name.c_str());
  }
  kernel = name;
  body_ = body;
  context_ = context;
  ++launch_number_;
  // Anew for each launch, as another host thread may have used them last.
  started_fibers_ = 0;
  idle_.clear();

  NumberThreads();
  std::vector<size_t> blocks(size_t(gridDim.x) * gridDim.y * gridDim.z);
  std::iota(blocks.begin(), blocks.end(), 0);
  Permute(&blocks, 0);
  for (size_t block : blocks) {
    blockIdx = {unsigned(block % gridDim.x), unsigned(block / gridDim.x % gridDim.y),
                unsigned(block / gridDim.x / gridDim.y)};
    ++block_number;
    shared.Clear();
    dynamic_shared = shared.Take("of dynamic size", shared_bytes);
    RunBlock();
    shared.CheckGuards();
  }
  dynamic_shared = nullptr;
  kernel.clear();
}

// As CUDA does: x runs fastest, then y.
void Executor::NumberThreads() {
  threads_.resize(size_t(blockDim.x) * blockDim.y * blockDim.z);
  exchanges_.resize(threads_.size());
  for (size_t i = 0; i < threads_.size(); ++i) {
    threads_[i].index = {unsigned(i % blockDim.x), unsigned(i / blockDim.x % blockDim.y),
                         unsigned(i / blockDim.x / blockDim.y)};
  }
}

void Executor::RunBlock() {
  states_.assign(threads_.size(), State::kFresh);
  order_.resize(threads_.size());
  std::iota(order_.begin(), order_.end(), 0);
  Permute(&order_, Mix(block_number));
  fresh_ = true;
  RunPhase();
  fresh_ = false;
  for (uint64_t phase = 1;; ++phase) {
    ReleaseWaiting();
    order_.clear();
    for (size_t i = 0; i < threads_.size(); ++i) {
      if (states_[i] == State::kReady) {
        order_.push_back(i);
      }
    }
    if (order_.empty()) {
      return;  // All have ended.
    }
    Permute(&order_, Mix(block_number) + phase);
    RunPhase();
  }
}

void Executor::RunPhase() {
  next_ = 0;
  while (Fiber* const fiber = NextFiber()) {
    fiber->Resume();
  }
}

// The stack on which the next thread of the phase goes on; none if it was the last.
Fiber* Executor::NextFiber() {
  if (next_ == order_.size()) {
    return nullptr;
  }
  if (!fresh_) {
    const size_t number = order_[next_++];
    Continue(number);
    return threads_[number].fiber;
  }
  // A thread that ends without having waited leaves its stack to the next one (FiberMain); so
  // kernels without barriers need one fiber only.
  if (idle_.empty()) {
    if (started_fibers_ == fibers_.size()) {
      fibers_.push_back(new Fiber);
    }
    idle_.push_back(fibers_[started_fibers_++]);
    idle_.back()->Start(&Executor::FiberMain);
  }
  Fiber* const fiber = idle_.back();
  idle_.pop_back();
  return fiber;
}

void Executor::FiberMain(Fiber* fiber) {
  Executor& executor = Get();
  for (;;) {
    while (executor.fresh_ && executor.next_ < executor.order_.size()) {
      const size_t number = executor.order_[executor.next_++];
      executor.threads_[number].fiber = fiber;
      executor.Continue(number);
      executor.body_(executor.context_);
      executor.states_[number] = State::kEnded;
    }
    executor.idle_.push_back(fiber);
    fiber->Suspend();
  }
}

void Executor::Continue(size_t thread) {
  current = static_cast<int>(thread);
  threadIdx = threads_[thread].index;
}

const Thread& Executor::Wait(const char* operation, unsigned mask, uint64_t value, const char* file,
                             int line) {
  if (kernel.empty()) {
    Report("%s (%s:%d) outside of a kernel", operation, file, line);
  }
  Thread& thread = threads_[current];
  states_[current] = State::kWaiting;
  thread.operation = operation;
  thread.mask = mask;
  thread.value = value;
  thread.file = file;
  thread.line = line;
  if (Fiber* const next = NextFiber()) {
    thread.fiber->HandOver(next);
  } else {
    thread.fiber->Suspend();
  }
  return thread;
}

void Executor::ReleaseWaiting() {
  if (ReleaseBlock()) {
    return;
  }
  bool released = false;
  for (size_t first = 0; first < threads_.size(); first += warpSize) {
    released |= ReleaseWarp(first, std::min<size_t>(first + warpSize, threads_.size()));
  }
  if (!released && std::any_of(states_.begin(), states_.end(),
                               [](State state) { return state != State::kEnded; })) {
    ReportDivergence();
  }
}

bool Executor::ReleaseBlock() {
  for (size_t i = 0; i < threads_.size(); ++i) {
    if (states_[i] != State::kWaiting || !AtBlockBarrier(threads_[i]) ||
        !SamePlace(threads_[i], threads_[0])) {
      return false;
    }
  }
  states_.assign(threads_.size(), State::kReady);
  return true;
}

// Threads that have ended, or that the block does not have, need not come.
bool Executor::ReleaseWarp(size_t first, size_t end) {
  unsigned alive = 0;
  for (size_t i = first; i < end; ++i) {
    alive |= unsigned(states_[i] != State::kEnded) << (i - first);
  }
  bool released = false;
  for (size_t i = first; i < end; ++i) {
    if (states_[i] != State::kWaiting || AtBlockBarrier(threads_[i])) {
      continue;
    }
    Exchange& exchange = exchanges_[i];
    exchange.mask = threads_[i].mask & alive;
    bool complete = true;
    for (size_t j = first; j < end; ++j) {
      exchange.values[j - first] = threads_[j].value;
      if (exchange.mask >> (j - first) & 1) {
        complete &= states_[j] == State::kWaiting && SamePlace(threads_[j], threads_[i]);
      }
    }
    for (size_t j = first; complete && j < end; ++j) {
      if (exchange.mask >> (j - first) & 1) {
        threads_[j].exchange = &exchange;
        states_[j] = State::kReady;
      }
    }
    released |= complete;
  }
  return released;
}

void Executor::ReportDivergence() {
  const size_t number =
      std::find(states_.begin(), states_.end(), State::kWaiting) - states_.begin();
  const Thread& waiting = threads_[number];
  // Another one of those that it waits for; inside its warp, if that is what it waits for.
  const bool block = AtBlockBarrier(waiting);
  size_t other = block ? 0 : number / warpSize * warpSize;
  const size_t end = block ? threads_.size() : std::min(threads_.size(), other + warpSize);
  const auto elsewhere = [&](size_t i) {
    return block ? states_[i] == State::kEnded || !SamePlace(threads_[i], waiting)
                 : states_[i] == State::kWaiting && !SamePlace(threads_[i], waiting);
  };
  while (other < end && !elsewhere(other)) {
    ++other;
  }
  Report("%s: divergence in block %s: thread %s %s, but thread %s %s", kernel.c_str(),
         Text(blockIdx).c_str(), Text(waiting.index).c_str(),
         Position(waiting, State::kWaiting).c_str(),
         other == end ? "?" : Text(threads_[other].index).c_str(),
         other == end ? "is missing" : Position(threads_[other], states_[other]).c_str());
}

bool Fits(dim3 size, size_t max_x, size_t max_y, size_t max_z) {
  return size.x > 0 && size.y > 0 && size.z > 0 && size.x <= max_x && size.y <= max_y &&
         size.z <= max_z;
}

std::string Describe(const Site& site) {
  return std::string("kernel ") + site.kernel + " (" + site.file + ":" + std::to_string(site.line) +
         ")";
}

}  // namespace

const char* RunningKernel() { return Executor::Get().kernel.c_str(); }

void SetSeed(unsigned seed) { Executor::Get().seed = seed; }
unsigned seed() { return Executor::Get().seed; }

LaunchScope::LaunchScope(const Site& site, dim3 grid, dim3 block, size_t shared_bytes,
                         cudaStream_t stream)
    : site_(site),
      grid_(grid),
      block_(block),
      shared_bytes_(shared_bytes),
      lock_(DeviceMutex()),
      access_(new DeviceAccess) {
  RequireStream(Describe(site).c_str(), stream);
  valid_ = Fits(grid, kMaxGridX, kMaxGridYZ, kMaxGridYZ) &&
           Fits(block, kMaxThreads, kMaxThreads, kMaxThreadsZ) &&
           size_t(block.x) * block.y * block.z <= size_t(kMaxThreads) &&
           shared_bytes <= kMaxSharedBytes;
  if (!valid_) {
    StoreError(cudaErrorInvalidConfiguration);
  }
}

LaunchScope::~LaunchScope() {}

void LaunchScope::UsePointer(int argument, const void* pointer) {
  if (pointer != nullptr) {
    const std::string what = "argument " + std::to_string(argument);
    RequireDeviceMemory(Describe(site_).c_str(), what.c_str(), pointer, 0);
    access_->Open(pointer);
  }
}

void LaunchScope::UsePointersIn(const void* structure, size_t bytes) {
  for (size_t i = 0; i + sizeof(void*) <= bytes; i += alignof(void*)) {
    const void* word;
    memcpy(&word, static_cast<const char*>(structure) + i, sizeof(word));
    access_->Open(word);
  }
}

void LaunchScope::UseAllMemory() { access_->OpenAll(); }

void LaunchScope::Run(void (*thread_body)(const void*), const void* context) {
  ++counters().launches;
  gridDim = grid_;
  blockDim = block_;
  const std::string name = Describe(site_);
  Executor::Get().Run(name, shared_bytes_, thread_body, context);
  CheckDeviceGuards(name.c_str());
}

void* SharedSlot::Place(size_t bytes) {
  Executor& executor = Executor::Get();
  if (block_ != executor.block_number) {
    place_ = executor.shared.Take(name_, bytes);
    block_ = executor.block_number;
  }
  return place_;
}

void* DynamicSharedMemory() {
  void* const memory = Executor::Get().dynamic_shared;
  if (memory == nullptr) {
    Report("shared memory outside of a kernel");
  }
  return memory;
}

int Lane() { return Executor::Get().current % warpSize; }

const Exchange& ExchangeInWarp(const char* operation, unsigned mask, uint64_t value,
                               const char* file, int line) {
  if (!(mask >> Lane() & 1)) {
    Report("%s: %s (%s:%d) by thread %s, which its mask %#x leaves out", RunningKernel(), operation,
           file, line, Text(threadIdx).c_str(), mask);
  }
  return *Executor::Get().Wait(operation, mask, value, file, line).exchange;
}

}  // namespace cuda_on_host

void __syncthreads(const char* file, int line) {
  cuda_on_host::Executor::Get().Wait(cuda_on_host::kBlockBarrier, 0, 0, file, line);
}

void __syncwarp(unsigned mask, const char* file, int line) {
  cuda_on_host::ExchangeInWarp("__syncwarp", mask, 0, file, line);
}
