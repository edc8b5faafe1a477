// Databases of Caffe's own Data layer.
#ifndef CAFFE_EXT_LIMITS_DATABASES_HPP_
#define CAFFE_EXT_LIMITS_DATABASES_HPP_

#include <string>

#include "caffe/proto/caffe.pb.h"

namespace caffe_ext {

/// What is wrong where a layer names a database of the other backend, or "". A folder that is
/// neither an LMDB nor a LevelDB, or is not there, is left to the backend's own message.
std::string BackendFault(const caffe::DataParameter& param);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LIMITS_DATABASES_HPP_
