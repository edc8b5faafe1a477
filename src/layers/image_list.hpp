#ifndef DRML_LAYERS_IMAGE_LIST_HPP_
#define DRML_LAYERS_IMAGE_LIST_HPP_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "caffe/proto/caffe.pb.h"
#include "labelled_images.hpp"

namespace caffe_ext {

/**
 * @brief Images named by a text file of lines `path l1 .. lK`, read from disk one by one.
 *
 * The last K words of a line are labels, all before them is the path. The list is read and checked
 * as a whole when it is opened, and each file looked for: every fault is a std::runtime_error whose
 * text names the list, the line and the value.
 *
 * Of an image its path is kept, less root_folder, a byte for each label and 8 more. The list is not
 * looked at again.
 */
class ImageList : public LabelledImages {
 public:
  explicit ImageList(const caffe::MultiLabelDataParameter& param);

  virtual size_t size() const { return ends_.size(); }
  virtual std::string name() const { return "list '" + param_.source() + "'"; }
  virtual std::string Name(size_t record) const;
  virtual std::string Read(size_t record, LabelledImage* sample) const;

 private:
  void ReadLine(size_t number, const std::string& text);
  /// Looks for every image; several at once, as a disk may have to be asked for each.
  void FindImages() const;
  std::string Path(size_t record) const;
  /// Of a record, in the file, from 1.
  size_t LineNumber(size_t record) const;
  /// What a word of the list says, or throws.
  int LabelOf(const std::string& word, size_t number) const;
  bool IsLabel(const std::string& word, int* value) const;
  /// Stops at labels that look like the other kind.
  void CheckKind() const;
  /// Throws "list 'path', line 7: fault".
  [[noreturn]] void Fail(size_t number, const std::string& fault) const;

  const caffe::MultiLabelDataParameter param_;
  /// K; 0 until the first line has been read, unless it is given.
  size_t num_labels_;
  std::string paths_;                // one behind the other, less root_folder
  std::vector<uint64_t> ends_;       // of each, in paths_
  std::vector<signed char> labels_;  // K for each path
  std::vector<size_t> empty_;        // for each empty line, how many records come before it
};

}  // namespace caffe_ext

#endif  // DRML_LAYERS_IMAGE_LIST_HPP_
