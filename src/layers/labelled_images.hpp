#ifndef DRML_LAYERS_LABELLED_IMAGES_HPP_
#define DRML_LAYERS_LABELLED_IMAGES_HPP_

#include <cstddef>
#include <opencv2/core/core.hpp>
#include <string>
#include <vector>

#include "caffe/proto/caffe.pb.h"

namespace caffe_ext {

/// An image and its labels. The image is an 8-bit BGR matrix, or where that is empty the raw bytes
/// of the datum, 3 x height x width.
struct LabelledImage {
  cv::Mat image;
  caffe::Datum datum;
  std::vector<int> labels;
  std::string bytes;  // as they were stored; kept for the memory, which serves the next image

  int height() const { return image.empty() ? datum.height() : image.rows; }
  int width() const { return image.empty() ? datum.width() : image.cols; }
};

/// Images with their labels, by number: what a data layer reads from.
class LabelledImages {
 public:
  virtual ~LabelledImages() {}

  virtual size_t size() const = 0;
  /// All of them together, for messages: "LMDB 'path'".
  virtual std::string name() const = 0;
  /// One of them, for messages: "record 'key' of LMDB 'path'".
  virtual std::string Name(size_t record) const = 0;
  /// Reads one; returns what is wrong with it, or "". For several threads at once, each with a
  /// sample of its own.
  virtual std::string Read(size_t record, LabelledImage* sample) const = 0;
  /// What another process did to them as a whole since they were opened, so that nothing read
  /// before this was asked is to be trusted; or "".
  virtual std::string Changed() const { return std::string(); }
};

/// Decodes the bytes of an image file into BGR of 8 bits; returns what is wrong with them, or "".
std::string DecodeImage(const std::string& bytes, cv::Mat* image);

/// Reads a record of an LMDB, a Datum with labels; returns what is wrong with it, or "".
std::string ReadDatum(const char* bytes, size_t size, LabelledImage* sample);

}  // namespace caffe_ext

#endif  // DRML_LAYERS_LABELLED_IMAGES_HPP_
