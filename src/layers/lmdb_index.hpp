#ifndef CAFFE_EXT_LMDB_INDEX_HPP_
#define CAFFE_EXT_LMDB_INDEX_HPP_

#include <lmdb.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace caffe_ext {

/**
 * @brief An LMDB opened for reading, its records numbered in the order of their keys.
 *
 * One read transaction stays open for the object's life, so the pointers into LMDB's memory map
 * that the index holds (16 bytes a record) stay valid, and reading record i costs nothing. Keys are
 * not kept; Key() finds one by walking, for messages.
 *
 * Nothing is locked or written: several objects, nets and processes may read one LMDB, also from
 * a folder without write permission. The LMDB must not be written to meanwhile.
 *
 * Every fault is a std::runtime_error whose text names the LMDB, the fault and the way out.
 */
class LmdbIndex {
 public:
  struct Value {
    const char* data;
    size_t size;
  };

  explicit LmdbIndex(const std::string& path);
  ~LmdbIndex();
  LmdbIndex(const LmdbIndex&) = delete;
  LmdbIndex& operator=(const LmdbIndex&) = delete;

  const std::string& path() const { return path_; }
  size_t size() const { return values_.size(); }
  /// Bytes of record i; any thread.
  Value operator[](size_t i) const { return values_[i]; }
  /// Key of record i, unprintable bytes as \xNN; takes a walk of i steps. Any thread.
  std::string Key(size_t i) const;

 private:
  void CheckFolder() const;
  void CheckLength() const;
  void ReadIndex();
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
  std::vector<Value> values_;
  // A read transaction serves one thread at a time.
  mutable std::mutex txn_mutex_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LMDB_INDEX_HPP_
