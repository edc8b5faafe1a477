#include "lmdb_index.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>

namespace caffe_ext {

namespace {

const char kMakeAgain[] = " Make the LMDB again, or copy it again from where it is whole.";

}  // namespace

LmdbIndex::LmdbIndex(const std::string& path) : path_(path) {
  try {
    CheckFolder();
    Require(mdb_env_create(&env_), "cannot be opened");
    // NOLOCK: a reader's lock is a written file, and closing one of two environments on the same
    // LMDB in one process would drop the locks of both.
    Require(mdb_env_open(env_, path_.c_str(), MDB_RDONLY | MDB_NOTLS | MDB_NOLOCK, 0664),
            "cannot be opened");
    CheckLength();
    Require(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn_), "cannot be read");
    Require(mdb_dbi_open(txn_, nullptr, 0, &dbi_), "cannot be read");
    ReadIndex();
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

// The map reaches as far as the header says. Touching a page beyond the file's end would kill the
// process with SIGBUS and no word, so a short file is refused before anything is read. (LMDB may
// leave pages at the end unwritten that were freed as soon as made; whoever deleted records in bulk
// can meet this, and `mdb_copy -c` mends it.)
void LmdbIndex::CheckLength() const {
  MDB_envinfo info;
  MDB_stat stats;
  struct stat file;
  Require(mdb_env_info(env_, &info), "cannot be read");
  Require(mdb_env_stat(env_, &stats), "cannot be read");
  if (stat(DataFile().c_str(), &file) != 0) {
    Fail("cannot be read: " + std::string(std::strerror(errno)) + ".");
  }
  const uint64_t needed = (static_cast<uint64_t>(info.me_last_pgno) + 1) * stats.ms_psize;
  const uint64_t found = static_cast<uint64_t>(file.st_size);
  if (found < needed) {
    Fail("is truncated: data.mdb has " + std::to_string(found) + " bytes of " +
         std::to_string(needed) + "." + kMakeAgain +
         " If it was whole, and records were deleted from it, compact it with mdb_copy -c.");
  }
}

void LmdbIndex::ReadIndex() {
  MDB_stat stats;
  Require(mdb_stat(txn_, dbi_, &stats), "cannot be read");
  if (stats.ms_entries == 0) {
    Fail("is empty: it holds no record." + std::string(kMakeAgain));
  }
  values_.reserve(stats.ms_entries);
  MDB_cursor* cursor = nullptr;
  Require(mdb_cursor_open(txn_, dbi_, &cursor), "cannot be read");
  MDB_val key, value;
  int code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
  for (; code == MDB_SUCCESS; code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
    values_.push_back(Value{static_cast<const char*>(value.mv_data), value.mv_size});
  }
  mdb_cursor_close(cursor);
  if (code != MDB_NOTFOUND) {
    Require(code, "cannot be read past record " + std::to_string(values_.size()));
  }
  if (values_.size() != stats.ms_entries) {
    Fail("is damaged: it counts " + std::to_string(stats.ms_entries) + " records, but " +
         std::to_string(values_.size()) + " can be found." + kMakeAgain);
  }
}

std::string LmdbIndex::Key(size_t i) const {
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
