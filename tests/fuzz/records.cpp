// Records, LMDBs and lists of images.
#include <exception>

#include "../../src/layers/image_list.hpp"
#include "../../src/layers/labelled_images.hpp"
#include "../../src/layers/lmdb_index.hpp"
#include "boost/filesystem.hpp"
#include "caffe/data_transformer.hpp"
#include "caffe/util/db.hpp"
#include "caffe/util/io.hpp"
#include "support.hpp"
#include "targets.hpp"

namespace fuzz {

namespace {

// As the layers do: the transformer's output has the image's size, or the crop's.
template <typename Image>
void Transform(const Image& image) {
  for (int crop : {0, 3}) {
    caffe::TransformationParameter param;
    param.set_crop_size(crop);
    param.set_mirror(true);
    param.add_mean_value(100);
    caffe::Caffe::set_random_seed(1);
    caffe::DataTransformer<float> transformer(param, caffe::TRAIN);
    transformer.InitRand();
    caffe::Blob<float> output(transformer.InferBlobShape(image));
    transformer.Transform(image, &output);
  }
}

}  // namespace

void Datum(const std::string& input) {
  caffe_ext::LabelledImage sample;
  if (caffe_ext::ReadDatum(input.data(), input.size(), &sample).empty() && sample.height() >= 3 &&
      sample.width() >= 3) {
    if (sample.image.empty()) {
      Transform(sample.datum);
    } else {
      Transform(sample.image);
    }
  }
  // Caffe's Data goes on with what it could parse.
  caffe::Datum datum;
  datum.ParseFromString(input);
  Transform(datum);
}

void Lmdb(const std::string& input) {
  const std::string folder = Folder() + "/lmdb";
  boost::filesystem::create_directories(folder);
  File("lmdb/data.mdb", input);
  try {
    const caffe_ext::LmdbIndex records(folder);
    caffe_ext::LabelledImage sample;
    for (size_t i = 0; i < records.size(); ++i) {
      if (records.Read(i, &sample.bytes).empty()) {
        (void)caffe_ext::ReadDatum(sample.bytes.data(), sample.bytes.size(), &sample);
      }
    }
    (void)records.Key(records.size() - 1);
  } catch (const std::exception&) {
    return;  // refused
  }
  const std::unique_ptr<caffe::db::DB> db(caffe::db::GetDB(caffe::DataParameter::LMDB));
  db->Open(folder, caffe::db::READ);
  const std::unique_ptr<caffe::db::Cursor> cursor(db->NewCursor());
  for (; cursor->valid(); cursor->Next()) {
    (void)cursor->key();
    (void)cursor->value();
  }
}

void List(const std::string& input) {
  caffe::MultiLabelDataParameter param;
  param.set_source(File("list.txt", input));
  param.set_root_folder(Folder() + "/");
  try {
    const caffe_ext::ImageList list(param);
    for (size_t i = 0; i < list.size(); ++i) {
      caffe_ext::LabelledImage sample;
      (void)list.Name(i);
      (void)list.Read(i, &sample);
    }
  } catch (const std::exception&) {
    // refused
  }
}

}  // namespace fuzz
