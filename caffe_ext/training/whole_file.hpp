#ifndef CAFFE_EXT_TRAINING_WHOLE_FILE_HPP_
#define CAFFE_EXT_TRAINING_WHOLE_FILE_HPP_

#include <cstdint>
#include <functional>
#include <string>

#include "training/errors.hpp"

namespace google {
namespace protobuf {
class Message;
}  // namespace protobuf
}  // namespace google

namespace caffe_ext {

/**
 * @brief Writes a file that appears whole or not at all, also when the machine stops meanwhile.
 *
 * @param path what the file is called in the end
 * @param write writes all of it to the open file it is given, which is called path.partial so far
 *
 * The file is synced, renamed, and its folder synced. Throws FileError, and what write throws;
 * path then has its former content, and path.partial is removed. A path that is not a regular file,
 * such as a pipe, is written to directly.
 */
void WriteWhole(const std::string& path, const std::function<void(int)>& write);

/// For WriteWhole: bytes, or a message as binary proto, from where the file stands.
void WriteBytes(const char* data, size_t size, int file);
void WriteMessage(const google::protobuf::Message& message, int file);

/// Writes a file that holds a message as text, whole or not at all.
void WriteText(const google::protobuf::Message& message, const std::string& path);

/// Size and CRC-32 (that of zlib) of a file from byte `begin` on; throws FileError.
struct Checksum {
  uint64_t bytes;
  uint32_t crc;
};
Checksum ChecksumOf(const std::string& path, uint64_t begin = 0);
Checksum ChecksumOf(int file, const std::string& path, uint64_t begin);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_TRAINING_WHOLE_FILE_HPP_
