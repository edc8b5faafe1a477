#include "engines/switch.hpp"

#include <stdlib.h>

#include <atomic>
#include <string>

#include "caffe/common.hpp"

namespace caffe_ext {

namespace {

std::string FromEnvironment() {
  const char* value = getenv("CAFFE_ENGINE");
  const std::string name = value ? value : "";
  CHECK(name.empty() || name == "plain" || name == "direct" || name == "cpu")
      << "CAFFE_ENGINE=" << name << ": must be cpu (the default), direct or plain";
  return name;
}

std::atomic<bool>& Enabled() {
  static std::atomic<bool> enabled(FromEnvironment() != "plain");
  return enabled;
}

std::atomic<bool>& Transforms() {
  static std::atomic<bool> enabled(FromEnvironment() != "direct");
  return enabled;
}

}  // namespace

bool EngineEnabled() { return Enabled(); }

void SetEngineEnabled(bool enabled) { Enabled() = enabled; }

bool TransformsEnabled() { return Transforms(); }

void SetTransformsEnabled(bool enabled) { Transforms() = enabled; }

}  // namespace caffe_ext
