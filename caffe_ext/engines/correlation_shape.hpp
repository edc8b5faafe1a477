// What a convolution by transforms has to know of its shape.
#ifndef CAFFE_EXT_ENGINES_CORRELATION_SHAPE_HPP_
#define CAFFE_EXT_ENGINES_CORRELATION_SHAPE_HPP_

namespace caffe_ext {

enum class ConvolutionPass { kForward, kBottomDiff, kWeightDiff };

/// A convolution of stride 1 without dilation, as a correlation of a source with kernels.
struct CorrelationShape {
  int images;
  int channels, outputs, groups;  ///< channels and outputs of one group
  int height, width;              ///< of the source
  int kernel_h, kernel_w, pad_h, pad_w;

  int out_height() const { return height + 2 * pad_h - kernel_h + 1; }
  int out_width() const { return width + 2 * pad_w - kernel_w + 1; }

  /// The gradient of the bottom: itself a correlation of the top's diff, with the kernels turned
  /// by 180 degrees and the channels in the places of the outputs.
  CorrelationShape Backward() const {
    return {images,
            outputs,
            channels,
            groups,
            out_height(),
            out_width(),
            kernel_h,
            kernel_w,
            kernel_h - 1 - pad_h,
            kernel_w - 1 - pad_w};
  }
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_CORRELATION_SHAPE_HPP_
