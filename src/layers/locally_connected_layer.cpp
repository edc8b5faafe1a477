#include "caffe/layers/locally_connected_layer.hpp"

#include <omp.h>

#include <algorithm>
#include <vector>

#include "locally_connected_products.hpp"
#include "locally_connected_tiles.hpp"

// The passes on the CPU. locally_connected_set_up.cpp reads the parameters.

namespace caffe {

using caffe_ext::ForEachRow;
using caffe_ext::kPositions;
using caffe_ext::SpreadMap;
using caffe_ext::TapWindow;
using caffe_ext::TopTile;
using caffe_ext::WeightBlock;

// ---------------------------------------------------------------------------------------------
// Between Caffe's order and vectors of images

template <typename Dtype>
const caffe_ext::LocalProducts<Dtype>& LocallyConnectedLayer<Dtype>::ProductsFor(int images) const {
  return caffe_ext::LocalProductsFor<Dtype>(images);
}

template <typename Dtype>
int LocallyConnectedLayer<Dtype>::Lanes() const {
  return products_->lanes;
}

// Memory for all groups' maps, with what it held before; at first, zeros.
template <typename Dtype>
Dtype* LocallyConnectedLayer<Dtype>::SpreadMemory(shared_ptr<SyncedMemory>* memory) const {
  if (!*memory) {
    memory->reset(new SyncedMemory(Groups() * SpreadMap(geometry_, Lanes()).group * sizeof(Dtype)));
  }
  return static_cast<Dtype*>((*memory)->mutable_cpu_data());
}

template <typename Dtype>
const Dtype* LocallyConnectedLayer<Dtype>::SpreadBottom(const Dtype* bottom_data) {
  const SpreadMap map(geometry_, Lanes());
  Dtype* const inputs = SpreadMemory(&inputs_);
#pragma omp parallel for collapse(2) schedule(static)
  for (int g = 0; g < Groups(); ++g) {
    for (int c = 0; c < geometry_.channels; ++c) {
      ForEachRow(geometry_, map, g, c, [&](size_t spread, size_t plain) {
        for (int x = 0; x < geometry_.width; ++x) {
          inputs[spread + static_cast<size_t>(x) * map.lanes] = bottom_data[plain + x];
        }
      });
    }
  }
  return inputs;
}

template <typename Dtype>
void LocallyConnectedLayer<Dtype>::GatherBottomDiff(const Dtype* input_diffs,
                                                    Dtype* bottom_diff) const {
  const SpreadMap map(geometry_, Lanes());
#pragma omp parallel for collapse(2) schedule(static)
  for (int g = 0; g < Groups(); ++g) {
    for (int c = 0; c < geometry_.channels; ++c) {
      ForEachRow(geometry_, map, g, c, [&](size_t spread, size_t plain) {
        for (int x = 0; x < geometry_.width; ++x) {
          bottom_diff[plain + x] = input_diffs[spread + static_cast<size_t>(x) * map.lanes];
        }
      });
    }
  }
}

// ---------------------------------------------------------------------------------------------
// Passes. Each product is threaded so that no two threads write the same value, and its sums have
// an order of their own: results do not depend on the number of threads, nor on who does what.
// Hence threads take tiles as they come, which costs nothing where all are equally fast and much
// is won where one of them has to share its core.

template <typename Dtype>
void LocallyConnectedLayer<Dtype>::Forward_cpu(const vector<Blob<Dtype>*>& bottom,
                                               const vector<Blob<Dtype>*>& top) {
  if (geometry_.num == 0) {
    return;
  }
  const Dtype* inputs = SpreadBottom(bottom[0]->cpu_data());
  const SpreadMap map(geometry_, Lanes());
  const TapWindow window = map.window(geometry_, geometry_.channels);
  const Dtype* weight = this->blobs_[0]->cpu_data();
  const Dtype* bias = bias_term_ ? this->blobs_[1]->cpu_data() : NULL;
  Dtype* top_data = top[0]->mutable_cpu_data();
  const int positions = geometry_.positions();
#pragma omp parallel
  {
    TopTile<Dtype> sums(geometry_, *products_, TopTile<Dtype>::LANES_LAST);
    WeightBlock<Dtype> block(geometry_.taps(), geometry_.num_output, products_->outputs);
#pragma omp for schedule(dynamic)
    for (int first = 0; first < positions; first += kPositions) {
      const int last = std::min(first + kPositions, positions);
      for (int p = first; p < last; ++p) {
        for (int b = 0; b < sums.blocks(); ++b) {
          block.Read(weight + geometry_.weight_offset(p), b * products_->outputs);
          for (int g = 0; g < Groups(); ++g) {
            products_->sum_outputs(window, inputs + map.offset(geometry_, g, p), block.weight(),
                                   block.step(), sums.Block(p - first, g, b));
          }
        }
      }
      sums.Store(first, last, bias, top_data);
    }
  }
}

template <typename Dtype>
void LocallyConnectedLayer<Dtype>::AddWeightDiff(const Dtype* inputs, const Dtype* top_diff,
                                                 Dtype* weight_diff) const {
  const SpreadMap map(geometry_, Lanes());
  const TapWindow window = map.window(geometry_, geometry_.channels);
  const int positions = geometry_.positions();
#pragma omp parallel
  {
    TopTile<Dtype> diffs(geometry_, *products_, TopTile<Dtype>::OUTPUTS_LAST);
    WeightBlock<Dtype> block(geometry_.taps(), geometry_.num_output, products_->outputs);
#pragma omp for schedule(dynamic)
    for (int first = 0; first < positions; first += kPositions) {
      const int last = std::min(first + kPositions, positions);
      diffs.Load(first, last, top_diff);
      for (int p = first; p < last; ++p) {
        Dtype* const diff = weight_diff + geometry_.weight_offset(p);
        for (int b = 0; b < diffs.blocks(); ++b) {
          block.Open(diff, b * products_->outputs);
          for (int g = 0; g < Groups(); ++g) {
            products_->add_weight_diff(window, inputs + map.offset(geometry_, g, p),
                                       diffs.Block(p - first, g, b), block.diff(), block.step());
          }
          block.AddBack(diff, b * products_->outputs);
        }
      }
    }
  }
}

template <typename Dtype>
void LocallyConnectedLayer<Dtype>::AddBiasDiff(const Dtype* top_diff, Dtype* bias_diff) const {
  const int count = geometry_.num_output * geometry_.positions();
  const int kChunk = 4096;  // stays in the cache while the images go by
#pragma omp parallel for schedule(static)
  for (int first = 0; first < count; first += kChunk) {
    const int last = std::min(first + kChunk, count);
    for (int n = 0; n < geometry_.num; ++n) {
      const Dtype* diff = top_diff + static_cast<size_t>(n) * count;
      for (int i = first; i < last; ++i) {
        bias_diff[i] += diff[i];
      }
    }
  }
}

// Windows of neighbouring positions overlap. So rows of positions are cut into bands at least as
// high as a kernel reaches, and every other band is worked on at a time; and threads share out the
// channels of a band.
template <typename Dtype>
const Dtype* LocallyConnectedLayer<Dtype>::SpreadDataDiff(const Dtype* top_diff,
                                                          const Dtype* weight) {
  const LocallyConnectedGeometry& geo = geometry_;
  const SpreadMap map(geo, Lanes());
  Dtype* const input_diffs = SpreadMemory(&input_diffs_);
  const int reach = (geo.kernel_h + geo.stride_h - 1) / geo.stride_h - 1;
  const int bands = std::max(1, geo.output_h / std::max(1, reach));
  const int parts = std::min(geo.channels, omp_get_max_threads());
  const auto border = [](int i, int size, int cuts) {
    return static_cast<int>(static_cast<int64_t>(i) * size / cuts);
  };
#pragma omp parallel
  {
    TopTile<Dtype> diffs(geo, *products_, TopTile<Dtype>::LANES_LAST);
#pragma omp for schedule(static)
    for (int plane = 0; plane < Groups() * geo.channels; ++plane) {
      std::fill_n(input_diffs + plane * map.plane, map.plane, Dtype(0));
    }
    for (int odd = 0; odd < 2; ++odd) {
#pragma omp for collapse(2) schedule(dynamic)
      for (int band = odd; band < bands; band += 2) {
        for (int part = 0; part < parts; ++part) {
          const int channel = border(part, geo.channels, parts);
          const TapWindow window = map.window(geo, border(part + 1, geo.channels, parts) - channel);
          WeightBlock<Dtype> block(window.taps(), geo.num_output, products_->outputs);
          const int end = border(band + 1, geo.output_h, bands) * geo.output_w;
          for (int first = border(band, geo.output_h, bands) * geo.output_w; first < end;
               first += kPositions) {
            const int last = std::min(first + kPositions, end);
            diffs.Load(first, last, top_diff);
            for (int p = first; p < last; ++p) {
              for (int b = 0; b < diffs.blocks(); ++b) {
                block.Read(weight + geo.weight_offset(p) +
                               channel * geo.kernel_h * geo.kernel_w * geo.num_output,
                           b * products_->outputs);
                for (int g = 0; g < Groups(); ++g) {
                  products_->add_map_diff(
                      window, diffs.Block(p - first, g, b), block.weight(), block.step(),
                      input_diffs + map.offset(geo, g, p) + channel * map.plane);
                }
              }
            }
          }
        }
      }
    }
  }
  return input_diffs;
}

template <typename Dtype>
void LocallyConnectedLayer<Dtype>::Backward_cpu(const vector<Blob<Dtype>*>& top,
                                                const vector<bool>& propagate_down,
                                                const vector<Blob<Dtype>*>& bottom) {
  if (geometry_.num == 0) {
    return;
  }
  const Dtype* top_diff = top[0]->cpu_diff();
  if (WantsDiff(0)) {
    AddWeightDiff(SpreadBottom(bottom[0]->cpu_data()), top_diff,
                  this->blobs_[0]->mutable_cpu_diff());
  }
  if (WantsDiff(1)) {
    AddBiasDiff(top_diff, this->blobs_[1]->mutable_cpu_diff());
  }
  if (propagate_down[0]) {
    GatherBottomDiff(SpreadDataDiff(top_diff, this->blobs_[0]->cpu_data()),
                     bottom[0]->mutable_cpu_diff());
  }
}

#ifdef CPU_ONLY
STUB_GPU(LocallyConnectedLayer);
#endif

INSTANTIATE_CLASS(LocallyConnectedLayer);
REGISTER_LAYER_CLASS(LocallyConnected);

}  // namespace caffe
