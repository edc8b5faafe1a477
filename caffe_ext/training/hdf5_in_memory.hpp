#ifndef CAFFE_EXT_TRAINING_HDF5_IN_MEMORY_HPP_
#define CAFFE_EXT_TRAINING_HDF5_IN_MEMORY_HPP_

#include <hdf5.h>

#include <string>

namespace caffe_ext {

/// A new HDF5 file that exists in memory only, as HDF5 itself neither tells a full disk apart nor
/// leaves the old file alone.
hid_t CreateHdf5InMemory();

/// Closes such a file and writes it to `path`, whole or not at all; throws FileError.
void WriteHdf5(hid_t file, const std::string& path);

/// A dataset of bytes. Loading one that is not there gives "", one that is something else throws.
void SaveBytes(hid_t file, const std::string& name, const std::string& bytes);
std::string LoadBytes(hid_t file, const std::string& name);
/// The same for a string that Caffe saved.
std::string LoadText(hid_t file, const std::string& name);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_TRAINING_HDF5_IN_MEMORY_HPP_
