// The inner loops of the LocallyConnected layer on the CPU, for one position of the top.
#ifndef DRML_LAYERS_LOCALLY_CONNECTED_PRODUCTS_HPP_
#define DRML_LAYERS_LOCALLY_CONNECTED_PRODUCTS_HPP_

#include <stddef.h>

#include <vector>

namespace caffe_ext {

/// What one position sees of a map whose pixels are vectors, one lane per image.
struct TapWindow {
  int channels, kernel_h, kernel_w;
  size_t plane, row;  // values from a channel, and from a row, to the next

  int taps() const { return channels * kernel_h * kernel_w; }
};

/**
 * @brief The three products of a position with `lanes` images and `outputs` outputs, for one set of
 *        instructions.
 *
 * `map` points at the window's first pixel. `weight` holds a row of outputs per tap, in the order
 * channel, row, column; rows are `step` values apart. The map's values are taken as vectors of
 * images, so that a weight is read once for all of them, and no matrix of columns is written.
 */
template <typename Dtype>
struct LocalProducts {
  const char* name;
  int lanes;
  int outputs;
  /// sums[o][lane] = sum over taps of weight[tap][o] * map[tap][lane]
  void (*sum_outputs)(const TapWindow& window, const Dtype* map, const Dtype* weight, int step,
                      Dtype* sums);
  /// weight_diff[tap][o] += sum over lanes of diffs[lane][o] * map[tap][lane]
  void (*add_weight_diff)(const TapWindow& window, const Dtype* map, const Dtype* diffs,
                          Dtype* weight_diff, int step);
  /// map_diff[tap][lane] += sum over o of weight[tap][o] * diffs[o][lane]
  void (*add_map_diff)(const TapWindow& window, const Dtype* diffs, const Dtype* weight, int step,
                       Dtype* map_diff);
};

/// All sets of instructions that this processor has, the widest one first.
template <typename Dtype>
const std::vector<LocalProducts<Dtype> >& UsableLocalProducts();

/// The fastest for a batch of so many images. All of them compute the same bits: a sum's order is
/// that of the taps, or depends on `outputs` alone.
template <typename Dtype>
const LocalProducts<Dtype>& LocalProductsFor(int images);

}  // namespace caffe_ext

#endif  // DRML_LAYERS_LOCALLY_CONNECTED_PRODUCTS_HPP_
