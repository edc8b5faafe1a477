#ifndef CAFFE_EXT_TRAINING_ERRORS_HPP_
#define CAFFE_EXT_TRAINING_ERRORS_HPP_

#include <stdexcept>
#include <string>

namespace caffe_ext {

/// A file that cannot be written, or read, as it should be; names the file, the fault and, where
/// there is one, the way out.
class FileError : public std::runtime_error {
 public:
  explicit FileError(const std::string& what) : std::runtime_error(what) {}
};

/// The loss is NaN or infinite; says where that comes from.
class LossError : public std::runtime_error {
 public:
  explicit LossError(const std::string& what) : std::runtime_error(what) {}
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_TRAINING_ERRORS_HPP_
