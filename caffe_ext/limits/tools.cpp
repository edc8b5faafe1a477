#include "limits/tools.hpp"

#include <algorithm>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "caffe/common.hpp"
#include "caffe/util/io.hpp"
#include "caffe/util/upgrade_proto.hpp"
#include "limits/upgrade_nets.hpp"

namespace caffe_ext {

namespace {

using caffe::Datum;
using std::string;

// The image of a record, decoded.
Datum ImageOf(const string& key, const string& value) {
  Datum datum;
  CHECK(datum.ParseFromString(value)) << "record '" << key << "' is not a Datum";
  if (datum.encoded()) {
    CHECK(caffe::DecodeDatumNative(&datum) && !datum.data().empty())
        << "the image of record '" << key << "' cannot be decoded";
  }
  const int64_t values = std::max<int64_t>(datum.data().size(), datum.float_data_size());
  CHECK_GT(values, 0) << "record '" << key << "' has no image";
  CHECK(datum.channels() >= 0 && datum.height() >= 0 && datum.width() >= 0 &&
        static_cast<double>(datum.channels()) * datum.height() * datum.width() == values)
      << "record '" << key << "' has " << values << " values for " << datum.channels() << " x "
      << datum.height() << " x " << datum.width() << ".";
  return datum;
}

class ImageCursor : public caffe::db::Cursor {
 public:
  explicit ImageCursor(caffe::db::Cursor* records) : records_(records) {}
  virtual void SeekToFirst() { records_->SeekToFirst(); }
  virtual void Next() { records_->Next(); }
  virtual string key() { return records_->key(); }
  virtual bool valid() { return records_->valid(); }
  virtual string value() {
    CHECK(valid()) << "the database has no records";
    const Datum datum = ImageOf(key(), records_->value());
    if (first_.empty()) {
      first_ = {datum.channels(), datum.height(), datum.width()};
    }
    CHECK(datum.channels() == first_[0] && datum.height() == first_[1] &&
          datum.width() == first_[2])
        << "record '" << key() << "' is " << datum.channels() << " x " << datum.height() << " x "
        << datum.width() << ", but the first record is " << first_[0] << " x " << first_[1] << " x "
        << first_[2] << " (channels x height x width). A mean image needs images of one "
        << "size: make the database again with convert_imageset -resize_height H -resize_width W.";
    return datum.SerializeAsString();
  }

 private:
  const std::unique_ptr<caffe::db::Cursor> records_;
  std::vector<int> first_;  // the size of the first image; empty before it
};

class ImageDB : public caffe::db::DB {
 public:
  explicit ImageDB(caffe::db::DB* records) : records_(records) {}
  virtual void Open(const string& source, caffe::db::Mode mode) { records_->Open(source, mode); }
  virtual void Close() { records_->Close(); }
  virtual caffe::db::Cursor* NewCursor() { return new ImageCursor(records_->NewCursor()); }
  virtual caffe::db::Transaction* NewTransaction() { return records_->NewTransaction(); }

 private:
  const std::unique_ptr<caffe::db::DB> records_;
};

}  // namespace

int StatusAfterImages(size_t written, size_t listed) {
  if (written == listed) {
    return 0;
  }
  LOG(ERROR) << listed - written << " of " << listed
             << " images could not be read and are missing in the database; the messages above "
                "name them";
  return 1;
}

int BatchesOf(const char* word) {
  char* end;
  const int64_t number = std::strtol(word, &end, 10);
  CHECK(*end == '\0' && number > 0 && number <= INT_MAX)
      << "the number of batches is '" << word << "'; it must be an integer from 1";
  return static_cast<int>(number);
}

}  // namespace caffe_ext

namespace caffe {
namespace db {

DB* GetImageDB(const string& backend) { return new caffe_ext::ImageDB(GetDB(backend)); }

}  // namespace db

bool SolverNeedsUpgrade(const SolverParameter& solver) {
  return SolverNeedsTypeUpgrade(solver) || caffe_ext::HasOldNets(solver);
}

bool UpgradeSolverAndNets(const string& file, SolverParameter* solver) {
  const bool nets = caffe_ext::UpgradeNets(file, solver);
  return UpgradeSolverAsNeeded(file, solver) && nets;
}

}  // namespace caffe
