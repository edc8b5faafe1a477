// Files and records that Caffe's own code reads, checked before it trusts them: docs/limits.md.
#ifndef CAFFE_EXT_LIMITS_CHECK_FILES_HPP_
#define CAFFE_EXT_LIMITS_CHECK_FILES_HPP_

#include <hdf5.h>

#include <string>
#include <vector>

#include "caffe/proto/caffe.pb.h"

namespace google {
namespace protobuf {
class Message;
namespace io {
class ZeroCopyInputStream;
}  // namespace io
}  // namespace protobuf
}  // namespace google

// All of these end in a fatal message, which names the file or the dataset.
namespace caffe_ext {

/// What a layer is about to read, where that is more than its own code checks: the window file and
/// the mean image of WindowData.
void CheckSources(const caffe::LayerParameter& layer);

/// A datum that is not encoded has as many values as its size says.
void CheckDatum(const caffe::Datum& datum);
/// A mean image has values.
void CheckMean(const caffe::BlobProto& mean, const std::string& filename);

/// Parses a message as text of at most kMaxTextBytes; false where it is none.
bool ParseText(google::protobuf::io::ZeroCopyInputStream* input, const char* filename,
               google::protobuf::Message* message);

/// A dataset has values, and a blob can have its axes; it is one string; it is one number.
void CheckHdf5Axes(const std::vector<hsize_t>& axes, const char* dataset);
void CheckHdf5String(hid_t file, const std::string& dataset, H5T_class_t type, size_t size);
void CheckHdf5Number(hid_t file, const std::string& dataset);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LIMITS_CHECK_FILES_HPP_
