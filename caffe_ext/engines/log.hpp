// Which engine a layer runs on, in the log.
#ifndef CAFFE_EXT_ENGINES_LOG_HPP_
#define CAFFE_EXT_ENGINES_LOG_HPP_

#include <string>

#include "caffe/common.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe_ext {

inline void LogEngine(const caffe::LayerParameter& layer, bool engine, const std::string& kernel) {
  if (caffe::Caffe::root_solver()) {
    LOG(INFO) << layer.name() << ": "
              << (engine ? "CPU engine, " + kernel : "plain Caffe (the engine has no such kernel)");
  }
}

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_LOG_HPP_
