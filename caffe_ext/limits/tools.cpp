#include "limits/tools.hpp"

#include <algorithm>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "caffe/common.hpp"
#include "caffe/util/io.hpp"

namespace caffe_ext {

void ReadImageRecord(caffe::db::Cursor* cursor, caffe::Datum* datum) {
  CHECK(cursor->valid()) << "the database has no records";
  CHECK(datum->ParseFromString(cursor->value()))
      << "record '" << cursor->key() << "' is not a Datum";
  if (datum->encoded()) {
    CHECK(caffe::DecodeDatumNative(datum) && !datum->data().empty())
        << "the image of record '" << cursor->key() << "' cannot be decoded";
  }
  CHECK(!datum->data().empty() || datum->float_data_size() > 0)
      << "record '" << cursor->key() << "' has no image";
}

void CheckSameSize(const caffe::Datum& datum, const caffe::BlobProto& mean,
                   const std::string& key) {
  const int64_t values = std::max<int64_t>(datum.data().size(), datum.float_data_size());
  CHECK(datum.channels() >= 0 && datum.height() >= 0 && datum.width() >= 0 &&
        static_cast<double>(datum.channels()) * datum.height() * datum.width() == values)
      << "record '" << key << "' has " << values << " values for " << datum.channels() << " x "
      << datum.height() << " x " << datum.width() << ".";
  CHECK(datum.channels() == mean.channels() && datum.height() == mean.height() &&
        datum.width() == mean.width())
      << "record '" << key << "' is " << datum.channels() << " x " << datum.height() << " x "
      << datum.width() << ", but the first record is " << mean.channels() << " x " << mean.height()
      << " x " << mean.width() << " (channels x height x width). A mean image needs images of one "
      << "size: make the database again with convert_imageset -resize_height H -resize_width W.";
}

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
