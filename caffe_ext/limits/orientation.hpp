// How WebP images are turned upright.
#ifndef CAFFE_EXT_LIMITS_ORIENTATION_HPP_
#define CAFFE_EXT_LIMITS_ORIENTATION_HPP_

#include <opencv2/core/core.hpp>
#include <string>

namespace caffe_ext {

bool IsWebp(const std::string& bytes);

/// The orientation of a WebP's stored pixels as EXIF numbers it, 1 to 8, from its chunk EXIF; 1
/// (upright) where it has none, or none that is valid.
int WebpOrientation(const std::string& bytes);

/// Turns, and for 2, 4, 5 and 7 mirrors, stored pixels so that the image is upright.
cv::Mat TurnUpright(const cv::Mat& stored, int orientation);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LIMITS_ORIENTATION_HPP_
