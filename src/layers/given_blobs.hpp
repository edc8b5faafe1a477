// The blobs that a layer was given (saved, or shared) instead of those it would create.
#ifndef DRML_LAYERS_GIVEN_BLOBS_HPP_
#define DRML_LAYERS_GIVEN_BLOBS_HPP_

#include <string>
#include <vector>

#include "caffe/blob.hpp"

namespace caffe_ext {

/// A fatal message, which begins with `where`, if the layer's blobs have other shapes than its
/// parameters ask for.
template <typename Dtype>
void CheckGivenBlobs(const std::string& where,
                     const std::vector<caffe::shared_ptr<caffe::Blob<Dtype> > >& blobs,
                     const std::vector<std::vector<int> >& shapes) {
  CHECK_EQ(blobs.size(), shapes.size()) << where << "its parameters ask for " << shapes.size()
                                        << " blobs, " << blobs.size() << " were given";
  for (size_t i = 0; i < shapes.size(); ++i) {
    CHECK(blobs[i]->shape() == shapes[i])
        << where << "blob " << i << " must be " << caffe::Blob<Dtype>(shapes[i]).shape_string()
        << ", was given as " << blobs[i]->shape_string();
  }
}

}  // namespace caffe_ext

#endif  // DRML_LAYERS_GIVEN_BLOBS_HPP_
