#include "limits/tools.hpp"

#include <climits>
#include <cstdlib>

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
