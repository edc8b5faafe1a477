#include "limits/orientation.hpp"

#include <string>

#include "limits/header_bytes.hpp"

namespace caffe_ext {

namespace {

const int kUpright = 1;
const int kOrientationTag = 0x0112, kShort = 3;

// EXIF is a TIFF structure whose first directory holds the tag.
int OrientationInExif(const std::string& exif) {
  const HeaderBytes bytes(exif, exif.compare(0, 2, "MM") == 0);
  const size_t directory = bytes.U32(4);
  for (int64_t i = 0; i < bytes.U16(directory); ++i) {
    const size_t entry = directory + 2 + 12 * i;
    if (bytes.U16(entry) == kOrientationTag) {
      const int64_t value =
          bytes.U16(entry + 2) == kShort ? bytes.U16(entry + 8) : bytes.U32(entry + 8);
      return value >= 1 && value <= 8 ? static_cast<int>(value) : kUpright;
    }
  }
  return kUpright;
}

}  // namespace

bool IsWebp(const std::string& bytes) {
  const HeaderBytes header(bytes);
  return header.Has(0, "RIFF", 4) && header.Has(8, "WEBP", 4);
}

int WebpOrientation(const std::string& bytes) {
  const HeaderBytes header(bytes, false);
  for (size_t at = 12; at + 8 <= bytes.size();) {
    const size_t length = header.U32(at + 4);
    if (header.Has(at, "EXIF", 4)) {
      // Some writers put a JPEG's signature before it.
      const size_t begin = at + 8 + (header.Has(at + 8, "Exif\0\0", 6) ? 6 : 0);
      return begin < bytes.size() ? OrientationInExif(bytes.substr(begin, at + 8 + length - begin))
                                  : kUpright;
    }
    at += 8 + length + length % 2;
  }
  return kUpright;
}

cv::Mat TurnUpright(const cv::Mat& stored, int orientation) {
  cv::Mat image = stored;
  if (image.empty()) {
    return image;
  }
  if (orientation == 3 || orientation == 4) {
    cv::rotate(stored, image, cv::ROTATE_180);
  } else if (orientation == 5 || orientation == 6) {
    cv::rotate(stored, image, cv::ROTATE_90_CLOCKWISE);
  } else if (orientation == 7 || orientation == 8) {
    cv::rotate(stored, image, cv::ROTATE_90_COUNTERCLOCKWISE);
  }
  if (orientation == 2 || orientation == 4 || orientation == 5 || orientation == 7) {
    cv::Mat mirrored;
    cv::flip(image, mirrored, 1);
    return mirrored;
  }
  return image;
}

}  // namespace caffe_ext
