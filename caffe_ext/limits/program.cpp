// Around the main() of every tool: an exception ends it with one line, and any failure with
// status 1.
#include <glog/logging.h>

#include <exception>
#include <new>

// The linker's option --wrap=main (caffe.cmake) makes these names of a tool's main() and of this.
extern "C" int __real_main(int argc, char** argv);

extern "C" int __wrap_main(int argc, char** argv) {
  try {
    return __real_main(argc, argv) == 0 ? 0 : 1;
  } catch (const std::bad_alloc&) {
    LOG(ERROR) << "out of memory";
  } catch (const std::exception& error) {
    LOG(ERROR) << error.what();
  }
  return 1;
}
