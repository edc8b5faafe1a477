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
  void Resume();   // From outside: runs until this fiber or one after it suspends.
  void Suspend();  // From inside: back to where Resume was called.
  // From inside: as Suspend and next->Resume, with one switch of stacks.
  void HandOver(Fiber* next);

 private:
#ifdef CUDA_ON_HOST_USES_UCONTEXT
  using Context = ucontext_t;
#else
  using Context = void*;  // The stack pointer.
#endif
  static void Enter();
  void Run();
  static void Switch(Context* save, Context* load);
  void Arrive();

  char* stack_;
  void (*function_)(Fiber*) = nullptr;
  Context context_;
  void* fake_stack_ = nullptr;  // AddressSanitizer's.
  static Context outside_;
};

}  // namespace cuda_on_host

#endif  // CUDA_ON_HOST_FIBER_HPP_
