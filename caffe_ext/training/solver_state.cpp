// A solver's state in its files, beside the weights: members of SGDSolver (members.hpp), which all
// types of solvers inherit from.
#include <hdf5.h>

#include <string>
#include <vector>

#include "caffe/util/hdf5.hpp"
#include "limits/hdf5_values.hpp"
#include "members.hpp"
#include "training/hdf5_in_memory.hpp"

namespace caffe_ext {

namespace {

using boost::shared_ptr;
using caffe::Blob;
using caffe::SolverState;
using std::string;

template <typename Dtype>
using History = std::vector<shared_ptr<Blob<Dtype> > >;

template <typename Dtype>
SolverState StateOf(const string& model_filename, int iter, int step,
                    const History<Dtype>& history) {
  SolverState state;
  state.set_iter(iter);
  state.set_learned_net(model_filename);
  state.set_current_step(step);
  for (const auto& blob : history) {
    blob->ToProto(state.add_history());
  }
  return state;
}

template <typename Dtype>
hid_t StateInMemory(const string& model_filename, int iter, int step,
                    const History<Dtype>& history) {
  const hid_t file = CreateHdf5InMemory();
  caffe::hdf5_save_int(file, "iter", iter);
  caffe::hdf5_save_string(file, "learned_net", model_filename);
  caffe::hdf5_save_int(file, "current_step", step);
  const Hdf5Group group(H5Gcreate2(file, "history", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                        "Error saving the history of a solver state.");
  for (size_t i = 0; i < history.size(); ++i) {
    caffe::hdf5_save_nd_dataset<Dtype>(group.id(), std::to_string(i), *history[i]);
  }
  return file;
}

template <typename Dtype>
void RestoreHistory(const SolverState& state, const History<Dtype>& history) {
  CHECK_EQ(static_cast<size_t>(state.history_size()), history.size())
      << "Incorrect length of history blobs.";
  LOG(INFO) << "SGDSolver: restoring history";
  for (size_t i = 0; i < history.size(); ++i) {
    history[i]->FromProto(state.history(static_cast<int>(i)));
  }
}

template <typename Dtype>
void RestoreHistory(hid_t file, const string& filename, const History<Dtype>& history) {
  const Hdf5Group group(H5Gopen2(file, "history", H5P_DEFAULT),
                        "Error reading history from " + filename);
  CHECK_EQ(static_cast<size_t>(caffe::hdf5_get_num_links(group.id())), history.size())
      << "Incorrect length of history blobs.";
  for (size_t i = 0; i < history.size(); ++i) {
    LoadHdf5Blob(group.id(), std::to_string(i), history[i].get());
  }
}

bool Has(hid_t file, const char* dataset) { return H5Lexists(file, dataset, H5P_DEFAULT) > 0; }

}  // namespace

}  // namespace caffe_ext

namespace caffe {

#define DEFINE_MEMBERS(Dtype)                                                                  \
  template <>                                                                                  \
  void SGDSolver<Dtype>::SnapshotSolverStateToBinaryProto(const string& model_filename) {      \
    const string filename = SnapshotFilename(".solverstate");                                  \
    LOG(INFO) << "Snapshotting solver state to binary proto file " << filename;                \
    SolverState state = caffe_ext::StateOf(model_filename, iter_, current_step_, history_);    \
    WriteSolverState(&state, filename, model_filename);                                        \
  }                                                                                            \
  template <>                                                                                  \
  void SGDSolver<Dtype>::SnapshotSolverStateToHDF5(const string& model_filename) {             \
    const string filename = SnapshotFilename(".solverstate.h5");                               \
    LOG(INFO) << "Snapshotting solver state to HDF5 file " << filename;                        \
    WriteSolverState(caffe_ext::StateInMemory(model_filename, iter_, current_step_, history_), \
                     filename, model_filename);                                                \
  }                                                                                            \
  template <>                                                                                  \
  void SGDSolver<Dtype>::RestoreSolverStateFromBinaryProto(const string& state_file) {         \
    SolverState state;                                                                         \
    ReadSolverState(state_file, &state);                                                       \
    iter_ = state.iter();                                                                      \
    current_step_ = state.current_step();                                                      \
    if (state.has_learned_net()) {                                                             \
      net_->CopyTrainedLayersFromBinaryProto(state.learned_net());                             \
    }                                                                                          \
    caffe_ext::RestoreHistory(state, history_);                                                \
  }                                                                                            \
  template <>                                                                                  \
  void SGDSolver<Dtype>::RestoreSolverStateFromHDF5(const string& state_file) {                \
    const hid_t file = OpenSolverState(state_file);                                            \
    iter_ = caffe_ext::LoadHdf5Integer(file, "iter");                                          \
    current_step_ = caffe_ext::LoadHdf5Integer(file, "current_step");                          \
    if (caffe_ext::Has(file, "learned_net")) {                                                 \
      net_->CopyTrainedLayersFrom(                                                             \
          FindLearnedNet(state_file, caffe_ext::LoadHdf5String(file, "learned_net")));         \
    }                                                                                          \
    caffe_ext::RestoreHistory(file, state_file, history_);                                     \
    H5Fclose(file);                                                                            \
  }

DEFINE_MEMBERS(float)
DEFINE_MEMBERS(double)
#undef DEFINE_MEMBERS

}  // namespace caffe
