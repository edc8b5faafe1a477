// caffe/util/io.hpp, in place of upstream's src/caffe/util/io.cpp: what is read is bounded
// (docs/limits.md), and what is written is whole or absent.
#include "caffe/util/io.hpp"

#include <fcntl.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>

#include <algorithm>
#include <cctype>
#include <climits>
#include <opencv2/imgcodecs/imgcodecs.hpp>
#include <opencv2/imgproc/imgproc.hpp>
#include <string>
#include <vector>

#include "limits/check_files.hpp"
#include "limits/images.hpp"
#include "limits/limits.hpp"
#include "training/whole_file.hpp"

namespace caffe {

namespace {

using google::protobuf::io::CodedInputStream;
using google::protobuf::io::FileInputStream;

int OpenToRead(const char* filename) {
  const int file = open(filename, O_RDONLY);
  CHECK_NE(file, -1) << "File not found: " << filename;
  return file;
}

// Whether a file's name says that it has this encoding.
bool HasExtension(const string& filename, const string& encoding) {
  const auto plain = [](string name) {
    std::transform(name.begin(), name.end(), name.begin(), ::tolower);
    return name == "jpeg" ? "jpg" : name;
  };
  return plain(filename.substr(filename.rfind('.') + 1)) == plain(encoding);
}

cv::Mat Decode(const Datum& datum, int flags) {
  CHECK(datum.encoded()) << "Datum not encoded";
  return caffe_ext::DecodeImageOrLog(datum.data(), flags);
}

int FlagsFor(bool is_color) { return is_color ? cv::IMREAD_COLOR : cv::IMREAD_GRAYSCALE; }

}  // namespace

bool ReadProtoFromTextFile(const char* filename, Message* proto) {
  FileInputStream file(OpenToRead(filename));
  file.SetCloseOnDelete(true);
  return caffe_ext::ParseText(&file, filename, proto);
}

void WriteProtoToTextFile(const Message& proto, const char* filename) {
  caffe_ext::WriteText(proto, filename);
}

bool ReadProtoFromBinaryFile(const char* filename, Message* proto) {
  FileInputStream file(OpenToRead(filename));
  file.SetCloseOnDelete(true);
  CodedInputStream coded(&file);
  coded.SetTotalBytesLimit(INT_MAX);
  return proto->ParseFromCodedStream(&coded);
}

void WriteProtoToBinaryFile(const Message& proto, const char* filename) {
  caffe_ext::WriteWhole(filename, [&proto](int file) { caffe_ext::WriteMessage(proto, file); });
}

cv::Mat ReadImageToCVMat(const string& filename, const int height, const int width,
                         const bool is_color) {
  cv::Mat image = caffe_ext::ReadImageOrLog(filename, FlagsFor(is_color));
  if (image.empty()) {
    LOG(ERROR) << "Could not open or find file " << filename;
  } else if (height > 0 && width > 0) {
    cv::Mat resized;
    cv::resize(image, resized, cv::Size(width, height));
    return resized;
  }
  return image;
}

cv::Mat ReadImageToCVMat(const string& filename, const int height, const int width) {
  return ReadImageToCVMat(filename, height, width, true);
}

cv::Mat ReadImageToCVMat(const string& filename, const bool is_color) {
  return ReadImageToCVMat(filename, 0, 0, is_color);
}

cv::Mat ReadImageToCVMat(const string& filename) { return ReadImageToCVMat(filename, true); }

bool ReadImageToDatum(const string& filename, const int label, const int height, const int width,
                      const bool is_color, const std::string& encoding, Datum* datum) {
  const cv::Mat image = ReadImageToCVMat(filename, height, width, is_color);
  if (image.empty()) {
    return false;
  }
  if (encoding.empty()) {
    CVMatToDatum(image, datum);
  } else if ((image.channels() == 3) == is_color && !height && !width &&
             HasExtension(filename, encoding)) {
    return ReadFileToDatum(filename, label, datum);
  } else {
    std::vector<uchar> bytes;
    cv::imencode("." + encoding, image, bytes);
    datum->set_data(bytes.data(), bytes.size());
    datum->set_encoded(true);
  }
  datum->set_label(label);
  return true;
}

bool ReadFileToDatum(const string& filename, const int label, Datum* datum) {
  string bytes;
  if (!caffe_ext::ReadFile(filename, caffe_ext::kMaxImageBytes, &bytes).empty()) {
    return false;
  }
  datum->set_data(bytes);
  datum->set_label(label);
  datum->set_encoded(true);
  return true;
}

cv::Mat DecodeDatumToCVMatNative(const Datum& datum) { return Decode(datum, cv::IMREAD_UNCHANGED); }

cv::Mat DecodeDatumToCVMat(const Datum& datum, bool is_color) {
  return Decode(datum, FlagsFor(is_color));
}

bool DecodeDatumNative(Datum* datum) {
  if (!datum->encoded()) {
    return false;
  }
  CVMatToDatum(DecodeDatumToCVMatNative(*datum), datum);
  return true;
}

bool DecodeDatum(Datum* datum, bool is_color) {
  if (!datum->encoded()) {
    return false;
  }
  CVMatToDatum(DecodeDatumToCVMat(*datum, is_color), datum);
  return true;
}

// A matrix has the channels of a pixel side by side, a datum one plane behind the other.
void CVMatToDatum(const cv::Mat& image, Datum* datum) {
  CHECK_EQ(image.depth(), CV_8U) << "Image data type must be unsigned byte";
  const int channels = image.channels();
  datum->set_channels(channels);
  datum->set_height(image.rows);
  datum->set_width(image.cols);
  datum->clear_float_data();
  datum->set_encoded(false);
  string* const planes = datum->mutable_data();
  planes->resize(image.total() * channels);
  size_t pixel = 0;
  for (int row = 0; row < image.rows; ++row) {
    const uchar* value = image.ptr<uchar>(row);
    for (int column = 0; column < image.cols; ++column, ++pixel) {
      for (int channel = 0; channel < channels; ++channel) {
        (*planes)[channel * image.total() + pixel] = static_cast<char>(*value++);
      }
    }
  }
}

}  // namespace caffe
