// The convolutions of DRML and AlexNet that go by transforms (FFT, Winograd), with and without
// them: the engine's layer forward, and backward with and without the gradient of the bottom, on
// blocked blobs. Prints the thread's processor time in ms, median of R rounds in which both take
// turns. Usage: OMP_NUM_THREADS=1 transformed_convolution N [R [net]]
#include <stdlib.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layer_factory.hpp"
#include "engines/blocked_tensor.hpp"
#include "engines/onednn.hpp"
#include "engines/switch.hpp"

namespace {

using caffe::Blob;
using caffe::Layer;

struct Convolution {
  const char *net, *name;
  int channels, side, outputs, kernel, pad = 0, group = 1, stride = 1;
};

double Milliseconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * 1e3 + time.tv_nsec * 1e-6;
}

// Random values that nobody has looked at: blocked, or plain for an image.
void Fill(Blob<float>* blob, caffe_ext::BlobPart part) {
  std::mt19937 generator(7);
  std::normal_distribution<float> normal;
  std::vector<float> values(blob->count());
  for (float& value : values) value = normal(generator);
  const int block = caffe_ext::onednn::ChannelBlock();
  if (blob->channels() < block / 2) {
    std::copy(values.begin(), values.end(), blob->mutable_cpu_data());
    return;
  }
  const caffe_ext::BlockedPtr tensor = caffe_ext::EmptyBlocked(*blob, block);
  tensor->ReadPlain(values.data());
  (part == caffe_ext::kData ? blob->data() : blob->diff())->set_private_form(tensor);
}

struct Run {
  Run(const Convolution& of, int images, bool transforms)
      : bottom(images, of.channels, of.side, of.side) {
    caffe_ext::SetTransformsEnabled(transforms);
    caffe::LayerParameter param;
    param.set_name(std::string(of.name) + (transforms ? " transforms" : " direct"));
    param.set_type("Convolution");
    param.mutable_convolution_param()->set_num_output(of.outputs);
    param.mutable_convolution_param()->add_kernel_size(of.kernel);
    param.mutable_convolution_param()->add_pad(of.pad);
    param.mutable_convolution_param()->add_stride(of.stride);
    param.mutable_convolution_param()->set_group(of.group);
    param.mutable_convolution_param()->mutable_weight_filler()->set_type("xavier");
    layer = caffe::LayerRegistry<float>::CreateLayer(param);
    layer->SetUp({&bottom}, {&top});
    Fill(&bottom, caffe_ext::kData);
    Fill(&top, caffe_ext::kDiff);
  }

  // As after an update: weights that no pass has seen.
  double Forward() {
    layer->blobs()[0]->mutable_cpu_data()[0] += 1e-3f;
    const double start = Milliseconds();
    layer->Forward({&bottom}, {&top});
    return Milliseconds() - start;
  }

  double Backward(bool to_bottom) {
    const double start = Milliseconds();
    layer->Backward({&top}, {to_bottom}, {&bottom});
    return Milliseconds() - start;
  }

  Blob<float> bottom, top;
  caffe::shared_ptr<Layer<float> > layer;
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const int images = argc > 1 ? atoi(argv[1]) : 0, rounds = argc > 2 ? atoi(argv[2]) : 9;
  if (images <= 0 || rounds <= 0) {
    std::fprintf(stderr, "Usage: transformed_convolution N [R [net]]\n");
    return 1;
  }
  FLAGS_minloglevel = 1;
  const Convolution layers[] = {{"drml", "conv1", 3, 170, 32, 11},
                                {"drml", "conv4", 32, 80, 16, 8},
                                {"drml", "conv5", 16, 73, 16, 8},
                                {"alexnet", "conv1", 3, 227, 96, 11, 0, 1, 4},
                                {"alexnet", "conv2", 96, 27, 256, 5, 2, 2},
                                {"alexnet", "conv3", 256, 13, 384, 3, 1},
                                {"alexnet", "conv4", 384, 13, 384, 3, 1, 2},
                                {"alexnet", "conv5", 384, 13, 256, 3, 1, 2}};
  for (const Convolution& of : layers) {
    if (argc > 3 && of.net != std::string(argv[3])) continue;
    Run direct(of, images, false), fast(of, images, true);
    std::vector<double> times[3][2];
    for (int round = -1; round < rounds; ++round) {
      for (Run* run : {&direct, &fast}) {
        const double taken[] = {run->Forward(), run->Backward(false),
                                of.channels > 3 ? run->Backward(true) : 0};
        for (int pass = 0; round >= 0 && pass < 3; ++pass) {
          times[pass][run == &fast].push_back(taken[pass]);
        }
      }
    }
    const char* const names[] = {"forward", "weights", "both gradients"};
    for (int pass = 0; pass < (of.channels > 3 ? 3 : 2); ++pass) {
      const double a = Median(times[pass][0]), b = Median(times[pass][1]);
      std::printf("%s %s %s: direct %.2f, transforms %.2f, ratio %.2f\n", of.net, of.name,
                  names[pass], a, b, a / b);
    }
  }
  return 0;
}
