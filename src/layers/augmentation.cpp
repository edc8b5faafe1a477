#include "augmentation.hpp"

#include <cmath>
#include <opencv2/imgproc/imgproc.hpp>
#include <sstream>
#include <string>
#include <utility>

#include "record_order.hpp"

namespace caffe_ext {

using caffe::AugmentationParameter;

namespace {

const double kPi = 3.14159265358979323846;

// The coefficients of ITU-R BT.601, as JPEG and OpenCV's COLOR_BGR2YCrCb have them.
const double kBlue = .114, kGreen = .587, kRed = .299;
const double kCbRange = 1.772, kCrRange = 1.402;

// Uniform in [-largest, largest].
double Uniform(double largest, uint64_t stream, int k) {
  const double share = static_cast<double>(Draw(stream, k) >> 11) / (uint64_t(1) << 53);
  return largest * (2 * share - 1);
}

// All changes of the colours as one map of (B, G, R, 1).
cv::Matx34d ColourMap(const Change& change, double mean_grey) {
  const cv::Matx33d to_bgr(1, kCbRange, 0,                                            //
                           1, -kBlue * kCbRange / kGreen, -kRed * kCrRange / kGreen,  //
                           1, 0, kCrRange);
  const double angle = change.hue * kPi / 180;
  const double grey = change.brightness * change.contrast, colour = grey * change.saturation;
  const cv::Matx33d gain(grey, 0, 0,                                              //
                         0, colour * std::cos(angle), -colour * std::sin(angle),  //
                         0, colour * std::sin(angle), colour * std::cos(angle));
  const cv::Matx33d map = to_bgr * gain * to_bgr.inv();
  const double offset = (1 - change.contrast) * change.brightness * mean_grey;
  return cv::Matx34d(map(0, 0), map(0, 1), map(0, 2), offset,  //
                     map(1, 0), map(1, 1), map(1, 2), offset,  //
                     map(2, 0), map(2, 1), map(2, 2), offset);
}

}  // namespace

bool Augments(const AugmentationParameter& param) { return !Describe(param).empty(); }

Change DrawChange(const AugmentationParameter& param, uint64_t stream) {
  Change change;
  change.brightness += Uniform(param.brightness(), stream, param.kBrightnessFieldNumber);
  change.contrast += Uniform(param.contrast(), stream, param.kContrastFieldNumber);
  change.saturation += Uniform(param.saturation(), stream, param.kSaturationFieldNumber);
  change.hue = Uniform(param.hue(), stream, param.kHueFieldNumber);
  change.rotation = Uniform(param.rotation(), stream, param.kRotationFieldNumber);
  change.scale += Uniform(param.scale(), stream, param.kScaleFieldNumber);
  return change;
}

void ApplyChange(const Change& change, cv::Mat* image, cv::Mat* scratch) {
  if (change.brightness != 1 || change.contrast != 1 || change.saturation != 1 || change.hue != 0) {
    double mean_grey = 0;
    if (change.contrast != 1) {
      const cv::Scalar mean = cv::mean(*image);
      mean_grey = kBlue * mean[0] + kGreen * mean[1] + kRed * mean[2];
    }
    cv::transform(*image, *scratch, ColourMap(change, mean_grey));
    std::swap(*image, *scratch);
  }
  if (change.rotation != 0 || change.scale != 1) {
    const cv::Point2f centre((image->cols - 1) / 2.f, (image->rows - 1) / 2.f);
    cv::warpAffine(*image, *scratch, cv::getRotationMatrix2D(centre, change.rotation, change.scale),
                   image->size(), cv::INTER_LINEAR, cv::BORDER_REFLECT_101);
    std::swap(*image, *scratch);
  }
}

std::string Describe(const AugmentationParameter& param) {
  const std::pair<const char*, float> fields[] = {
      {"brightness", param.brightness()}, {"contrast", param.contrast()},
      {"saturation", param.saturation()}, {"hue", param.hue()},
      {"rotation", param.rotation()},     {"scale", param.scale()}};
  std::ostringstream text;
  for (const auto& field : fields) {
    if (field.second != 0) {
      text << (text.tellp() > 0 ? ", " : "") << field.first << " " << field.second;
    }
  }
  return text.str();
}

}  // namespace caffe_ext
