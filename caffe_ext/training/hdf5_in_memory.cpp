#include "training/hdf5_in_memory.hpp"

#include <hdf5_hl.h>

#include <climits>
#include <string>
#include <vector>

#include "training/whole_file.hpp"

namespace caffe_ext {

namespace {

std::string Load(hid_t file, const std::string& name, H5T_class_t wanted, size_t limit) {
  if (H5LTfind_dataset(file, name.c_str()) != 1) {
    return std::string();
  }
  int rank = 0;
  hsize_t count = 1;
  H5T_class_t type;
  size_t width = 0;
  if (H5LTget_dataset_ndims(file, name.c_str(), &rank) < 0 || rank > 1 ||
      H5LTget_dataset_info(file, name.c_str(), &count, &type, &width) < 0 || type != wanted ||
      width == 0 || (rank == 1 && width != 1) || count > limit || width > limit) {
    throw FileError("its dataset '" + name + "' is damaged");
  }
  std::string bytes(count * width, '\0');
  const herr_t status = bytes.empty() ? 0
                        : wanted == H5T_INTEGER
                            ? H5LTread_dataset(file, name.c_str(), H5T_NATIVE_UCHAR, &bytes[0])
                            : H5LTread_dataset_string(file, name.c_str(), &bytes[0]);
  if (status < 0) {
    throw FileError("its dataset '" + name + "' cannot be read");
  }
  // A string comes with the zero at its end.
  return wanted == H5T_STRING ? std::string(bytes.c_str()) : bytes;
}

}  // namespace

hid_t CreateHdf5InMemory() {
  const size_t kStep = 16 << 20;
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_fapl_core(access, kStep, /*backing_store=*/0);
  const hid_t file = H5Fcreate("in memory", H5F_ACC_TRUNC, H5P_DEFAULT, access);
  H5Pclose(access);
  if (file < 0) {
    throw FileError("an HDF5 file cannot be made in memory");
  }
  return file;
}

void WriteHdf5(hid_t file, const std::string& path) {
  std::vector<char> image;
  bool whole = H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0;
  if (whole) {
    const ssize_t size = H5Fget_file_image(file, nullptr, 0);
    whole = size > 0;
    if (whole) {
      image.resize(size);
      whole = H5Fget_file_image(file, image.data(), image.size()) == size;
    }
  }
  H5Fclose(file);
  if (!whole) {
    throw FileError(path + " cannot be written: HDF5 failed to make it in memory");
  }
  WriteWhole(path, [&image](int out) { WriteBytes(image.data(), image.size(), out); });
}

void SaveBytes(hid_t file, const std::string& name, const std::string& bytes) {
  const hsize_t size = bytes.size();
  if (H5LTmake_dataset(file, name.c_str(), 1, &size, H5T_NATIVE_UCHAR, bytes.data()) < 0) {
    throw FileError("HDF5 cannot keep '" + name + "'");
  }
}

std::string LoadBytes(hid_t file, const std::string& name) {
  return Load(file, name, H5T_INTEGER, 1 << 28);
}

std::string LoadText(hid_t file, const std::string& name) {
  return Load(file, name, H5T_STRING, PATH_MAX);
}

}  // namespace caffe_ext
