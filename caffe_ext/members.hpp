// Member functions of Caffe's class templates that we define ourselves.
//
// Each of them is declared here as an explicit specialisation for float and double, and the build
// includes this file in front of the files of Caffe (caffe.cmake). An explicit instantiation of a
// class passes over members that have a specialisation of their own, so that upstream's definitions
// of these functions are not compiled.
#ifndef CAFFE_EXT_MEMBERS_HPP_
#define CAFFE_EXT_MEMBERS_HPP_

#include <string>
#include <vector>

#include "caffe/layers/image_data_layer.hpp"
#include "caffe/layers/memory_data_layer.hpp"
#include "caffe/net.hpp"
#include "caffe/sgd_solvers.hpp"

namespace caffe {

#define CAFFE_EXT_DECLARE_MEMBERS(Dtype)                                                        \
  /* engines/private_memory.cpp: without a pass over gradients that nobody asks for */          \
  template <>                                                                                   \
  void Net<Dtype>::ClearParamDiffs();                                                           \
  /* limits/blob_shapes.cpp: shapes in files are checked before they become ints */             \
  template <>                                                                                   \
  void Blob<Dtype>::Reshape(const BlobShape& shape);                                            \
  template <>                                                                                   \
  void Blob<Dtype>::FromProto(const BlobProto& proto, bool reshape);                            \
  /* limits/layer_pass.cpp: the shapes of every layer's inputs are checked */                   \
  template <>                                                                                   \
  void Net<Dtype>::Reshape();                                                                   \
  /* recipe/weights.cpp: weights with the recipe, whole files, HDF5 told by its content */      \
  template <>                                                                                   \
  void Net<Dtype>::ToProto(NetParameter* param, bool write_diff) const;                         \
  template <>                                                                                   \
  void Net<Dtype>::ToHDF5(const string& filename, bool write_diff) const;                       \
  template <>                                                                                   \
  void Net<Dtype>::CopyTrainedLayersFrom(const string& filename);                               \
  template <>                                                                                   \
  void Net<Dtype>::CopyTrainedLayersFromHDF5(const string& filename);                           \
  /* training/data_layers.cpp: an order that a snapshot can restore */                          \
  template <>                                                                                   \
  void ImageDataLayer<Dtype>::ShuffleImages();                                                  \
  /* training/data_layers.cpp: no data are refused */                                           \
  template <>                                                                                   \
  void MemoryDataLayer<Dtype>::Reset(Dtype* data, Dtype* labels, int n);                        \
  /* training/solver.cpp: exact resume */                                                       \
  template <>                                                                                   \
  void Solver<Dtype>::UpdateSmoothedLoss(Dtype loss, int start_iter, int average_loss);         \
  template <>                                                                                   \
  void Solver<Dtype>::TestAll();                                                                \
  template <>                                                                                   \
  void Solver<Dtype>::Snapshot();                                                               \
  template <>                                                                                   \
  void Solver<Dtype>::Restore(const char* state_file);                                          \
  template <>                                                                                   \
  string Solver<Dtype>::SnapshotFilename(const string& extension);                              \
  /* training/solver_state.cpp: its files */                                                    \
  template <>                                                                                   \
  void SGDSolver<Dtype>::SnapshotSolverStateToBinaryProto(const string& model_filename);        \
  template <>                                                                                   \
  void SGDSolver<Dtype>::SnapshotSolverStateToHDF5(const string& model_filename);               \
  template <>                                                                                   \
  void SGDSolver<Dtype>::RestoreSolverStateFromBinaryProto(const string& state_file);           \
  template <>                                                                                   \
  void SGDSolver<Dtype>::RestoreSolverStateFromHDF5(const string& state_file);                  \
  /* engines/solver_update.cpp: one pass over each parameter, which finds what is not finite */ \
  template <>                                                                                   \
  void SGDSolver<Dtype>::ApplyUpdate()

CAFFE_EXT_DECLARE_MEMBERS(float);
CAFFE_EXT_DECLARE_MEMBERS(double);
#undef CAFFE_EXT_DECLARE_MEMBERS

}  // namespace caffe

#endif  // CAFFE_EXT_MEMBERS_HPP_
