#ifndef DRML_LAYERS_AUGMENTATION_HPP_
#define DRML_LAYERS_AUGMENTATION_HPP_

#include <cstdint>
#include <opencv2/core/core.hpp>
#include <string>

#include "caffe/proto/caffe.pb.h"

namespace caffe_ext {

/**
 * A change of an image that keeps its labels. What changes nothing is the default.
 *
 * The colours of a pixel p = (B, G, R) are changed first, with w = (.114, .587, .299), the grey
 * value Y = w . p and the image's mean grey value m:
 *
 *   p <- brightness * p
 *   p <- m + contrast * (p - m), with the m of the image that is now brighter
 *   p <- Y + saturation * (p - Y)
 *   (Cb, Cr) <- (Cb, Cr) turned by hue, with Cb = (B - Y) / 1.772 and Cr = (R - Y) / 1.402; Y stays
 *
 * These are one linear map of p, so values are rounded and clipped to 0 .. 255 once. Then the image
 * is turned by `rotation` and enlarged by `scale` about its centre, ((width - 1) / 2,
 * (height - 1) / 2), by bilinear interpolation. Where a pixel comes from beyond the border, the
 * image is mirrored there (dcb|abcd|cba).
 */
struct Change {
  double brightness = 1, contrast = 1, saturation = 1;  // factors
  double hue = 0, rotation = 0;                         // degrees; counter-clockwise
  double scale = 1;                                     // factor
};

/// Whether these parameters change anything.
bool Augments(const caffe::AugmentationParameter& param);

/// Draws a change. A field with the number k in AugmentationParameter takes draw k of the stream,
/// so that no field's value depends on which others are in use.
Change DrawChange(const caffe::AugmentationParameter& param, uint64_t stream);

/// Changes an 8-bit BGR image; `scratch` is memory that serves the next image, too.
void ApplyChange(const Change& change, cv::Mat* image, cv::Mat* scratch);

/// The parameters that are in use, for the log: "brightness 0.2, rotation 10".
std::string Describe(const caffe::AugmentationParameter& param);

}  // namespace caffe_ext

#endif  // DRML_LAYERS_AUGMENTATION_HPP_
