// libFuzzer's side of a target: DRML_FUZZ_TARGET is its name, as a string.
#include <glog/logging.h>

#include <cstdlib>
#include <opencv2/core/utility.hpp>

#include "google/protobuf/stubs/logging.h"
#include "targets.hpp"
#include "training/errors.hpp"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  // Small, so that what is too large is refused soon.
  setenv("CAFFE_MEMORY_MB", "32", 1);
  google::protobuf::SetLogHandler(nullptr);
  cv::setNumThreads(0);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::Target target = fuzz::TargetOf(DRML_FUZZ_TARGET);
  try {
    target(std::string(reinterpret_cast<const char*>(data), size));
  } catch (const google::FatalError&) {
    // refused; any other exception is a finding
  } catch (const caffe_ext::FileError&) {
  } catch (const caffe_ext::LossError&) {
  }
  return 0;
}
