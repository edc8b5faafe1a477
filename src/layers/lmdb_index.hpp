#ifndef CAFFE_EXT_LMDB_INDEX_HPP_
#define CAFFE_EXT_LMDB_INDEX_HPP_

#include <lmdb.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <mutex>
#include <string>
#include <vector>

namespace caffe_ext {

/**
 * @brief An LMDB opened for reading, its records numbered in the order of their keys.
 *
 * What is kept of a record is where its value lies in data.mdb, in 10 bytes; Read() reads it from
 * there, with pread: what another process does to the file ends no read with SIGBUS, as it does
 * where the file is mapped. The map serves to find the places and, for messages, a key; in between
 * none of it stays in memory. Keys are not kept; Key() finds one by walking.
 *
 * Nothing is locked or written: several objects, nets and processes may read one LMDB, also from
 * a folder without write permission. Whoever replaces the LMDB by another of its name leaves this
 * one as it was; whoever writes to it breaks it, which Changed() notices.
 *
 * Every fault is a std::runtime_error whose text names the LMDB, the fault and the way out.
 */
class LmdbIndex {
 public:
  explicit LmdbIndex(const std::string& path);
  ~LmdbIndex();
  LmdbIndex(const LmdbIndex&) = delete;
  LmdbIndex& operator=(const LmdbIndex&) = delete;

  const std::string& path() const { return path_; }
  size_t size() const { return places_.size(); }
  /// Reads the value of record i; returns what is wrong with it, or "". Any thread.
  std::string Read(size_t i, std::string* value) const;
  /// Key of record i, unprintable bytes as \xNN; takes a walk of i steps. Any thread.
  std::string Key(size_t i) const;
  /// What another process did to data.mdb since it was opened, or "". Values read before this was
  /// asked, and found unchanged, are those of the LMDB that was opened.
  std::string Changed() const;
  /// Whether the LMDB's name leads to another one by now, or nowhere.
  bool Replaced() const;

 private:
  // GCC and Clang lay it out without a gap.
  struct __attribute__((packed)) Place {
    uint64_t offset : 48;
    uint32_t size;
  };
  static_assert(sizeof(Place) == 10, "a place takes 10 bytes");

  /// What every write to the file changes.
  struct State {
    off_t size;
    timespec written;
    std::string metas;  // LMDB's two meta pages, which a commit writes to
  };

  void CheckFolder() const;
  void CheckPages() const;
  void Measure();
  void ReadIndex();
  State FileState() const;
  /// Where in the file a place in the map lies, less that place's address.
  uintptr_t MapOffset(const char* mapped);
  /// Gives the pages of the map back that were touched; they are read anew when they are asked for.
  void ReleaseMap() const;
  void Close();
  /// Throws "LMDB 'path' fault".
  [[noreturn]] void Fail(const std::string& fault) const;
  /// Fails with LMDB's own words unless code is 0.
  void Require(int code, const std::string& doing) const;
  std::string DataFile() const { return path_ + "/data.mdb"; }

  std::string path_;
  MDB_env* env_ = nullptr;
  MDB_txn* txn_ = nullptr;
  MDB_dbi dbi_ = 0;
  int file_ = -1;  // data.mdb, env_'s
  struct stat opened_;
  State state_;
  uint64_t page_size_ = 0, length_ = 0;  // of data.mdb, by its header
  char* map_ = nullptr;
  std::vector<Place> places_;
  // A read transaction serves one thread at a time.
  mutable std::mutex txn_mutex_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LMDB_INDEX_HPP_
