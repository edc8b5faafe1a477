#include "limits/databases.hpp"

#include <unistd.h>

#include <string>

namespace caffe_ext {

namespace {

bool Has(const std::string& folder, const char* name) {
  return access((folder + "/" + name).c_str(), F_OK) == 0;
}

}  // namespace

std::string BackendFault(const caffe::DataParameter& param) {
  const std::string& source = param.source();
  const bool lmdb = Has(source, "data.mdb"), leveldb = Has(source, "CURRENT");
  if (lmdb == leveldb) {
    return std::string();
  }
  if (param.backend() == caffe::DataParameter_DB_LEVELDB && lmdb) {
    return "source '" + source + "' is an LMDB, and backend is LEVELDB" +
           (param.has_backend() ? "" : ", the default") + "; set backend: LMDB in data_param";
  }
  if (param.backend() == caffe::DataParameter_DB_LMDB && leveldb) {
    return "source '" + source +
           "' is a LevelDB, and backend is LMDB; set backend: LEVELDB in "
           "data_param";
  }
  return std::string();
}

}  // namespace caffe_ext
