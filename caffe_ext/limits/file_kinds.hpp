// What one of Caffe's files is by its content, for the message where it is given for another.
#ifndef CAFFE_EXT_LIMITS_FILE_KINDS_HPP_
#define CAFFE_EXT_LIMITS_FILE_KINDS_HPP_

#include <string>

namespace caffe_ext {

enum FileKind { kUnknownFile, kWeights, kSolverState, kMeanImage, kText };

/// Looks into a file, binary or HDF5. A file that cannot be read, or is damaged, is unknown.
FileKind KindOfFile(const std::string& path);

/// A fatal message for a file that is given as weights and is something else, which it names with
/// the way out. What is unknown is left to the reader's own message.
void CheckWeightsFile(const std::string& path);

/// "x.caffemodel is a file of weights, not a solverstate: ..." for a file that cannot be read as a
/// solverstate, or "" where its kind is unknown.
std::string NoSolverState(const std::string& path);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LIMITS_FILE_KINDS_HPP_
