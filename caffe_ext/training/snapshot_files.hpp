#ifndef CAFFE_EXT_TRAINING_SNAPSHOT_FILES_HPP_
#define CAFFE_EXT_TRAINING_SNAPSHOT_FILES_HPP_

#include <hdf5.h>

#include <string>

#include "caffe/proto/caffe.pb.h"

namespace caffe_ext {

/**
 * A binary solverstate of ours is a SolverState that holds nothing but resume.body_bytes and
 * resume.body_crc, followed by the bytes of another with all the rest, which those two describe.
 * Protobuf reads the two as one message, so stock Caffe reads the file as its own. What a stock
 * Caffe wrote lacks the first part, and is taken as it is.
 *
 * The file of weights belongs to it by resume.net_bytes and resume.net_crc.
 */

/// The dataset of an HDF5 solverstate that holds a serialized ResumeState.
const char kResumeDataset[] = "resume";

/// Writes a solverstate; throws FileError.
void WriteSolverStateFile(const caffe::SolverState& state, const std::string& path);

/// Reads one, and its file of weights for the checksum. Throws FileError where something of it is
/// cut short, damaged or missing; the message names the newest whole snapshot before it.
void ReadSolverState(const std::string& path, caffe::SolverState* state);
hid_t OpenSolverStateHdf5(const std::string& path);

/// The weights that belong to a solverstate: where it says, or beside it if the folder was moved.
/// Throws FileError as above.
std::string FindLearnedNet(const std::string& state_path, const std::string& learned_net,
                           const caffe::ResumeState& resume);

/// Throws FileError where a solver of this type, which keeps `wanted` blobs of history, cannot go
/// on with `found` of them: another type of solver, or another net, has left them.
void CheckHistorySize(const std::string& path, const std::string& type, int found, int wanted);
/// How many an HDF5 solverstate holds; -1 where that cannot be told.
int CountHistory(hid_t file);

/// The message for a solverstate with a fault: what is wrong, and which one to take instead, or
/// that the file is something else.
std::string NotWhole(const std::string& path, const std::string& fault);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_TRAINING_SNAPSHOT_FILES_HPP_
