// conv5 of models/lcn, 16 outputs of 8x8 on N x 16 x 73 x 73, against its weights' memory traffic:
// 286 MB, read once in forward; read once for the bottom's gradient; their gradient read and
// written once. One "name value" a line: milliseconds of the clock and of the main thread's
// processor time, the best of 15 rounds in which each takes its turn. On a machine with other work,
// one thread's processor time is the steadier of the two. Usage: locally_connected N
#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "caffe/filler.hpp"
#include "caffe/layers/locally_connected_layer.hpp"
#include "timer.hpp"

namespace {

using caffe::Blob;

caffe::LayerParameter Conv5() {
  caffe::LayerParameter param;
  param.set_name("conv5");
  param.set_type("LocallyConnected");
  caffe::ConvolutionParameter* conv = param.mutable_convolution_param();
  conv->set_num_output(16);
  conv->add_kernel_size(8);
  conv->mutable_weight_filler()->set_type("uniform");
  conv->mutable_weight_filler()->set_max(.01);
  return param;
}

void Draw(float* values, int count) {
  for (int i = 0; i < count; ++i) {
    values[i] = 1e-3f * (i % 977 - 488);
  }
}

const int kBlock = 1 << 16;

// With enough sums at once that memory is what it waits for.
float Sum(const float* values, int count) {
  const int kSums = 32;
  float total = 0;
#pragma omp parallel for schedule(static) reduction(+ : total)
  for (int first = 0; first < count; first += kBlock) {
    float sums[kSums] = {};
    const int last = std::min(first + kBlock, count);
    for (int i = first; i + kSums <= last; i += kSums) {
      for (int j = 0; j < kSums; ++j) {
        sums[j] += values[i + j];
      }
    }
    for (float sum : sums) {
      total += sum;
    }
  }
  return total;
}

void Scale(float* values, int count) {
#pragma omp parallel for simd
  for (int i = 0; i < count; ++i) {
    values[i] *= .999f;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int images = argc > 1 ? atoi(argv[1]) : 0;
  if (images <= 0) {
    std::fprintf(stderr, "Usage: locally_connected N\n");
    return 1;
  }
  caffe::LocallyConnectedLayer<float> layer(Conv5());
  Blob<float> bottom(images, 16, 73, 73), top;
  const std::vector<Blob<float>*> bottoms(1, &bottom), tops(1, &top);
  layer.SetUp(bottoms, tops);
  Draw(bottom.mutable_cpu_data(), bottom.count());
  Draw(top.mutable_cpu_diff(), top.count());
  Blob<float>& weight = *layer.blobs()[0];
  float* const diff = weight.mutable_cpu_diff();
  Scale(diff, weight.count());

  Timer forward = {"forward"}, to_weights = {"weights"}, to_data = {"data"},
        backward = {"backward"}, read = {"read"}, update = {"update"};
  const std::vector<bool> yes(1, true), no(1, false);
  const auto learn = [&layer](bool learned) {
    layer.set_param_propagate_down(0, learned);
    layer.set_param_propagate_down(1, learned);
  };
  volatile float kept = 0;
  for (int round = 0; round < 15; ++round) {
    read.Run([&] { kept = Sum(weight.cpu_data(), weight.count()); });
    forward.Run([&] { layer.Forward(bottoms, tops); });
    learn(false);
    to_data.Run([&] { layer.Backward(tops, yes, bottoms); });
    learn(true);
    update.Run([&] { Scale(diff, weight.count()); });
    to_weights.Run([&] { layer.Backward(tops, no, bottoms); });
    backward.Run([&] { layer.Backward(tops, yes, bottoms); });
  }
  for (const Timer* timer : {&read, &update, &forward, &to_weights, &to_data, &backward}) {
    timer->Print();
  }
  return 0;
}
