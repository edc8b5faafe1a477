#include "limits/check_files.hpp"

#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/text_format.h>
#include <hdf5_hl.h>
#include <unistd.h>

#include <climits>
#include <cstdint>
#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/util/io.hpp"
#include "limits/limits.hpp"
#include "limits/list_file.hpp"

namespace caffe_ext {

namespace {

using caffe::LayerParameter;

// For each image of a window file: "# index", its path, its size as channels, height and width, the
// number of windows, and these: label, overlap, and two corners.
void CheckWindows(const caffe::WindowDataParameter& param) {
  ListFile file(param.source());
  std::string mark, path;
  int64_t images = 0, index, channels, height, width, windows;
  for (; file >> mark; ++images) {
    CHECK_EQ(mark, "#") << "the window file '" << param.source() << "': image " << images;
    CHECK(file >> index && index == images) << "the window file must number its images from 0";
    CHECK(std::getline(file >> std::ws, path) && file >> channels >> height >> width >> windows)
        << "the window file ends within image " << images;
    CHECK_EQ(channels, 3) << "the window file must say that images have three channels";
    CHECK(!param.cache_images() || access((param.root_folder() + path).c_str(), R_OK) == 0)
        << "Could not open or find file " << param.root_folder() + path;
    for (; windows > 0; --windows) {
      double values[6];
      for (double& value : values) {
        CHECK(file >> value) << "the window file has fewer windows than it says";
      }
    }
  }
}

void CheckWindowData(const LayerParameter& layer) {
  const caffe::TransformationParameter& transform = layer.transform_param();
  const int64_t crop_size = transform.crop_size();
  CHECK_GT(crop_size, 2 * int64_t(layer.window_data_param().context_pad()));
  CheckWindows(layer.window_data_param());
  if (transform.has_mean_file()) {
    caffe::BlobProto proto;
    caffe::ReadProtoFromBinaryFileOrDie(transform.mean_file(), &proto);
    CheckMean(proto, transform.mean_file());
    caffe::Blob<float> mean;
    mean.FromProto(proto);
    CHECK(mean.channels() == 3 && mean.width() >= crop_size &&
          mean.height() >= (mean.width() - crop_size) / 2 + crop_size)
        << "mean_file '" << transform.mean_file()
        << "' is smaller than a crop: " << mean.shape_string();
  }
}

// How many values a dataset has: memory is there for one.
hssize_t ValuesOf(hid_t file, const std::string& name) {
  const hid_t dataset = H5Dopen2(file, name.c_str(), H5P_DEFAULT);
  CHECK_GE(dataset, 0) << "Failed to find HDF5 dataset " << name;
  const hid_t space = H5Dget_space(dataset);
  const hssize_t values = H5Sget_simple_extent_npoints(space);
  H5Sclose(space);
  H5Dclose(dataset);
  return values;
}

}  // namespace

void CheckSources(const LayerParameter& layer) {
  if (layer.type() == "WindowData") {
    CheckWindowData(layer);
  }
}

void CheckDatum(const caffe::Datum& datum) {
  const double claimed = static_cast<double>(datum.channels()) * datum.height() * datum.width();
  const size_t bytes = datum.data().size();
  CHECK(datum.height() >= 0 && datum.width() >= 0 &&
        claimed == (bytes ? bytes : static_cast<size_t>(datum.float_data_size())))
      << "a datum of " << datum.channels() << " x " << datum.height() << " x " << datum.width()
      << " has " << bytes << " bytes of data and " << datum.float_data_size()
      << " values of float_data";
}

void CheckMean(const caffe::BlobProto& mean, const std::string& filename) {
  CHECK_GT(mean.data_size() + mean.double_data_size(), 0)
      << "mean_file '" << filename << "' has no values";
}

bool ParseText(google::protobuf::io::ZeroCopyInputStream* input, const char* filename,
               google::protobuf::Message* message) {
  google::protobuf::io::LimitingInputStream limited(input, kMaxTextBytes + 1);
  const bool parsed = google::protobuf::TextFormat::Parse(&limited, message);
  CHECK_LE(limited.ByteCount(), kMaxTextBytes)
      << filename << " is larger than a prototxt may be, " << kMaxTextBytes << " bytes";
  return parsed;
}

void CheckHdf5Axes(const std::vector<hsize_t>& axes, const char* dataset) {
  for (const hsize_t size : axes) {
    CHECK_GT(size, 0) << "HDF5 dataset " << dataset << " has no values";
    CHECK_LE(size, INT_MAX) << "HDF5 dataset " << dataset << " is larger than a blob can be";
  }
}

void CheckHdf5String(hid_t file, const std::string& dataset, H5T_class_t type, size_t size) {
  CHECK(type == H5T_STRING && size < 1 << 16 && ValuesOf(file, dataset) == 1)
      << "HDF5 dataset " << dataset << " is not one string";
}

void CheckHdf5Number(hid_t file, const std::string& dataset) {
  CHECK_EQ(ValuesOf(file, dataset), 1) << "HDF5 dataset " << dataset << " is not one number";
}

}  // namespace caffe_ext
