// Tops, weights and maps of the LocallyConnected layer on the CPU, as its products want them.
#ifndef DRML_LAYERS_LOCALLY_CONNECTED_TILES_HPP_
#define DRML_LAYERS_LOCALLY_CONNECTED_TILES_HPP_

#include <stddef.h>

#include <algorithm>
#include <vector>

#include "caffe/layers/locally_connected_layer.hpp"
#include "locally_connected_products.hpp"

namespace caffe_ext {

// As many neighbouring positions go between a top and the products at once. Fewer would read and
// write parts of cache lines; many are no longer near when their product is made.
const int kPositions = 32;

// Some neighbouring positions of a top or its diff, in all images, as the products want it: by
// position, group of images, and block of outputs. What lies beyond the last image or output is
// zero.
template <typename Dtype>
class TopTile {
 public:
  // Within a block: lanes next to each other, or outputs.
  enum Order { LANES_LAST, OUTPUTS_LAST };

  TopTile(const caffe::LocallyConnectedGeometry& geometry, const LocalProducts<Dtype>& products,
          Order order)
      : geometry_(geometry),
        lanes_(products.lanes),
        outputs_(products.outputs),
        lane_step_(order == LANES_LAST ? 1 : outputs_),
        output_step_(order == LANES_LAST ? lanes_ : 1),
        groups_((geometry.num + lanes_ - 1) / lanes_),
        blocks_((geometry.num_output + outputs_ - 1) / outputs_),
        // A cache line more than there are values: else those of all positions fall into a few sets
        // of the cache.
        step_(static_cast<size_t>(groups_) * blocks_ * lanes_ * outputs_ + 64 / sizeof(Dtype)),
        values_(kPositions * step_) {}

  int blocks() const { return blocks_; }
  Dtype* Block(int position, int group, int block) {
    return &values_[position * step_ +
                    (static_cast<size_t>(group) * blocks_ + block) * lanes_ * outputs_];
  }

  // Positions [first, last) of the top.
  void Load(int first, int last, const Dtype* top) {
    ForEachPlane([=](size_t plane, int, Dtype* values) {
      const Dtype* from = top + plane + first;
      for (int p = 0; p < last - first; ++p) {
        values[p * step_] = from[p];
      }
    });
  }
  void Store(int first, int last, const Dtype* bias, Dtype* top) {
    ForEachPlane([=](size_t plane, int output_plane, const Dtype* values) {
      Dtype* to = top + plane + first;
      for (int p = 0; p < last - first; ++p) {
        to[p] = values[p * step_];
      }
      for (int p = 0; bias && p < last - first; ++p) {
        to[p] += bias[output_plane + first + p];
      }
    });
  }

 private:
  // Calls visit(offset of the plane, its offset within an image, its first value here).
  template <typename Visit>
  void ForEachPlane(const Visit& visit) {
    // Those that share cache lines here come one after the other.
    const bool lanes_last = lane_step_ == 1;
    const int outer = lanes_last ? geometry_.num_output : geometry_.num;
    const int inner = lanes_last ? geometry_.num : geometry_.num_output;
    for (int i = 0; i < outer; ++i) {
      for (int j = 0; j < inner; ++j) {
        const int n = lanes_last ? j : i;
        const int o = lanes_last ? i : j;
        const int plane = o * geometry_.positions();
        visit(static_cast<size_t>(n) * geometry_.num_output * geometry_.positions() + plane, plane,
              Block(0, n / lanes_, o / outputs_) + n % lanes_ * lane_step_ +
                  o % outputs_ * output_step_);
      }
    }
  }

  const caffe::LocallyConnectedGeometry& geometry_;
  const int lanes_, outputs_, lane_step_, output_step_, groups_, blocks_;
  const size_t step_;  // values from a position to the next
  std::vector<Dtype> values_;
};

// Weights, or their diffs, of `taps` taps: whole blocks of outputs where they lie, and the last
// block, if it is not whole, in a copy filled up with zeros.
template <typename Dtype>
class WeightBlock {
 public:
  WeightBlock(int taps, int num_output, int outputs)
      : taps_(taps), num_output_(num_output), outputs_(outputs) {}

  // Points the block at outputs from `first` on of these weights.
  void Read(const Dtype* weight, int first) {
    Place(weight, first);
    if (copied_) {
      copy_.resize(static_cast<size_t>(taps_) * outputs_);
      for (int k = 0; k < taps_; ++k) {
        std::copy(weight + static_cast<size_t>(k) * num_output_ + first,
                  weight + static_cast<size_t>(k + 1) * num_output_,
                  &copy_[static_cast<size_t>(k) * outputs_]);
      }
    }
  }
  // Likewise, to be added to; AddBack when that is done.
  void Open(Dtype* weight_diff, int first) {
    Place(weight_diff, first);
    copy_.assign(copied_ ? static_cast<size_t>(taps_) * outputs_ : 0, Dtype(0));
    diff_ = copied_ ? copy_.data() : weight_diff + first;
  }
  void AddBack(Dtype* weight_diff, int first) const {
    for (int k = 0; copied_ && k < taps_; ++k) {
      for (int o = 0; first + o < num_output_; ++o) {
        weight_diff[static_cast<size_t>(k) * num_output_ + first + o] +=
            copy_[static_cast<size_t>(k) * outputs_ + o];
      }
    }
  }

  const Dtype* weight() const { return copied_ ? copy_.data() : whole_; }
  Dtype* diff() const { return diff_; }
  int step() const { return copied_ ? outputs_ : num_output_; }

 private:
  void Place(const Dtype* weight, int first) {
    copied_ = first + outputs_ > num_output_;
    whole_ = weight + first;
  }

  const int taps_, num_output_, outputs_;
  bool copied_ = false;
  const Dtype* whole_ = NULL;
  Dtype* diff_ = NULL;
  std::vector<Dtype> copy_;
};

// A map whose pixels are vectors, zeros around it, in groups of images.
struct SpreadMap {
  int lanes;
  size_t row, plane, group;

  SpreadMap(const caffe::LocallyConnectedGeometry& geometry, int lanes)
      : lanes(lanes),
        row(static_cast<size_t>(geometry.width + 2 * geometry.pad_w) * lanes),
        plane(row * (geometry.height + 2 * geometry.pad_h)),
        group(plane * geometry.channels) {}

  // Where position p's window begins.
  size_t offset(const caffe::LocallyConnectedGeometry& geometry, int g, int p) const {
    return g * group + p / geometry.output_w * geometry.stride_h * row +
           static_cast<size_t>(p % geometry.output_w) * geometry.stride_w * lanes;
  }
  TapWindow window(const caffe::LocallyConnectedGeometry& geometry, int channels) const {
    const TapWindow window = {channels, geometry.kernel_h, geometry.kernel_w, plane, row};
    return window;
  }
};

// Calls visit(a pixel's first value in the map, the row's in the plain blob, image's lane) for
// every row of channel c of a group of images.
template <typename Visit>
void ForEachRow(const caffe::LocallyConnectedGeometry& geometry, const SpreadMap& map, int g, int c,
                const Visit& visit) {
  const int first = g * map.lanes;
  const int last = std::min(first + map.lanes, geometry.num);
  for (int y = 0; y < geometry.height; ++y) {
    const size_t row = g * map.group + c * map.plane + (y + geometry.pad_h) * map.row +
                       static_cast<size_t>(geometry.pad_w) * map.lanes;
    for (int n = first; n < last; ++n) {
      const size_t plain =
          ((static_cast<size_t>(n) * geometry.channels + c) * geometry.height + y) * geometry.width;
      visit(row + n - first, plain);
    }
  }
}

}  // namespace caffe_ext

#endif  // DRML_LAYERS_LOCALLY_CONNECTED_TILES_HPP_
