#include "limits/ending.hpp"

#include <glog/logging.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include "limits/host_memory.hpp"

namespace caffe_ext {

namespace {

// Destructors and other threads may wait for what this thread holds: no exit().
[[noreturn]] void End() {
  std::fflush(stdout);
  _exit(1);
}

[[noreturn]] void EndAfterMessage() {
  const std::string layer = LayerAtWork::Title();
  if (!layer.empty()) {
    std::fprintf(stderr, "This was in %s.\n", layer.c_str());
  }
  End();
}

[[noreturn]] void EndAfterException() {
  const char* what = "an unknown exception";
  try {
    if (std::current_exception()) {
      throw;
    }
  } catch (const std::bad_alloc&) {
    what = "out of memory";
  } catch (const std::exception& error) {
    what = error.what();
  } catch (...) {
  }
  std::fprintf(stderr, "caffe: %s%s\n", Whose().c_str(), what);
  End();
}

}  // namespace

void EndOnFatalMessages() { google::InstallFailureFunction(&EndAfterMessage); }

void EndOnExceptions() { std::set_terminate(&EndAfterException); }

}  // namespace caffe_ext

namespace google {

void InitCaffeProgram(const char* program) {
  InitCaffeModule(program);
  caffe_ext::EndOnExceptions();
}

void InitCaffeModule(const char* program) {
  InitGoogleLogging(program);
  caffe_ext::EndOnFatalMessages();
}

}  // namespace google
