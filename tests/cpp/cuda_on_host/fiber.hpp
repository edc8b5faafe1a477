// A function with a stack of its own, which can stop half-way and be resumed.
#ifndef CUDA_ON_HOST_FIBER_HPP_
#define CUDA_ON_HOST_FIBER_HPP_

#include <cstddef>

// Where we can, we switch by hand: it is ten times faster than swapcontext, which calls the kernel,
// and AddressSanitizer's own swapcontext forgets what it knew of the stack.
#if !defined(__x86_64__) || defined(CUDA_ON_HOST_UCONTEXT)
#include <ucontext.h>
#define CUDA_ON_HOST_USES_UCONTEXT 1
#endif

namespace cuda_on_host {

class Fiber {
 public:
  Fiber();  // Lives as long as the program: there is no destructor.
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  // Prepares to run a function that never returns; whatever ran here before is forgotten.
  void Start(void (*function)(Fiber*));
  void Resume();   // From outside: runs until Suspend().
  void Suspend();  // From inside.

 private:
  static void Enter();
  void Run();

  char* stack_;
  void (*function_)(Fiber*) = nullptr;
#ifdef CUDA_ON_HOST_USES_UCONTEXT
  ucontext_t inside_, outside_;
#else
  void* inside_ = nullptr;
  void* outside_ = nullptr;
#endif
  // What AddressSanitizer wants to know about the two stacks.
  void* inside_fake_stack_ = nullptr;
  const void* outside_stack_ = nullptr;
  size_t outside_stack_bytes_ = 0;
};

}  // namespace cuda_on_host

#endif  // CUDA_ON_HOST_FIBER_HPP_
