#include "limits/image_end.hpp"

#include <cstdint>

namespace caffe_ext {

namespace {

const char kPng[] = "\x89PNG\r\n\x1a\n";

int64_t Number(const std::string& bytes, size_t at, int size) {
  int64_t value = 0;
  for (int i = 0; i < size; ++i) {
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  }
  return value;
}

// Markers that stand alone: TEM and the restarts, of which a scan is full.
bool StandsAlone(int marker) { return marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7); }

bool IsCutJpeg(const std::string& bytes) {
  bool scanned = false;
  size_t at = 2;
  // From marker to marker. Coded data hold none: their byte FF is followed by 00.
  while ((at = bytes.find('\xff', at)) != std::string::npos && at + 1 < bytes.size()) {
    const int marker = static_cast<int>(Number(bytes, at + 1, 1));
    if (marker == 0xff) {  // fill
      ++at;
      continue;
    }
    at += 2;
    if (marker == 0xd9) {
      return !scanned;
    }
    if (marker == 0 || StandsAlone(marker)) {
      continue;
    }
    if (at + 2 > bytes.size()) {
      return true;
    }
    scanned = scanned || marker == 0xda;
    const int64_t length = Number(bytes, at, 2);
    at += length < 2 ? 2 : length;
  }
  return true;
}

bool IsCutPng(const std::string& bytes) {
  const size_t kAround = 12;  // length, type and checksum of a chunk
  size_t at = sizeof(kPng) - 1;
  while (at < bytes.size() && bytes.size() - at >= kAround) {
    const int64_t length = Number(bytes, at, 4);
    if (length > static_cast<int64_t>(bytes.size() - at - kAround)) {
      return true;
    }
    if (bytes.compare(at + 4, 4, "IEND") == 0) {
      return false;
    }
    at += kAround + length;
  }
  return true;
}

}  // namespace

bool IsCutImage(const std::string& bytes) {
  if (bytes.compare(0, 2, "\xff\xd8") == 0) {
    return IsCutJpeg(bytes);
  }
  return bytes.compare(0, sizeof(kPng) - 1, kPng) == 0 && IsCutPng(bytes);
}

}  // namespace caffe_ext
