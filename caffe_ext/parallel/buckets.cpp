#include "parallel/buckets.hpp"

#include <algorithm>
#include <vector>

namespace caffe_ext {

std::vector<Gradient> GradientsOf(const caffe::Net<float>& net, bool frozen) {
  // Net::params() holds the blobs of all layers one after the other. Those that own themselves are
  // the learnable ones; of layers that share one the first owns it, and has the last word, as
  // backward goes from the last layer to the first.
  std::vector<Gradient> gradients;
  int blob = 0;
  for (int layer = 0; layer < static_cast<int>(net.layers().size()); ++layer) {
    for (size_t i = 0; i < net.layers()[layer]->blobs().size(); ++i, ++blob) {
      if (net.param_owners()[blob] < 0) {
        const int param = static_cast<int>(gradients.size());
        const size_t count = net.learnable_params()[param]->count();
        gradients.push_back(Gradient{param, layer, count});
      }
    }
  }
  const auto is_frozen = [&](const Gradient& gradient) {
    return !frozen && net.params_lr()[gradient.param] == 0;
  };
  gradients.erase(std::remove_if(gradients.begin(), gradients.end(), is_frozen), gradients.end());
  return gradients;
}

std::vector<Bucket> FillBuckets(std::vector<Gradient> gradients, size_t least) {
  std::stable_sort(gradients.begin(), gradients.end(),
                   [](const Gradient& a, const Gradient& b) { return a.layer > b.layer; });
  std::vector<Bucket> buckets;
  Bucket small = {{}, 0, 0};
  for (const Gradient& gradient : gradients) {
    if (gradient.count >= least) {
      // It is not copied beside others, and may travel as factors.
      buckets.push_back(Bucket{{gradient.param}, gradient.layer, gradient.count});
      continue;
    }
    small.params.push_back(gradient.param);
    small.layer = gradient.layer;
    small.count += gradient.count;
    if (small.count >= least) {
      buckets.push_back(small);
      small = Bucket{{}, 0, 0};
    }
  }
  if (!small.params.empty()) {
    buckets.push_back(small);
  }
  return buckets;
}

}  // namespace caffe_ext
