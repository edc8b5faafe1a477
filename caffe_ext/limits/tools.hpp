// What Caffe's tools call of ours; each of them includes it first.
#ifndef CAFFE_EXT_LIMITS_TOOLS_HPP_
#define CAFFE_EXT_LIMITS_TOOLS_HPP_

#include <cstddef>
#include <string>

#include "caffe/util/db.hpp"
#include "limits/ending.hpp"
#include "limits/list_file.hpp"

namespace caffe_ext {

/**
 * @brief The exit status of a tool that was to write this many images: 1, with a message, if some
 * could not be read.
 */
int StatusAfterImages(size_t written, size_t listed);

/// A number of batches, as a word of the command line: an integer from 1, or the program ends.
int BatchesOf(const char* word);

}  // namespace caffe_ext

// Tools are compiled with these names in place of the ones of Caffe that they call (caffe.cmake).
namespace caffe {
namespace db {

/**
 * @brief For compute_image_mean, which calls GetDB: a database whose records are images of one
 * size.
 *
 * A value is the record with its image decoded. Reading it ends the program, with a message that
 * names the record, if there is none, if it is no Datum, if its image cannot be decoded, or if its
 * size is not that of the first record that was read.
 */
DB* GetImageDB(const string& backend);

}  // namespace db

/// For upgrade_solver_proto_text, in place of SolverNeedsTypeUpgrade and UpgradeSolverAsNeeded:
/// them, and the nets that the solver holds (upgrade_nets.hpp).
bool SolverNeedsUpgrade(const SolverParameter& solver);
bool UpgradeSolverAndNets(const string& file, SolverParameter* solver);

}  // namespace caffe

#endif  // CAFFE_EXT_LIMITS_TOOLS_HPP_
