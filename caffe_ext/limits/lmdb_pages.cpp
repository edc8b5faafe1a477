#include "limits/lmdb_pages.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace caffe_ext {

namespace {

// Of LMDB 0.9's file on a 64-bit machine, whose byte order it is written in.
const uint32_t kMagic = 0xbeefc0de, kVersion = 1;
const size_t kHeader = 16;          // of every page
const size_t kMeta = kHeader;       // of a header page: where its numbers begin
const size_t kMetaEnd = 152;        // and where they end
const size_t kNode = 8;             // of every node of a page: the bytes before its key
const size_t kMaxDepth = 32;        // CURSOR_STACK
const size_t kMaxPageSize = 65536;  // offsets in a page have 16 bits
const uint64_t kNoPage = ~uint64_t(0);
enum PageFlags { kBranch = 1, kLeaf = 2, kOverflow = 4, kMetaPage = 8 };
enum NodeFlags { kBigData = 1 };

struct Fault : std::runtime_error {
  explicit Fault(const std::string& what) : std::runtime_error(what) {}
};

// Numbers at any place, aligned or not.
template <typename T>
T Get(const unsigned char* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

struct Meta {
  uint64_t page_size, last_page, transaction;
  uint16_t flags, depth;
  uint64_t branches, leaves, entries, root;
};

class Walk {
 public:
  Walk(const unsigned char* file, size_t size) : file_(file), size_(size) {}

  void Run() {
    const Meta first = ReadMeta(0);
    const Meta second = ReadMeta(first.page_size);
    Require(first.page_size == second.page_size, "its two headers disagree on the size of a page");
    meta_ = first.transaction < second.transaction ? second : first;
    // The map reaches as far as the header says, and a page beyond the file's end is a SIGBUS.
    Require(meta_.last_page >= 1 && meta_.last_page < kNoPage / kMaxPageSize,
            "its header names an impossible last page");
    const uint64_t needed = (meta_.last_page + 1) * meta_.page_size;
    if (size_ < needed) {
      throw Fault("is truncated: data.mdb has " + std::to_string(size_) + " bytes of " +
                  std::to_string(needed));
    }
    Require(meta_.flags == 0, "it has duplicate or fixed-size keys, which Caffe does not read");
    if (meta_.root == kNoPage) {
      Require(meta_.entries == 0 && meta_.depth == 0, "its header counts records but has no tree");
      return;
    }
    Require(meta_.depth >= 1 && meta_.depth <= kMaxDepth, "its tree has an impossible depth");
    seen_.assign(meta_.last_page + 1, false);
    Visit(meta_.root, 1);
    Require(entries_ == meta_.entries, "it counts " + std::to_string(meta_.entries) +
                                           " records, but " + std::to_string(entries_) +
                                           " can be found");
  }

 private:
  static void Require(bool holds, const std::string& fault) {
    if (!holds) {
      throw Fault("is damaged: " + fault);
    }
  }

  Meta ReadMeta(uint64_t at) const {
    if (size_ < kMetaEnd || at > size_ - kMetaEnd) {
      throw Fault("cannot be opened: data.mdb is not an LMDB or is damaged");
    }
    const unsigned char* page = file_ + at;
    const unsigned char* meta = page + kMeta;
    if (!(Get<uint16_t>(page + 10) & kMetaPage) || Get<uint32_t>(meta) != kMagic ||
        Get<uint32_t>(meta + 4) != kVersion) {
      throw Fault("cannot be opened: data.mdb is not an LMDB or is damaged");
    }
    const unsigned char* free_db = meta + 24;
    const unsigned char* main_db = free_db + 48;
    Meta result;
    result.page_size = Get<uint32_t>(free_db);
    Require(result.page_size >= 512 && result.page_size <= kMaxPageSize &&
                (result.page_size & (result.page_size - 1)) == 0,
            "its header gives pages of " + std::to_string(result.page_size) + " bytes");
    result.flags = Get<uint16_t>(main_db + 4);
    result.depth = Get<uint16_t>(main_db + 6);
    result.branches = Get<uint64_t>(main_db + 8);
    result.leaves = Get<uint64_t>(main_db + 16);
    result.entries = Get<uint64_t>(main_db + 32);
    result.root = Get<uint64_t>(main_db + 40);
    result.last_page = Get<uint64_t>(meta + 120);
    result.transaction = Get<uint64_t>(meta + 128);
    return result;
  }

  void Visit(uint64_t number, size_t depth) {
    const std::string name = "its page " + std::to_string(number);
    Require(number >= 2 && number <= meta_.last_page, name + " does not exist");
    Require(!seen_[number], name + " stands in its tree twice");
    seen_[number] = true;
    const unsigned char* page = file_ + number * meta_.page_size;
    const uint16_t flags = Get<uint16_t>(page + 10);
    const size_t lower = Get<uint16_t>(page + 12), upper = Get<uint16_t>(page + 14);
    const bool leaf = depth == meta_.depth;
    Require(Get<uint64_t>(page) == number && flags == (leaf ? kLeaf : kBranch),
            name + " is none of the kind that its place asks for");
    Require(lower >= kHeader && lower <= upper && upper <= meta_.page_size && lower % 2 == 0,
            name + " is not in order");
    const size_t nodes = (lower - kHeader) / 2;
    Require(nodes >= (leaf ? 1 : 2), name + " has no records");
    for (size_t i = 0; i < nodes; ++i) {
      const size_t at = Get<uint16_t>(page + kHeader + 2 * i);
      Require(at >= upper && at + kNode <= meta_.page_size, name + " points beyond its end");
      const unsigned char* node = page + at;
      const uint64_t low = Get<uint16_t>(node) | static_cast<uint64_t>(Get<uint16_t>(node + 2))
                                                     << 16;
      const uint64_t node_flags = Get<uint16_t>(node + 4);
      const size_t data = at + kNode + Get<uint16_t>(node + 6);
      Require(data <= meta_.page_size, name + " has a key beyond its end");
      if (!leaf) {
        Visit(low | node_flags << 32, depth + 1);
        continue;
      }
      ++entries_;
      Require((node_flags & ~kBigData) == 0,
              name + " holds another database, which Caffe does not read");
      if (node_flags & kBigData) {
        Require(data + sizeof(uint64_t) <= meta_.page_size, name + " has a value beyond its end");
        const uint64_t first = Get<uint64_t>(page + data);
        const uint64_t end = (meta_.last_page + 1) * meta_.page_size;
        Require(first >= 2 && first <= meta_.last_page &&
                    low <= end - first * meta_.page_size - kHeader,
                name + " has a value beyond the file's end");
      } else {
        Require(low <= meta_.page_size - data, name + " has a value beyond its end");
      }
    }
  }

  const unsigned char* const file_;
  const size_t size_;
  Meta meta_;
  std::vector<bool> seen_;
  uint64_t entries_ = 0;
};

// A file in memory for as long as the object lives.
class Mapped {
 public:
  explicit Mapped(const std::string& path) : memory_(MAP_FAILED), size_(0) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (file >= 0 && fstat(file, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0) {
      size_ = info.st_size;
      memory_ = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0);
    }
    if (file >= 0) {
      close(file);
    }
    if (memory_ == MAP_FAILED) {
      throw Fault("cannot be opened: " + path + " is not a file that can be read");
    }
    // Leaves lie between the records' pages: of a large file only they are to be read, as LMDB asks
    // of its own map. A small one comes faster as a whole.
    const size_t kSmall = size_t(256) << 20;
    (void)madvise(memory_, size_, size_ <= kSmall ? MADV_WILLNEED : MADV_RANDOM);
  }
  ~Mapped() {
    if (memory_ != MAP_FAILED) {
      munmap(memory_, size_);
    }
  }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;

  const unsigned char* data() const { return static_cast<const unsigned char*>(memory_); }
  size_t size() const { return size_; }

 private:
  void* memory_;
  size_t size_;
};

}  // namespace

std::string LmdbPagesFault(const unsigned char* file, size_t size) {
  try {
    Walk(file, size).Run();
  } catch (const Fault& fault) {
    return fault.what();
  }
  return std::string();
}

std::string LmdbPagesFault(const std::string& data_file) {
  try {
    const Mapped file(data_file);
    return LmdbPagesFault(file.data(), file.size());
  } catch (const Fault& fault) {
    return fault.what();
  }
}

}  // namespace caffe_ext
