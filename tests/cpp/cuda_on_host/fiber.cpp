#include "fiber.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#include "asan.hpp"
#include "report.hpp"

#ifndef CUDA_ON_HOST_USES_UCONTEXT
// Saves the registers that a call preserves and the stack pointer, and takes the other's.
extern "C" void cuda_on_host_switch(void** save, void* load);
asm(R"(
.text
.globl cuda_on_host_switch
.type cuda_on_host_switch, @function
cuda_on_host_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cuda_on_host_switch, .-cuda_on_host_switch
)");
#endif

#ifdef CUDA_ON_HOST_ASAN
// Newer versions of AddressSanitizer keep a second stack for each fiber, 11 MB of addresses, and
// soon a death test cannot fork.
extern "C" const char* __asan_default_options() { return "detect_stack_use_after_return=0"; }
#endif

namespace cuda_on_host {
namespace {

constexpr size_t kStackBytes = 256
                               << 10;  // Instrumented frames are large; unused pages cost nothing.
// The frames in which a fiber waits for the next function to run are within this many bytes.
constexpr size_t kOuterFrames = 8 << 10;
Fiber* entering = nullptr;
#ifdef CUDA_ON_HOST_ASAN
// The stack from which Resume was called, as AddressSanitizer knows it.
bool from_outside = false;
const void* outside_stack = nullptr;
size_t outside_stack_bytes = 0;
#endif

}  // namespace

Fiber::Context Fiber::outside_;

Fiber::Fiber() {
  const size_t page = sysconf(_SC_PAGESIZE);
  void* const mapping = mmap(nullptr, kStackBytes + page, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED || mprotect(mapping, page, PROT_NONE) != 0) {
    Report("no memory for the stack of another thread");
  }
  stack_ = static_cast<char*>(mapping) + page;
}

void Fiber::Start(void (*function)(Fiber*)) {
  function_ = function;
  fake_stack_ = nullptr;
  // Deeper frames have returned, and took their marks with them.
  ASAN_UNPOISON_MEMORY_REGION(stack_ + kStackBytes - kOuterFrames, kOuterFrames);
#ifdef CUDA_ON_HOST_USES_UCONTEXT
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_;
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  makecontext(&context_, &Fiber::Enter, 0);
#else
  // As cuda_on_host_switch leaves a stack: six registers, the address to return to, and above it
  // (at an address that a call would leave, 8 below a multiple of 16) nowhere to return to.
  void** const top = reinterpret_cast<void**>(stack_ + kStackBytes);
  for (int i = 1; i <= 8; ++i) {
    top[-i] = nullptr;
  }
  top[-2] = reinterpret_cast<void*>(&Fiber::Enter);
  context_ = top - 8;
#endif
}

void Fiber::Enter() { entering->Run(); }

void Fiber::Run() {
  Arrive();
  function_(this);
  abort();
}

void Fiber::Switch(Context* save, Context* load) {
#ifdef CUDA_ON_HOST_USES_UCONTEXT
  swapcontext(save, load);
#else
  cuda_on_host_switch(save, *load);
#endif
}

void Fiber::Arrive() {
#ifdef CUDA_ON_HOST_ASAN
  const void* stack;
  size_t bytes;
  __sanitizer_finish_switch_fiber(fake_stack_, &stack, &bytes);
  if (from_outside) {
    outside_stack = stack;
    outside_stack_bytes = bytes;
    from_outside = false;
  }
#endif
}

void Fiber::Resume() {
  entering = this;
#ifdef CUDA_ON_HOST_ASAN
  from_outside = true;
  void* fake_stack;
  __sanitizer_start_switch_fiber(&fake_stack, stack_, kStackBytes);
#endif
  Switch(&outside_, &context_);
#ifdef CUDA_ON_HOST_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

void Fiber::Suspend() {
#ifdef CUDA_ON_HOST_ASAN
  __sanitizer_start_switch_fiber(&fake_stack_, outside_stack, outside_stack_bytes);
#endif
  Switch(&context_, &outside_);
  Arrive();
}

void Fiber::HandOver(Fiber* next) {
  entering = next;
#ifdef CUDA_ON_HOST_ASAN
  __sanitizer_start_switch_fiber(&fake_stack_, next->stack_, kStackBytes);
#endif
  Switch(&context_, &next->context_);
  Arrive();
}

}  // namespace cuda_on_host
