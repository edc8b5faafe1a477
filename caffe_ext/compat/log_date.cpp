// glog 0.6 and newer write the year into each line of a log: I20170418 13:39:00. Programs that read
// Caffe's logs, its own tools/extra/parse_log.py among them, expect I0418 13:39:00. The flag
// --log_year_in_prefix and the variable GLOG_log_year_in_prefix still decide.
#include <cstdlib>

namespace fLB {  // where gflags, and glog without gflags, define it
extern __attribute__((weak)) bool FLAGS_log_year_in_prefix;  // not in older versions
}  // namespace fLB

namespace {

// Before main parses flags; the library is initialized after glog, which it needs.
const bool kDateWithoutYear = [] {
  if (&fLB::FLAGS_log_year_in_prefix != nullptr &&
      std::getenv("GLOG_log_year_in_prefix") == nullptr) {
    fLB::FLAGS_log_year_in_prefix = false;
  }
  return true;
}();

}  // namespace
