// The products of an inner product layer for batches of few images: forward, and both gradients.
#ifndef CAFFE_EXT_ENGINES_FEW_IMAGES_PRODUCT_HPP_
#define CAFFE_EXT_ENGINES_FEW_IMAGES_PRODUCT_HPP_

#include <stddef.h>

#include <functional>
#include <vector>

namespace caffe_ext {

/// Images up to which these products beat OpenBLAS's sgemm: forward and for the weights' gradient,
/// and for the bottom's gradient.
const int kFewImages = 64, kFewImagesBottom = 32;

/// Whether these products are faster than the BLAS: on processors with AVX2 or AVX-512.
bool FewImagesProductServes();

/**
 * @brief y = x * transpose(w) + bias, reading the weights once, in Caffe's own order.
 *
 * With few images the product is as long as the reading of its weights (fc8 of models/drml: 191
 * MB), which sgemm copies into blocks first. Here the images lie across a vector register, and each
 * weight is broadcast; where they are too few to fill one, the outputs lie across it. Each value is
 * the sum over the inputs in their order, whatever the number of images and threads.
 *
 * @param x images x inputs
 * @param w outputs x inputs
 * @param bias outputs, or null
 * @param y images x outputs, overwritten
 * @param scratch memory kept from call to call: the images, transposed
 */
void FewImagesProduct(int images, int inputs, int outputs, const float* x, const float* w,
                      const float* bias, float* y, std::vector<float>* scratch);

/**
 * @brief The gradient of the weights, dw = transpose(dy) * x, or dw += it where `add` is true.
 *
 * With few images it is as long as the writing of dw. Each value is the sum over the images in
 * their order, whatever the number of threads.
 *
 * @param x images x inputs
 * @param dy images x outputs
 * @param dw outputs x inputs
 */
void FewImagesWeightDiff(int images, int inputs, int outputs, const float* x, const float* dy,
                         bool add, float* dw);

/// Weights of a row that are passed on at a time.
const int kFewImagesPiece = 1024;

/// Takes the gradients g of the n <= kFewImagesPiece weights from `at` on, and may overwrite g.
typedef std::function<void(size_t at, int n, float* g)> WeightDiffPiece;

/**
 * @brief The same gradient piece by piece, for those who use it at once: dw is never stored.
 *
 * Several threads call `use`, once for each weight. The values are those of FewImagesWeightDiff,
 * to the last bit.
 */
void FewImagesWeightDiffPieces(int images, int inputs, int outputs, const float* x, const float* dy,
                               const WeightDiffPiece& use);

/**
 * @brief The gradient of the bottom, dx = dy * w, reading the weights once.
 *
 * Each value is the sum over the outputs in their order, whatever the number of threads.
 *
 * @param dy images x outputs
 * @param w outputs x inputs
 * @param dx images x inputs, overwritten
 */
void FewImagesBottomDiff(int images, int inputs, int outputs, const float* dy, const float* w,
                         float* dx);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_FEW_IMAGES_PRODUCT_HPP_
