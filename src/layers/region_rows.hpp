// How the Region layer on the CPU walks over the rows of a patch, and adds up what it finds there.
#ifndef DRML_LAYERS_REGION_ROWS_HPP_
#define DRML_LAYERS_REGION_ROWS_HPP_

#include <vector>

#include "caffe/layers/region_layer.hpp"

namespace caffe_ext {

/// Calls visit(offset in the plane's data, offset in the patch's own data) for each row of the
/// patch in one channel of images [first, last). `channels` are those of the visited blob.
template <typename Visit>
inline void ForEachRow(const caffe::RegionGeometry& geometry, const caffe::RegionPatch& patch,
                       int channels, int c, int first, int last, const Visit& visit) {
  const int width = patch.width();
  int local = c * (last - first) * patch.area();
  for (int n = first; n < last; ++n) {
    const int plane = (n * channels + c) * geometry.height;
    for (int y = patch.y0; y < patch.y1; ++y, local += width) {
      visit((plane + y) * geometry.width + patch.x0, local);
    }
  }
}

// Sums over a patch keep one partial sum per pixel column: the loop along a row then adds
// element by element, which a compiler can vectorise without reordering any sum.

inline void ClearLanes(int width, std::vector<double>* lanes) { lanes->assign(width, 0.); }

inline double SumLanes(const std::vector<double>& lanes) {
  double sum = 0;
  for (double lane : lanes) {
    sum += lane;
  }
  return sum;
}

}  // namespace caffe_ext

#endif  // DRML_LAYERS_REGION_ROWS_HPP_
