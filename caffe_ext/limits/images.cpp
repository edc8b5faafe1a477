#include "limits/images.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <exception>
#include <fstream>
#include <opencv2/imgcodecs/imgcodecs.hpp>
#include <sstream>

#include "caffe/common.hpp"
#include "limits/header_bytes.hpp"
#include "limits/limits.hpp"
#include "limits/orientation.hpp"

namespace caffe_ext {

namespace {

struct Size {
  int64_t height, width;  // 0 x 0: the header tells none
};

const Size kNoSize = {0, 0};

// The frame header, wherever it stands; segments before it are skipped as libjpeg does.
Size JpegSize(const HeaderBytes& bytes) {
  size_t at = 2;
  while (at < bytes.size()) {
    while (at < bytes.size() && bytes.U8(at) != 0xff) {
      ++at;
    }
    while (at < bytes.size() && bytes.U8(at) == 0xff) {
      ++at;
    }
    const int64_t marker = bytes.U8(at);
    ++at;
    if (marker == 0 || marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7)) {
      continue;  // these have no segment
    }
    if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc) {
      return {bytes.U16(at + 3), bytes.U16(at + 5)};
    }
    if (marker == 0xda || marker == 0xd9) {
      return kNoSize;  // the data before a frame header, or the end
    }
    at += std::max<int64_t>(2, bytes.U16(at));
  }
  return kNoSize;
}

Size BmpSize(const HeaderBytes& bytes) {
  if (bytes.U32(14) == 12) {
    return {bytes.U16(20), bytes.U16(18)};
  }
  // A negative height: the rows come from top to bottom.
  const int64_t height = static_cast<int32_t>(bytes.U32(22));
  return {std::abs(height), bytes.U32(18)};
}

Size WebpSize(const HeaderBytes& bytes) {
  if (bytes.Has(12, "VP8X", 4)) {
    return {bytes.U24(27) + 1, bytes.U24(24) + 1};
  }
  if (bytes.Has(12, "VP8L", 4)) {
    const int64_t bits = bytes.U32(21);
    return {(bits >> 14 & 0x3fff) + 1, (bits & 0x3fff) + 1};
  }
  return {bytes.U16(28) & 0x3fff, bytes.U16(26) & 0x3fff};
}

// Of the first picture, and of its tiles, for which a decoder takes memory as well.
Size TiffSize(const HeaderBytes& bytes) {
  const size_t directory = bytes.U32(4);
  int64_t height = 0, width = 0, tile_height = 0, tile_width = 0;
  for (int64_t i = 0; i < bytes.U16(directory); ++i) {
    const size_t entry = directory + 2 + 12 * i;
    const int64_t value = bytes.U16(entry + 2) == 3 ? bytes.U16(entry + 8) : bytes.U32(entry + 8);
    switch (bytes.U16(entry)) {
      case 256:
        width = std::max(width, value);
        break;
      case 257:
        height = std::max(height, value);
        break;
      case 322:
        tile_width = std::max(tile_width, value);
        break;
      case 323:
        tile_height = std::max(tile_height, value);
        break;
    }
  }
  if (height == 0 || width == 0) {
    return kNoSize;
  }
  return {std::max(height, tile_height), std::max(width, tile_width)};
}

// "P6", then width and height as text, with comments to the end of their lines.
Size PnmSize(const HeaderBytes& bytes) {
  size_t at = 2;
  int64_t numbers[2] = {0, 0};
  for (int64_t& number : numbers) {
    while (at < bytes.size() && !std::isdigit(static_cast<int>(bytes.U8(at)))) {
      if (bytes.U8(at) == '#') {
        while (at < bytes.size() && bytes.U8(at) != '\n') {
          ++at;
        }
      }
      ++at;
    }
    while (std::isdigit(static_cast<int>(bytes.U8(at)))) {
      number = std::min<int64_t>(number * 10 + bytes.U8(at) - '0', INT32_MAX);
      ++at;
    }
  }
  return {numbers[1], numbers[0]};
}

// Returns whether the format is one of ours.
bool SizeOf(const std::string& image, Size* size) {
  const HeaderBytes big(image), little(image, false);
  if (big.Has(0, "\xff\xd8", 2)) {
    *size = JpegSize(big);
  } else if (big.Has(0, "\x89PNG\r\n\x1a\n", 8)) {
    *size = {big.U32(20), big.U32(16)};
  } else if (big.Has(0, "BM", 2)) {
    *size = BmpSize(little);
  } else if (IsWebp(image)) {
    *size = WebpSize(little);
  } else if (big.Has(0, "II*\0", 4)) {
    *size = TiffSize(little);
  } else if (big.Has(0, "MM\0*", 4)) {
    *size = TiffSize(big);
  } else if (big.U8(0) == 'P' && big.U8(1) >= '1' && big.U8(1) <= '6') {
    *size = PnmSize(big);
  } else {
    return false;
  }
  return true;
}

std::string Undecodable(const std::string& bytes, const std::string& why = "") {
  std::ostringstream fault;
  fault << "its image of " << bytes.size() << " bytes cannot be decoded" << why;
  return fault.str();
}

}  // namespace

std::string EncodedImageFault(const std::string& bytes) {
  if (static_cast<int64_t>(bytes.size()) > kMaxImageBytes) {
    return Undecodable(bytes, ": it may have " + std::to_string(kMaxImageBytes));
  }
  Size size = kNoSize;
  if (!SizeOf(bytes, &size)) {
    return Undecodable(bytes, ": it is none of JPEG, PNG, BMP, TIFF, WebP and PNM");
  }
  if (size.height == 0 || size.width == 0) {
    return Undecodable(bytes);
  }
  if (size.height > kMaxImageSide || size.width > kMaxImageSide ||
      size.height * size.width > kMaxImagePixels) {
    std::ostringstream fault;
    fault << "its image claims to be " << size.height << " x " << size.width << "; an image may be "
          << kMaxImageSide << " a side and have " << kMaxImagePixels << " pixels";
    return fault.str();
  }
  return std::string();
}

cv::Mat DecodeImage(const std::string& bytes, int flags, std::string* fault) {
  cv::Mat image;
  *fault = EncodedImageFault(bytes);
  if (fault->empty()) {
    try {
      const cv::Mat buffer(1, static_cast<int>(bytes.size()), CV_8UC1,
                           const_cast<char*>(bytes.data()));
      if (flags != cv::IMREAD_UNCHANGED && IsWebp(bytes)) {
        // OpenCV turns JPEG, PNG and TIFF upright, and WebP only in its newest versions.
        image = TurnUpright(cv::imdecode(buffer, flags | cv::IMREAD_IGNORE_ORIENTATION),
                            WebpOrientation(bytes));
      } else {
        image = cv::imdecode(buffer, flags);
      }
    } catch (const std::exception&) {
      // as unreadable as when it says so by an empty image
      image.release();
    }
    if (image.empty()) {
      *fault = Undecodable(bytes);
    }
  }
  return image;
}

cv::Mat DecodeImageOrLog(const std::string& bytes, int flags) {
  std::string fault;
  const cv::Mat image = DecodeImage(bytes, flags, &fault);
  if (!fault.empty()) {
    LOG(ERROR) << "Datum: " << fault;
  }
  return image;
}

cv::Mat ReadImageOrLog(const std::string& path, int flags) {
  std::string bytes;
  cv::Mat image;
  std::string fault = ReadFile(path, kMaxImageBytes, &bytes);
  if (fault.empty()) {
    image = DecodeImage(bytes, flags, &fault);
  }
  if (!fault.empty()) {
    LOG(ERROR) << "Image " << path << ": " << fault;
  }
  return image;
}

std::string FileFault(const std::string& path, int64_t max_bytes) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    return std::strerror(errno);
  }
  if (!S_ISREG(info.st_mode)) {
    return "it is no regular file";  // a device might never end
  }
  if (info.st_size > max_bytes) {
    return "it has " + std::to_string(info.st_size) + " bytes; it may have " +
           std::to_string(max_bytes);
  }
  return std::string();
}

std::string ReadFile(const std::string& path, int64_t max_bytes, std::string* bytes) {
  bytes->clear();
  const std::string fault = FileFault(path, max_bytes);
  if (!fault.empty()) {
    return fault;
  }
  std::ifstream file(path.c_str(), std::ios::binary | std::ios::ate);
  const int64_t size = file ? static_cast<int64_t>(file.tellg()) : -1;
  if (size < 0 || size > max_bytes) {
    return std::strerror(errno);
  }
  bytes->resize(size);
  file.seekg(0);
  if (!file.read(&(*bytes)[0], size)) {
    return std::strerror(errno);
  }
  return std::string();
}

}  // namespace caffe_ext

// window_data_layer.cpp is compiled with this name in place of imread (compat/compat.cmake).
namespace cv {

Mat ReadImageOrLog(const String& path, int flags);
Mat ReadImageOrLog(const String& path, int flags) { return caffe_ext::ReadImageOrLog(path, flags); }

}  // namespace cv
