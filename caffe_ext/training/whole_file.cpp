#include "training/whole_file.hpp"

#include <fcntl.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/crc.hpp>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace caffe_ext {

namespace {

[[noreturn]] void Fail(const std::string& fault, int error) {
  std::string text = fault + ": " + std::strerror(error);
  if (error == ENOSPC || error == EDQUOT) {
    text += "; make room on that disk";
  }
  throw FileError(text);
}

std::string FolderToSync(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

// A file that is closed at the end of a scope.
class OpenFile {
 public:
  OpenFile(const std::string& path, int flags)
      : file_(open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (file_ < 0) {
      Fail(path + " cannot be opened", errno);
    }
  }
  ~OpenFile() {
    if (file_ >= 0) {
      close(file_);
    }
  }
  int get() const { return file_; }
  int Close() {
    const int file = file_;
    file_ = -1;
    return close(file);
  }

 private:
  int file_;
};

}  // namespace

void WriteWhole(const std::string& name, const std::function<void(int)>& write) {
  std::string path = name;
  struct stat info;
  if (stat(name.c_str(), &info) == 0) {
    if (!S_ISREG(info.st_mode)) {
      OpenFile device(name, O_WRONLY);
      write(device.get());
      return;
    }
    // Behind a link the file is replaced, not the link.
    char real[PATH_MAX];
    if (realpath(name.c_str(), real) != nullptr) {
      path = real;
    }
  }
  const std::string partial = path + ".partial";
  OpenFile file(partial, O_RDWR | O_CREAT | O_TRUNC);
  try {
    try {
      write(file.get());
    } catch (const FileError& error) {
      throw FileError(path + " cannot be written: " + error.what());
    }
    if (fsync(file.get()) != 0) {
      Fail(path + " cannot be written", errno);
    }
    if (file.Close() != 0) {
      Fail(path + " cannot be written", errno);
    }
    if (std::rename(partial.c_str(), path.c_str()) != 0) {
      Fail(path + " cannot be named so", errno);
    }
  } catch (...) {
    unlink(partial.c_str());
    throw;
  }
  // The name itself, which belongs to the folder. The file is there by now: where this fails (a
  // folder that may not be read, a file system that cannot), a power cut may lose it, and nothing
  // else.
  const int folder = open(FolderToSync(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    fsync(folder);
    close(folder);
  }
}

void WriteBytes(const char* data, size_t size, int file) {
  while (size > 0) {
    const ssize_t written = write(file, data, size);
    if (written < 0 && errno != EINTR) {
      throw FileError(std::strerror(errno));
    }
    if (written > 0) {
      data += written;
      size -= written;
    }
  }
}

void WriteMessage(const google::protobuf::Message& message, int file) {
  if (message.ByteSizeLong() > INT_MAX) {
    throw FileError("it would have " + std::to_string(message.ByteSizeLong()) +
                    " bytes, and a binary proto has at most 2 GB; set snapshot_format: HDF5");
  }
  google::protobuf::io::FileOutputStream stream(file);
  const bool whole = message.SerializeToZeroCopyStream(&stream);
  if (!stream.Flush() || !whole) {
    throw FileError(stream.GetErrno() ? std::strerror(stream.GetErrno()) : "its message is faulty");
  }
}

void WriteText(const google::protobuf::Message& message, const std::string& path) {
  std::string text;
  if (!google::protobuf::TextFormat::PrintToString(message, &text)) {
    throw FileError(path + " cannot be written: its message is faulty");
  }
  WriteWhole(path, [&text](int file) { WriteBytes(text.data(), text.size(), file); });
}

Checksum ChecksumOf(int file, const std::string& path, uint64_t begin) {
  std::vector<char> buffer(1 << 20);
  boost::crc_32_type crc;
  uint64_t at = begin;
  while (true) {
    const ssize_t got = pread(file, buffer.data(), buffer.size(), at);
    if (got < 0) {
      if (errno == EINTR) {
        continue;
      }
      Fail(path + " cannot be read", errno);
    }
    if (got == 0) {
      return Checksum{at - begin, crc.checksum()};
    }
    crc.process_bytes(buffer.data(), got);
    at += got;
  }
}

Checksum ChecksumOf(const std::string& path, uint64_t begin) {
  const OpenFile file(path, O_RDONLY);
  return ChecksumOf(file.get(), path, begin);
}

}  // namespace caffe_ext
