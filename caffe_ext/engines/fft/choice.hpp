// Which convolutions go by FFT, and in tiles of which size.
#ifndef CAFFE_EXT_ENGINES_FFT_CHOICE_HPP_
#define CAFFE_EXT_ENGINES_FFT_CHOICE_HPP_

#include "engines/fft/tiles.hpp"

namespace caffe_ext {

/**
 * @brief The transforms that a pass of a convolution is fastest with, or null: direct convolution.
 *
 * A count of what each needs, at the rates of a table (choice.cpp); neither the number of images
 * nor that of threads counts, so that an image's result cannot depend on them.
 *
 * @param shape of the forward pass, whichever pass is asked for
 * @param plain whether the source is an image of few channels in Caffe's own order
 */
const FftTransforms* ChooseFft(const CorrelationShape& shape, ConvolutionPass pass, bool plain,
                               const FftKernels& kernels);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_FFT_CHOICE_HPP_
