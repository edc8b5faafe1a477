#include "training/test_pass.hpp"

#include <algorithm>
#include <string>

#include "caffe/resumable.hpp"
#include "caffe/util/rng.hpp"
#include "training/generator.hpp"

namespace caffe_ext {

template <typename Dtype>
int BeginTestPass(const caffe::Net<Dtype>& net, int test_iter) {
  int batches = 0;
  // Layers start their thread with a random number, which training must not miss.
  const std::string generator = GeneratorState(*caffe::caffe_rng());
  for (const auto& layer : net.layers()) {
    caffe::Resumable* data = dynamic_cast<caffe::Resumable*>(layer.get());
    if (data) {
      batches = std::max(batches, data->BeginPass());
    }
  }
  SetGeneratorState(generator, caffe::caffe_rng());
  if (test_iter > 0) {
    return test_iter;
  }
  CHECK_GT(batches, 0) << "test_iter: 0 stands for the whole data set, but net '" << net.name()
                       << "' has no layer that knows how many records that is (MultiLabelData or "
                       << "MultiLabelImageData); set test_iter to the number of batches of a test.";
  // What `drml train` reads to turn means over batches into counts.
  LOG(INFO) << "    Test pass: " << batches << " batches";
  return batches;
}

template int BeginTestPass<float>(const caffe::Net<float>&, int);
template int BeginTestPass<double>(const caffe::Net<double>&, int);

}  // namespace caffe_ext
