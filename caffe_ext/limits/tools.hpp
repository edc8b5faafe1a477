// What Caffe's tools call of ours; each of them includes it first.
#ifndef CAFFE_EXT_LIMITS_TOOLS_HPP_
#define CAFFE_EXT_LIMITS_TOOLS_HPP_

#include <cstddef>
#include <string>

#include "caffe/proto/caffe.pb.h"
#include "caffe/util/db.hpp"
#include "limits/ending.hpp"
#include "limits/list_file.hpp"
#include "limits/upgrade_nets.hpp"

namespace caffe_ext {

/**
 * @brief Parses the record under a cursor and decodes its image.
 *
 * Ends the program, with a message that names the record, if there is none, if it is no Datum, or
 * if its image cannot be decoded.
 */
void ReadImageRecord(caffe::db::Cursor* cursor, caffe::Datum* datum);

/// For compute_image_mean: a fatal message where a record, decoded, does not have the size of the
/// mean's blob, that of the first record.
void CheckSameSize(const caffe::Datum& datum, const caffe::BlobProto& mean, const std::string& key);

/**
 * @brief The exit status of a tool that was to write this many images: 1, with a message, if some
 * could not be read.
 */
int StatusAfterImages(size_t written, size_t listed);

/// A number of batches, as a word of the command line: an integer from 1, or the program ends.
int BatchesOf(const char* word);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LIMITS_TOOLS_HPP_
