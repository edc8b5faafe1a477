#include "limits/hdf5_values.hpp"

#include <hdf5_hl.h>

#include <vector>

#include "caffe/blob.hpp"
#include "caffe/util/hdf5.hpp"
#include "limits/check_files.hpp"

namespace caffe_ext {

namespace {

struct Dataset {
  std::vector<hsize_t> axes;
  H5T_class_t type;
  size_t size;  // of one value
};

Dataset Describe(hid_t file, const std::string& name) {
  CHECK_EQ(H5LTfind_dataset(file, name.c_str()), 1) << "Failed to find HDF5 dataset " << name;
  Dataset dataset;
  int axes = 0;
  CHECK_GE(H5LTget_dataset_ndims(file, name.c_str(), &axes), 0)
      << "Failed to get dataset ndims for " << name;
  dataset.axes.resize(axes);
  CHECK_GE(
      H5LTget_dataset_info(file, name.c_str(), dataset.axes.data(), &dataset.type, &dataset.size),
      0)
      << "Failed to get dataset info for " << name;
  return dataset;
}

}  // namespace

Hdf5Group::Hdf5Group(hid_t group, const std::string& fault) : id_(group) {
  CHECK_GE(group, 0) << fault;
}

template <typename Dtype>
void LoadHdf5Blob(hid_t file, const std::string& dataset, caffe::Blob<Dtype>* blob, bool reshape) {
  CheckHdf5Axes(Describe(file, dataset).axes, dataset.c_str());
  caffe::hdf5_load_nd_dataset<Dtype>(file, dataset.c_str(), reshape ? 1 : 0, kMaxBlobAxes, blob,
                                     reshape);
}

template void LoadHdf5Blob(hid_t, const std::string&, caffe::Blob<float>*, bool);
template void LoadHdf5Blob(hid_t, const std::string&, caffe::Blob<double>*, bool);

int LoadHdf5Integer(hid_t file, const std::string& dataset) {
  CheckHdf5Number(file, dataset);
  return caffe::hdf5_load_int(file, dataset);
}

std::string LoadHdf5String(hid_t file, const std::string& name) {
  const Dataset dataset = Describe(file, name);
  CheckHdf5String(file, name, dataset.type, dataset.size);
  std::string text(dataset.size, '\0');
  CHECK_GE(H5LTread_dataset_string(file, name.c_str(), &text[0]), 0)
      << "Failed to load string dataset with name " << name;
  return text.c_str();  // without the zero at its end
}

}  // namespace caffe_ext
