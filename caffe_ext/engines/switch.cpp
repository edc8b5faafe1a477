#include "engines/switch.hpp"

#include <stdlib.h>

#include <atomic>
#include <string>

#include "caffe/common.hpp"

namespace caffe_ext {

namespace {

bool FromEnvironment() {
  const char* value = getenv("CAFFE_ENGINE");
  const std::string name = value ? value : "";
  CHECK(name.empty() || name == "plain" || name == "cpu")
      << "CAFFE_ENGINE=" << name << ": must be cpu (the default) or plain";
  return name != "plain";
}

std::atomic<bool>& Enabled() {
  static std::atomic<bool> enabled(FromEnvironment());
  return enabled;
}

}  // namespace

bool EngineEnabled() { return Enabled(); }

void SetEngineEnabled(bool enabled) { Enabled() = enabled; }

}  // namespace caffe_ext
