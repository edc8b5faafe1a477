#include "report.hpp"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace cuda_on_host {

void Report(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("cuda_on_host: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  abort();
}

}  // namespace cuda_on_host
