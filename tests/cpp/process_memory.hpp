// What the process itself holds in memory, as the system counts it.
#ifndef TESTS_CPP_PROCESS_MEMORY_HPP_
#define TESTS_CPP_PROCESS_MEMORY_HPP_

#include <malloc.h>

#include <fstream>
#include <string>

namespace caffe {

// A line of /proc/self/status in bytes. RssAnon is memory that this process alone has; RssFile are
// pages of files that it has mapped, which the system takes back when it needs them.
inline double StatusBytes(const std::string& name) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, name.size() + 1, name + ":") == 0) {
      return 1024 * std::stod(line.substr(name.size() + 1));
    }
  }
  return -1;
}

// What was freed is given back first, or it would hide what is taken afterwards.
inline double AnonymousBytes() {
  malloc_trim(0);
  return StatusBytes("RssAnon");
}

}  // namespace caffe

#endif  // TESTS_CPP_PROCESS_MEMORY_HPP_
