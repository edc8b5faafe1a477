// Whether an encoded image is there to its end.
#ifndef CAFFE_EXT_LIMITS_IMAGE_END_HPP_
#define CAFFE_EXT_LIMITS_IMAGE_END_HPP_

#include <string>

namespace caffe_ext {

/**
 * @brief Whether the bytes are a JPEG or a PNG that ends too soon. OpenCV fills what is missing
 * with grey and calls it an image.
 *
 * A JPEG's end marker comes behind its last scan: a thumbnail in its header has one of its own,
 * which is not asked. A PNG ends with the chunk IEND. What follows the end is nobody's affair (a
 * second picture of an MPO, a maker's data). Other formats are never said to be cut.
 */
bool IsCutImage(const std::string& bytes);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LIMITS_IMAGE_END_HPP_
