#include "lmdb_index.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>

#include "limits/limits.hpp"
#include "limits/lmdb_pages.hpp"

namespace caffe_ext {

namespace {

const char kExchange[] =
    " To exchange the data under a run, write a new folder and give it this one's name; what runs "
    "goes on with the old one.";
const char kMakeAgain[] = " Make the LMDB again, or copy it again from where it is whole.";

// So many bytes of each of the two meta pages hold what a commit writes there, whatever the size of
// a page.
const size_t kMetaBytes = 256;
// The walk gives memory back after so many records.
const size_t kRelease = 1 << 15;

// Reads up to `size` bytes from `offset` on; returns how many, fewer at the file's end, or -1 and
// errno.
ssize_t ReadAt(int file, uint64_t offset, size_t size, char* bytes) {
  size_t done = 0;
  while (done < size) {
    const ssize_t count = pread(file, bytes + done, size - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return -1;
    }
    if (count == 0) {
      break;
    }
    done += count;
  }
  return static_cast<ssize_t>(done);
}

}  // namespace

LmdbIndex::LmdbIndex(const std::string& path) : path_(path) {
  try {
    CheckFolder();
    CheckPages();
    Require(mdb_env_create(&env_), "cannot be opened");
    // NOLOCK: a reader's lock is a written file, and closing one of two environments on the same
    // LMDB in one process would drop the locks of both.
    Require(mdb_env_open(env_, path_.c_str(), MDB_RDONLY | MDB_NOTLS | MDB_NOLOCK, 0664),
            "cannot be opened");
    Measure();
    state_ = FileState();
    Require(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn_), "cannot be read");
    Require(mdb_dbi_open(txn_, nullptr, 0, &dbi_), "cannot be read");
    ReadIndex();
    const std::string change = Changed();
    if (!change.empty()) {
      Fail(change);
    }
  } catch (...) {
    Close();
    throw;
  }
}

LmdbIndex::~LmdbIndex() { Close(); }

void LmdbIndex::Close() {
  if (txn_) {
    mdb_txn_abort(txn_);
  }
  if (env_) {
    mdb_env_close(env_);
  }
}

void LmdbIndex::Fail(const std::string& fault) const {
  throw std::runtime_error("LMDB '" + path_ + "' " + fault);
}

void LmdbIndex::Require(int code, const std::string& doing) const {
  if (code == MDB_INVALID || code == MDB_VERSION_MISMATCH || code == MDB_CORRUPTED ||
      code == MDB_PAGE_NOTFOUND) {
    Fail(doing + ": " + DataFile() + " is not an LMDB or is damaged (" + mdb_strerror(code) + ")." +
         kMakeAgain);
  }
  if (code != MDB_SUCCESS) {
    Fail(doing + ": " + mdb_strerror(code) + ".");
  }
}

// What the folder looks like decides the message, as LMDB itself only says "no such file".
void LmdbIndex::CheckFolder() const {
  struct stat info;
  if (path_.empty()) {
    Fail("has no name: set multi_label_data_param.source to the LMDB's folder.");
  }
  if (stat(path_.c_str(), &info) != 0) {
    const std::string reason = std::strerror(errno);
    Fail("cannot be opened: " + reason +
         ". Make the LMDB, or correct multi_label_data_param.source" +
         " (a relative path starts at the folder that the program runs in).");
  }
  if (!S_ISDIR(info.st_mode)) {
    Fail("is a file; an LMDB is a folder with data.mdb inside. Give the folder's name.");
  }
  if (stat(DataFile().c_str(), &info) != 0) {
    const std::string reason = std::strerror(errno);
    Fail("is not an LMDB: data.mdb in it cannot be found (" + reason + "). Give the folder that" +
         " holds data.mdb.");
  }
  if (info.st_size == 0) {
    Fail("is not an LMDB: data.mdb has 0 bytes." + std::string(kMakeAgain));
  }
}

// liblmdb follows what the file says wherever it leads, so nothing is read before a look at all of
// it. (LMDB may leave pages at the end unwritten that were freed as soon as made; whoever deleted
// records in bulk can meet this, and `mdb_copy -c` mends it.)
void LmdbIndex::CheckPages() const {
  const std::string fault = LmdbPagesFault(DataFile());
  if (fault.compare(0, 12, "is truncated") == 0) {
    Fail(fault + "." + kMakeAgain +
         " If it was whole, and records were deleted from it, compact it with mdb_copy -c.");
  }
  if (!fault.empty()) {
    Fail(fault + "." + kMakeAgain);
  }
}

// The file that was opened, as it is now.
void LmdbIndex::Measure() {
  MDB_envinfo info;
  MDB_stat stats;
  Require(mdb_env_get_fd(env_, &file_), "cannot be opened");
  Require(mdb_env_info(env_, &info), "cannot be read");
  Require(mdb_env_stat(env_, &stats), "cannot be read");
  if (fstat(file_, &opened_) != 0) {
    Fail("cannot be read: " + std::string(std::strerror(errno)) + ".");
  }
  page_size_ = stats.ms_psize;
  length_ = (static_cast<uint64_t>(info.me_last_pgno) + 1) * page_size_;
}

void LmdbIndex::ReadIndex() {
  MDB_stat stats;
  Require(mdb_stat(txn_, dbi_, &stats), "cannot be read");
  if (stats.ms_entries == 0) {
    Fail("is empty: it holds no record." + std::string(kMakeAgain));
  }
  if (stats.ms_entries > UINT32_MAX) {
    Fail("holds " + std::to_string(stats.ms_entries) + " records, more than can be numbered;" +
         " divide it.");
  }
  places_.reserve(stats.ms_entries);
  MDB_cursor* cursor = nullptr;
  Require(mdb_cursor_open(txn_, dbi_, &cursor), "cannot be read");
  MDB_val key, value;
  uintptr_t map_offset = 0;
  int code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
  for (; code == MDB_SUCCESS; code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
    const char* data = static_cast<const char*>(value.mv_data);
    if (places_.empty()) {
      map_offset = MapOffset(data);
    }
    // LMDB takes no value of 4 GiB, and no address space maps 2^48 bytes.
    places_.push_back(Place{reinterpret_cast<uintptr_t>(data) + map_offset,
                            static_cast<uint32_t>(value.mv_size)});
    if (places_.size() % kRelease == 0) {
      ReleaseMap();
    }
  }
  mdb_cursor_close(cursor);
  if (code != MDB_NOTFOUND) {
    Require(code, "cannot be read past record " + std::to_string(places_.size()));
  }
  if (places_.size() != stats.ms_entries) {
    Fail("is damaged: it counts " + std::to_string(stats.ms_entries) + " records, but " +
         std::to_string(places_.size()) + " can be found." + kMakeAgain);
  }
  ReleaseMap();
}

// LMDB does not tell where its map begins; the system does.
uintptr_t LmdbIndex::MapOffset(const char* mapped) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(mapped);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long long begin, end, offset;  // NOLINT(runtime/int): what sscanf reads
    if (std::sscanf(line.c_str(), "%llx-%llx %*s %llx", &begin, &end, &offset) == 3 &&
        begin <= address && address < end) {
      map_ = reinterpret_cast<char*>(begin - offset);
      return offset - begin;
    }
  }
  Fail("cannot be read: /proc/self/maps does not tell where it lies in memory.");
}

void LmdbIndex::ReleaseMap() const {
  // What it does not heed costs memory that the system can take back anyway.
  madvise(map_, length_, MADV_DONTNEED);
}

std::string LmdbIndex::Read(size_t i, std::string* value) const {
  const Place place = places_[i];
  if (place.size > kMaxDatumBytes) {
    return "it has " + std::to_string(place.size) + " bytes; a record may have " +
           std::to_string(kMaxDatumBytes);
  }
  value->resize(place.size);
  const ssize_t count = ReadAt(file_, place.offset, place.size, &(*value)[0]);
  if (count < 0) {
    return "it cannot be read: " + std::string(std::strerror(errno));
  }
  if (static_cast<size_t>(count) < place.size) {
    return "it cannot be read: data.mdb ends inside it";
  }
  return std::string();
}

LmdbIndex::State LmdbIndex::FileState() const {
  struct stat info;
  State state;
  if (fstat(file_, &info) != 0) {
    Fail("cannot be read: " + std::string(std::strerror(errno)) + ".");
  }
  state.size = info.st_size;
  state.written = info.st_mtim;
  // Written through a map, a file may get its time of writing late.
  state.metas.resize(2 * kMetaBytes);
  for (size_t k = 0; k < 2; ++k) {
    if (ReadAt(file_, k * page_size_, kMetaBytes, &state.metas[k * kMetaBytes]) < 0) {
      Fail("cannot be read: " + std::string(std::strerror(errno)) + ".");
    }
  }
  return state;
}

std::string LmdbIndex::Changed() const {
  const State now = FileState();
  if (static_cast<uint64_t>(now.size) < length_) {
    return "was truncated while it was read: data.mdb has " + std::to_string(now.size) +
           " bytes of " + std::to_string(length_) + "." + kMakeAgain + kExchange;
  }
  if (now.size != state_.size || now.written.tv_sec != state_.written.tv_sec ||
      now.written.tv_nsec != state_.written.tv_nsec || now.metas != state_.metas) {
    return "was written to while it was read: data.mdb is no longer the file that was opened." +
           std::string(kExchange);
  }
  return std::string();
}

bool LmdbIndex::Replaced() const {
  struct stat info;
  return stat(DataFile().c_str(), &info) != 0 || info.st_dev != opened_.st_dev ||
         info.st_ino != opened_.st_ino;
}

std::string LmdbIndex::Key(size_t i) const {
  // A page of the map that the file no longer has would end the process.
  if (!Changed().empty()) {
    return "number " + std::to_string(i);
  }
  std::lock_guard<std::mutex> lock(txn_mutex_);
  MDB_cursor* cursor = nullptr;
  Require(mdb_cursor_open(txn_, dbi_, &cursor), "cannot be read");
  MDB_val key, value;
  int code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
  for (size_t step = 0; step < i && code == MDB_SUCCESS; ++step) {
    code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
  }
  std::string text;
  if (code == MDB_SUCCESS) {
    const unsigned char* bytes = static_cast<const unsigned char*>(key.mv_data);
    for (size_t k = 0; k < key.mv_size; ++k) {
      if (bytes[k] >= 0x20 && bytes[k] < 0x7f) {
        text += static_cast<char>(bytes[k]);
      } else {
        char escaped[5];
        std::snprintf(escaped, sizeof(escaped), "\\x%02x", bytes[k]);
        text += escaped;
      }
    }
  }
  mdb_cursor_close(cursor);
  Require(code, "has no record " + std::to_string(i));
  return text;
}

}  // namespace caffe_ext
