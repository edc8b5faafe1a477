// Linked into the module `_caffe`: from the import on, fatal messages end the process with
// status 1.
#include "limits/ending.hpp"

namespace {
const bool started = (caffe_ext::EndOnFatalMessages(), true);
}  // namespace
