// Encoded images, looked at before a decoder sees them.
#ifndef CAFFE_EXT_LIMITS_IMAGES_HPP_
#define CAFFE_EXT_LIMITS_IMAGES_HPP_

#include <opencv2/core/core.hpp>
#include <string>

namespace caffe_ext {

/**
 * @brief What keeps these bytes from being decoded, or "": they are none of JPEG, PNG, BMP, TIFF,
 * WebP and PNM, or the size in their header is beyond kMaxImageSide or kMaxImagePixels.
 *
 * A decoder takes memory for the size that a header claims. And OpenCV has many more decoders, some
 * of which open other files: those are not asked.
 */
std::string EncodedImageFault(const std::string& bytes);

/// Decodes an image as cv::imdecode does; says what is wrong in *fault, and then returns an empty
/// matrix.
cv::Mat DecodeImage(const std::string& bytes, int flags, std::string* fault);

/// Decodes the bytes of a datum, or of a file; logs what is wrong, and then returns an empty
/// matrix.
cv::Mat DecodeImageOrLog(const std::string& bytes, int flags);
cv::Mat ReadImageOrLog(const std::string& path, int flags);

/// What keeps a file from being read: it is not there, no regular file, or larger than this; or "".
std::string FileFault(const std::string& path, int64_t max_bytes);
/// Reads a regular file of at most this size; returns what is wrong with it, or "".
std::string ReadFile(const std::string& path, int64_t max_bytes, std::string* bytes);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LIMITS_IMAGES_HPP_
