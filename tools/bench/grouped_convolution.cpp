// The bare convolution inside DRML's Region layer: 64 groups of 32 -> 32 channels, 3x3, pad 1, on N
// x 2048 x 20 x 20 in blocked memory. One "name value" a line: milliseconds forward and of the two
// gradients, the best of ten. Usage: grouped_convolution N
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <unordered_map>
#include <vector>

#include "engines/onednn.hpp"

namespace {

using caffe_ext::onednn::Desc;
using dnnl::memory;

memory MakeMemory(const Desc& desc) {
  memory result(desc, caffe_ext::onednn::Engine());
  float* data = static_cast<float*>(result.get_data_handle());
  std::fill(data, data + desc.get_size() / sizeof(float), 1e-2f);
  return result;
}

double BestMilliseconds(const dnnl::primitive& primitive,
                        const std::unordered_map<int, memory>& arguments) {
  dnnl::stream& stream = caffe_ext::onednn::Stream();
  double best = 1e9;
  for (int run = 0; run < 10; ++run) {
    const auto start = std::chrono::steady_clock::now();
    primitive.execute(stream, arguments);
    stream.wait();
    const std::chrono::duration<double, std::milli> taken =
        std::chrono::steady_clock::now() - start;
    best = std::min(best, taken.count());
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const int images = argc > 1 ? atoi(argv[1]) : 0;
  if (images <= 0) {
    std::fprintf(stderr, "Usage: grouped_convolution N\n");
    return 1;
  }
  namespace onednn = caffe_ext::onednn;
  const int groups = 64, channels = 32, side = 20;
  const Desc map =
      onednn::BlockedDesc(images, groups * channels, side, side, onednn::ChannelBlock());
  const Desc any = onednn::AnyDesc({groups, channels, channels, 3, 3});
  const Desc bias = onednn::PlainDesc({groups * channels});
  const onednn::ConvolutionShape shape = {{1, 1}, {1, 1}, {1, 1}};
  const dnnl::primitive_attr attr;
  const auto forward = onednn::ConvolutionForward(shape, map, any, &bias, map, attr);
  const auto to_weights =
      onednn::ConvolutionBackwardWeights(shape, map, any, &bias, map, attr, forward);
  const auto to_data = onednn::ConvolutionBackwardData(shape, map, any, map, attr, forward);

  memory source = MakeMemory(map), target = MakeMemory(map), offsets = MakeMemory(bias);
  memory weights = MakeMemory(forward.weights_desc());
  memory weights_diff = MakeMemory(to_weights.diff_weights_desc());
  memory data_weights = MakeMemory(to_data.weights_desc());
  std::printf("forward_milliseconds %.3f\n",
              BestMilliseconds(dnnl::convolution_forward(forward), {{DNNL_ARG_SRC, source},
                                                                    {DNNL_ARG_WEIGHTS, weights},
                                                                    {DNNL_ARG_BIAS, offsets},
                                                                    {DNNL_ARG_DST, target}}));
  std::printf("weights_milliseconds %.3f\n",
              BestMilliseconds(dnnl::convolution_backward_weights(to_weights),
                               {{DNNL_ARG_SRC, source},
                                {DNNL_ARG_DIFF_DST, target},
                                {DNNL_ARG_DIFF_WEIGHTS, weights_diff},
                                {DNNL_ARG_DIFF_BIAS, offsets}}));
  std::printf("data_milliseconds %.3f\n", BestMilliseconds(dnnl::convolution_backward_data(to_data),
                                                           {{DNNL_ARG_DIFF_DST, target},
                                                            {DNNL_ARG_WEIGHTS, data_weights},
                                                            {DNNL_ARG_DIFF_SRC, source}}));
  return 0;
}
