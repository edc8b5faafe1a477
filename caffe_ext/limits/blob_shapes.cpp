// Blobs of the shapes that files claim: members of Blob (members.hpp).
#include <algorithm>
#include <vector>

#include "caffe/blob.hpp"
#include "limits/host_memory.hpp"
#include "members.hpp"

namespace caffe_ext {

namespace {

using caffe::Blob;
using caffe::BlobProto;
using caffe::BlobShape;

template <typename Dtype>
void Reshape(const BlobShape& shape, Blob<Dtype>* blob) {
  CHECK_LE(shape.dim_size(), kMaxBlobAxes);
  CheckShape(shape);
  blob->Reshape(std::vector<int>(shape.dim().begin(), shape.dim().end()));
}

// The doubles of a message if it has any, else the floats.
template <typename Doubles, typename Floats, typename Dtype>
void Copy(const Doubles& doubles, const Floats& floats, int count, Dtype* values) {
  if (doubles.size() > 0) {
    CHECK_EQ(count, doubles.size());
    std::copy(doubles.begin(), doubles.end(), values);
  } else {
    CHECK_EQ(count, floats.size());
    std::copy(floats.begin(), floats.end(), values);
  }
}

template <typename Dtype>
void FromProto(const BlobProto& proto, bool reshape, Blob<Dtype>* blob) {
  if (!reshape) {
    CHECK(blob->ShapeEquals(proto)) << "shape mismatch (reshape not set)";
  } else if (proto.has_num() || proto.has_channels() || proto.has_height() || proto.has_width()) {
    blob->Reshape(proto.num(), proto.channels(), proto.height(), proto.width());
  } else {
    Reshape(proto.shape(), blob);
  }
  Copy(proto.double_data(), proto.data(), blob->count(), blob->mutable_cpu_data());
  if (proto.double_diff_size() > 0 || proto.diff_size() > 0) {
    Copy(proto.double_diff(), proto.diff(), blob->count(), blob->mutable_cpu_diff());
  }
}

}  // namespace

}  // namespace caffe_ext

namespace caffe {

#define DEFINE_MEMBERS(Dtype)                                         \
  template <>                                                         \
  void Blob<Dtype>::Reshape(const BlobShape& shape) {                 \
    caffe_ext::Reshape(shape, this);                                  \
  }                                                                   \
  template <>                                                         \
  void Blob<Dtype>::FromProto(const BlobProto& proto, bool reshape) { \
    caffe_ext::FromProto(proto, reshape, this);                       \
  }

DEFINE_MEMBERS(float)
DEFINE_MEMBERS(double)
#undef DEFINE_MEMBERS

}  // namespace caffe
