// Text files that name images, HDF5 files or windows, as people's editors and spreadsheets write
// them.
#ifndef CAFFE_EXT_LIMITS_LIST_FILE_HPP_
#define CAFFE_EXT_LIMITS_LIST_FILE_HPP_

#include <sstream>
#include <string>

namespace caffe_ext {

/**
 * @brief A list, one item a line, for the readers of Caffe that would open it as a std::ifstream.
 *
 * The stream holds the lines without a byte order mark, without carriage returns, without blanks
 * and tabs at either end, and without empty lines. A list that cannot be read, that has no lines or
 * that is not plain text (UTF-16) ends the program with a message that names it.
 */
class ListFile : public std::istringstream {
 public:
  enum Lines {
    kPaths,           ///< a line is taken as it is
    kPathsAndLabels,  ///< `path label`: exactly one blank comes before the label, an integer
  };

  explicit ListFile(const std::string& path, Lines lines = kPaths);

  /// What a std::ifstream has as well.
  bool is_open() const { return true; }
  void close() {}
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LIMITS_LIST_FILE_HPP_
