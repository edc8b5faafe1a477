// Numbers in the headers of image files.
#ifndef CAFFE_EXT_LIMITS_HEADER_BYTES_HPP_
#define CAFFE_EXT_LIMITS_HEADER_BYTES_HPP_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace caffe_ext {

/// The bytes of a header. What lies beyond the end reads as 0.
class HeaderBytes {
 public:
  explicit HeaderBytes(const std::string& bytes, bool big_endian = true)
      : bytes_(bytes), big_endian_(big_endian) {}

  size_t size() const { return bytes_.size(); }
  int64_t U8(size_t at) const {
    return at < bytes_.size() ? static_cast<unsigned char>(bytes_[at]) : 0;
  }
  int64_t U16(size_t at) const {
    return big_endian_ ? U8(at) << 8 | U8(at + 1) : U8(at + 1) << 8 | U8(at);
  }
  int64_t U24(size_t at) const {
    return big_endian_ ? U16(at) << 8 | U8(at + 2) : U8(at + 2) << 16 | U16(at);
  }
  int64_t U32(size_t at) const {
    return big_endian_ ? U16(at) << 16 | U16(at + 2) : U16(at + 2) << 16 | U16(at);
  }
  bool Has(size_t at, const char* text, size_t length) const {
    return bytes_.compare(std::min(at, bytes_.size()), length, text, length) == 0;
  }

 private:
  const std::string& bytes_;
  const bool big_endian_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LIMITS_HEADER_BYTES_HPP_
