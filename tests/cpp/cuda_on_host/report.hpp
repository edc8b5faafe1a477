// How a problem ends the program.
#ifndef CUDA_ON_HOST_REPORT_HPP_
#define CUDA_ON_HOST_REPORT_HPP_

namespace cuda_on_host {

// Prints "cuda_on_host: ..." and aborts, so that a debugger stops where the problem is.
[[noreturn]] void Report(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace cuda_on_host

#endif  // CUDA_ON_HOST_REPORT_HPP_
