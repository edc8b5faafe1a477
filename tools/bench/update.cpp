// SGD's and Adam's update of a blob of so many weights, as the solvers run it. One "name value" a
// line: milliseconds of the clock and of the main thread's processor time, the best of 15 rounds in
// which each takes its turn. Usage: update VALUES
#include "engines/update.hpp"

#include <stdlib.h>

#include <cstdio>

#include "engines/large_memory.hpp"
#include "timer.hpp"

int main(int argc, char** argv) {
  const int count = argc > 1 ? atoi(argv[1]) : 0;
  if (count <= 0) {
    std::fprintf(stderr, "Usage: update VALUES\n");
    return 1;
  }
  caffe_ext::LargeMemory memory[4];
  float* blobs[4];
  for (int b = 0; b < 4; ++b) {
    blobs[b] = memory[b].Room(count);
    for (int i = 0; i < count; ++i) {
      blobs[b][i] = 1e-4f * (1 + i % 97);
    }
  }
  caffe_ext::SgdStep<float> sgd = {};
  sgd.rate = 1e-3f;
  sgd.momentum = .9f;
  sgd.scale = 1;
  sgd.decay = 5e-4f;
  caffe_ext::AdamStep<float> adam = {};
  adam.rate = 1e-3f;
  adam.beta1 = .9f;
  adam.beta2 = .999f;
  adam.eps = 1e-8f;
  adam.scale = 1;
  adam.decay = 5e-4f;
  sgd.watched = adam.watched = true;  // as both are by default
  Timer sgd_timer = {"sgd"}, adam_timer = {"adam"};
  for (int round = 0; round < 15; ++round) {
    sgd_timer.Run([&] { caffe_ext::Update(count, sgd, blobs[0], blobs[1], blobs[2]); });
    adam_timer.Run([&] { caffe_ext::Update(count, adam, blobs[0], blobs[1], blobs[2], blobs[3]); });
  }
  for (const Timer* timer : {&sgd_timer, &adam_timer}) {
    timer->Print();
  }
  return 0;
}
