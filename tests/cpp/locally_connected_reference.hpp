#ifndef TESTS_CPP_LOCALLY_CONNECTED_REFERENCE_HPP_
#define TESTS_CPP_LOCALLY_CONNECTED_REFERENCE_HPP_

#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "google/protobuf/text_format.h"
#include "values.hpp"

namespace caffe {

// A LocallyConnected layer's parameters from the text of its convolution_param.
inline LayerParameter LocallyConnectedParam(const string& text) {
  LayerParameter param;
  param.set_name("conv5");
  param.set_type("LocallyConnected");
  CHECK(google::protobuf::TextFormat::ParseFromString(text, param.mutable_convolution_param()));
  return param;
}

// The layer's definition, product by product in double, from the shapes of its blobs, a stride and
// a pad. It shares nothing with the layer.
class LocallyConnectedReference {
 public:
  LocallyConnectedReference(int stride_h, int stride_w, int pad_h, int pad_w)
      : stride_h_(stride_h), stride_w_(stride_w), pad_h_(pad_h), pad_w_(pad_w) {}

  // top, from bottom and blobs.
  template <typename Dtype>
  void Forward(const Blob<Dtype>& bottom, const vector<shared_ptr<Blob<Dtype> > >& blobs) {
    top = Zeros(bottom, blobs);
    if (blobs.size() > 1) {
      const Blob<Dtype>& bias = *blobs[1];
      const size_t image = bias.count();
      for (size_t i = 0; i < top.size(); ++i) {
        top[i] = bias.cpu_data()[i % image];
      }
    }
    ForEachProduct(bottom, *blobs[0], [&](int y, int w, int x) {
      top[y] += static_cast<double>(blobs[0]->cpu_data()[w]) * bottom.cpu_data()[x];
    });
  }

  // The diffs of bottom and blobs, from the top's; those of the blobs are added to what these hold.
  template <typename Dtype>
  void Backward(const Blob<Dtype>& bottom, const vector<shared_ptr<Blob<Dtype> > >& blobs,
                const Blob<Dtype>& top_blob) {
    const Dtype* diff = top_blob.cpu_diff();
    bottom_diff.assign(bottom.count(), 0.);
    blob_diffs.clear();
    for (const shared_ptr<Blob<Dtype> >& blob : blobs) {
      blob_diffs.push_back(vector<double>(blob->cpu_diff(), blob->cpu_diff() + blob->count()));
    }
    ForEachProduct(bottom, *blobs[0], [&](int y, int w, int x) {
      bottom_diff[x] += static_cast<double>(blobs[0]->cpu_data()[w]) * diff[y];
      blob_diffs[0][w] += static_cast<double>(bottom.cpu_data()[x]) * diff[y];
    });
    for (int i = 0; blobs.size() > 1 && i < top_blob.count(); ++i) {
      blob_diffs[1][i % blobs[1]->count()] += diff[i];
    }
  }

  vector<double> top, bottom_diff;
  vector<vector<double> > blob_diffs;

 private:
  template <typename Dtype>
  static vector<double> Zeros(const Blob<Dtype>& bottom,
                              const vector<shared_ptr<Blob<Dtype> > >& blobs) {
    const vector<int>& w = blobs[0]->shape();
    return vector<double>(static_cast<size_t>(bottom.shape(0)) * w[0] * w[1] * w[5], 0.);
  }

  // Calls visit(index in the top, in the weight, in the bottom) for each product of the definition.
  template <typename Dtype, typename Visit>
  void ForEachProduct(const Blob<Dtype>& bottom, const Blob<Dtype>& weight, const Visit& visit) {
    const vector<int>& size = weight.shape();  // H' W' C kernel_h kernel_w outputs
    for (int n = 0; n < bottom.shape(0); ++n) {
      for (int o = 0; o < size[5]; ++o) {
        for (int i = 0; i < size[0]; ++i) {
          for (int j = 0; j < size[1]; ++j) {
            const int y = ((n * size[5] + o) * size[0] + i) * size[1] + j;
            for (int c = 0; c < size[2]; ++c) {
              for (int u = 0; u < size[3]; ++u) {
                for (int v = 0; v < size[4]; ++v) {
                  const int row = i * stride_h_ + u - pad_h_;
                  const int column = j * stride_w_ + v - pad_w_;
                  if (row >= 0 && row < bottom.shape(2) && column >= 0 &&
                      column < bottom.shape(3)) {
                    visit(y, weight.offset(vector<int>{i, j, c, u, v, o}),
                          bottom.offset(n, c, row, column));
                  }
                }
              }
            }
          }
        }
      }
    }
  }

  const int stride_h_, stride_w_, pad_h_, pad_w_;
};

}  // namespace caffe

#endif  // TESTS_CPP_LOCALLY_CONNECTED_REFERENCE_HPP_
