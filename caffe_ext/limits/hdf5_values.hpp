// Groups of HDF5 files, and values in those of others, which are checked before Caffe's own code
// reads them: docs/limits.md.
#ifndef CAFFE_EXT_LIMITS_HDF5_VALUES_HPP_
#define CAFFE_EXT_LIMITS_HDF5_VALUES_HPP_

#include <hdf5.h>

#include <string>

namespace caffe {
template <typename Dtype>
class Blob;
}  // namespace caffe

namespace caffe_ext {

/// A group of a file, closed at the end; a fatal message where HDF5 gave none.
class Hdf5Group {
 public:
  Hdf5Group(hid_t group, const std::string& fault);
  ~Hdf5Group() { H5Gclose(id_); }
  Hdf5Group(const Hdf5Group&) = delete;
  Hdf5Group& operator=(const Hdf5Group&) = delete;
  hid_t id() const { return id_; }

 private:
  const hid_t id_;
};

// A fatal message names a dataset that is missing, or is something else.

/// Reads a dataset into a blob of its shape, or, with `reshape`, gives the blob the dataset's
/// shape, of one axis at least. It has values, and no more than a blob can have.
template <typename Dtype>
void LoadHdf5Blob(hid_t file, const std::string& dataset, caffe::Blob<Dtype>* blob,
                  bool reshape = false);
/// Reads a dataset that is one integer; one string.
int LoadHdf5Integer(hid_t file, const std::string& dataset);
std::string LoadHdf5String(hid_t file, const std::string& dataset);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LIMITS_HDF5_VALUES_HPP_
