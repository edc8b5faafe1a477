// The pages of an LMDB, looked at before liblmdb follows them.
#ifndef CAFFE_EXT_LIMITS_LMDB_PAGES_HPP_
#define CAFFE_EXT_LIMITS_LMDB_PAGES_HPP_

#include <cstddef>
#include <string>

namespace caffe_ext {

/**
 * @brief What is wrong with the pages of an LMDB's data file, or "".
 *
 * liblmdb trusts the file: a wrong offset in a page is read from wherever it leads. This walks
 * the tree of records as a reader will (header pages, branches, leaves; not what lies in
 * the records' own pages) and holds every number in it to the page and the file: each page is
 * met once, all leaves are equally deep, each key and value lies inside.
 *
 * Of named or sorted-duplicate databases, which Caffe does not write, it says so. The file must not
 * change between the look and the reading.
 */
std::string LmdbPagesFault(const std::string& data_file);

/// The same for a file's bytes; "is truncated: ..." where it is shorter than its header says.
std::string LmdbPagesFault(const unsigned char* file, size_t size);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LIMITS_LMDB_PAGES_HPP_
