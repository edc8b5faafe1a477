// How a net is written to files of weights and read from them: members of Net (members.hpp).
#include <hdf5.h>

#include <algorithm>
#include <string>

#include "caffe/layer.hpp"
#include "caffe/util/hdf5.hpp"
#include "limits/file_kinds.hpp"
#include "limits/hdf5_values.hpp"
#include "members.hpp"
#include "training/hdf5_in_memory.hpp"

namespace caffe_ext {

namespace {

using caffe::Blob;
using caffe::Net;
using std::string;

// Whether a layer's blob is a parameter of its own, and not shared with a layer before it.
template <typename Dtype>
bool Owns(const Net<Dtype>& net, const Blob<Dtype>* blob) {
  const auto& owned = net.learnable_params();
  return std::find(owned.begin(), owned.end(), blob) != owned.end();
}

// Groups "data" and, with write_diff, "diff": a group for each layer, a dataset for each blob.
template <typename Dtype>
void WriteGroup(const Net<Dtype>& net, const char* name, bool diff, const string& fault,
                hid_t file) {
  const Hdf5Group layers(H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), fault);
  for (const auto& layer : net.layers()) {
    const Hdf5Group group(H5Gcreate2(layers.id(), layer->layer_param().name().c_str(), H5P_DEFAULT,
                                     H5P_DEFAULT, H5P_DEFAULT),
                          fault);
    for (size_t i = 0; i < layer->blobs().size(); ++i) {
      const Blob<Dtype>& blob = *layer->blobs()[i];
      if (diff || Owns(net, &blob)) {
        caffe::hdf5_save_nd_dataset<Dtype>(group.id(), std::to_string(i), blob, diff);
      }
    }
  }
}

template <typename Dtype>
hid_t WeightsInMemory(const Net<Dtype>& net, const string& path, bool write_diff) {
  const hid_t file = CreateHdf5InMemory();
  const string fault = "Error saving weights to " + path + ".";
  WriteGroup(net, "data", false, fault, file);
  if (write_diff) {
    WriteGroup(net, "diff", true, fault, file);
  }
  return file;
}

// The blobs of one layer; those that are shared in this net need not be in the file.
template <typename Dtype>
void ReadLayer(const Net<Dtype>& net, const string& name, hid_t group) {
  const auto& blobs = net.layer_by_name(name)->blobs();
  const string fault = "Incompatible number of blobs for layer " + name;
  CHECK_LE(static_cast<size_t>(caffe::hdf5_get_num_links(group)), blobs.size()) << fault;
  for (size_t i = 0; i < blobs.size(); ++i) {
    const string dataset = std::to_string(i);
    if (H5Lexists(group, dataset.c_str(), H5P_DEFAULT)) {
      LoadHdf5Blob(group, dataset, blobs[i].get());
    } else {
      CHECK(!Owns(net, blobs[i].get())) << fault;
    }
  }
}

template <typename Dtype>
void ReadWeights(hid_t file, const string& path, Net<Dtype>* net) {
  const string fault = "Error reading weights from " + path;
  const Hdf5Group data(H5Gopen2(file, "data", H5P_DEFAULT), fault);
  const int layers = caffe::hdf5_get_num_links(data.id());
  for (int i = 0; i < layers; ++i) {
    const string name = caffe::hdf5_get_name_by_idx(data.id(), i);
    if (!net->has_layer(name)) {
      LOG(INFO) << "Ignoring source layer " << name;
      continue;
    }
    const Hdf5Group layer(H5Gopen2(data.id(), name.c_str(), H5P_DEFAULT), fault);
    ReadLayer(*net, name, layer.id());
  }
}

}  // namespace

}  // namespace caffe_ext

namespace caffe {

#define DEFINE_MEMBERS(Dtype)                                                        \
  template <>                                                                        \
  void Net<Dtype>::ToProto(NetParameter* param, bool write_diff) const {             \
    param->Clear();                                                                  \
    param->set_name(name_);                                                          \
    WriteRecipe(param);                                                              \
    for (const auto& layer : layers_) {                                              \
      layer->ToProto(param->add_layer(), write_diff);                                \
    }                                                                                \
  }                                                                                  \
  template <>                                                                        \
  void Net<Dtype>::ToHDF5(const string& filename, bool write_diff) const {           \
    WriteWeights(caffe_ext::WeightsInMemory(*this, filename, write_diff), filename); \
  }                                                                                  \
  template <>                                                                        \
  void Net<Dtype>::CopyTrainedLayersFrom(const string& filename) {                   \
    caffe_ext::CheckWeightsFile(filename);                                           \
    if (H5Fis_hdf5(filename.c_str()) > 0) {                                          \
      CopyTrainedLayersFromHDF5(filename);                                           \
    } else {                                                                         \
      CopyTrainedLayersFromBinaryProto(filename);                                    \
    }                                                                                \
  }                                                                                  \
  template <>                                                                        \
  void Net<Dtype>::CopyTrainedLayersFromHDF5(const string& filename) {               \
    const hid_t file = H5Fopen(filename.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);       \
    CHECK_GE(file, 0) << "Couldn't open " << filename;                               \
    TakeRecipe(file, filename, phase_);                                              \
    caffe_ext::ReadWeights(file, filename, this);                                    \
    H5Fclose(file);                                                                  \
  }

DEFINE_MEMBERS(float)
DEFINE_MEMBERS(double)
#undef DEFINE_MEMBERS

}  // namespace caffe
