// Which convolutions go by Winograd's algorithm.
#ifndef CAFFE_EXT_ENGINES_WINOGRAD_CHOICE_HPP_
#define CAFFE_EXT_ENGINES_WINOGRAD_CHOICE_HPP_

#include "engines/correlation_shape.hpp"
#include "engines/isa.hpp"

namespace caffe_ext {

/// Whether there is code for the shape: kernels of 3 x 3 or 5 x 5, and enough outputs for a tile.
bool WinogradServes(const CorrelationShape& shape);

/**
 * @brief Whether a pass is faster than direct convolution.
 *
 * A count of what each needs, at the rates of a table (choice.cpp); neither the number of images
 * nor that of threads counts, so that an image's result cannot depend on them.
 *
 * @param shape of the forward pass, whichever pass is asked for
 * @param direct multiply-adds of the direct convolution per image and pair of a channel and an
 *     output: taps times outputs, divided by the phases where it is that of an image's phases
 *     (winograd/tiling.hpp)
 */
bool ChooseWinograd(const CorrelationShape& shape, ConvolutionPass pass, double direct, Isa isa);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_WINOGRAD_CHOICE_HPP_
