#include "limits/file_kinds.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>
#include <hdf5.h>

#include <algorithm>
#include <cctype>
#include <climits>
#include <fstream>
#include <string>

#include "caffe/common.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe_ext {

namespace {

template <typename Message>
bool Parses(const std::string& path, Message* message) {
  std::ifstream file(path.c_str(), std::ios::binary);
  google::protobuf::io::IstreamInputStream stream(&file);
  google::protobuf::io::CodedInputStream coded(&stream);
  coded.SetTotalBytesLimit(INT_MAX);
  return file.is_open() && message->ParsePartialFromCodedStream(&coded);
}

std::string Head(const std::string& path) {
  std::string head(256, '\0');
  std::ifstream file(path.c_str(), std::ios::binary);
  file.read(&head[0], head.size());
  head.resize(file.gcount());
  return head;
}

// Of a binary file that was cut after a few bytes, nothing can be told.
bool IsText(const std::string& head) {
  return head.size() >= 8 && std::all_of(head.begin(), head.end(), [](unsigned char c) {
           return std::isprint(c) || std::isspace(c) ||
                  c >= 0x80;  // a comment may be in any language
         });
}

// The first field of weights: a name, or a layer in either form.
bool BeginsAsWeights(const std::string& head) {
  return head.compare(0, 1, "\x0a") == 0 || head.compare(0, 1, "\x12") == 0 ||
         head.compare(0, 2, "\xa2\x06") == 0;
}

FileKind KindOfHdf5(const std::string& path) {
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  if (file < 0) {
    return kUnknownFile;
  }
  const bool state = H5Lexists(file, "iter", H5P_DEFAULT) > 0;
  const bool weights = H5Lexists(file, "data", H5P_DEFAULT) > 0;
  H5Fclose(file);
  return state ? kSolverState : weights ? kWeights : kUnknownFile;
}

const char* NameOf(FileKind kind) {
  switch (kind) {
    case kWeights:
      return "a file of weights";
    case kSolverState:
      return "a solverstate";
    case kMeanImage:
      return "a mean image";
    default:
      return "a text file";
  }
}

}  // namespace

FileKind KindOfFile(const std::string& path) {
  H5E_auto2_t report;
  void* data;
  H5Eget_auto2(H5E_DEFAULT, &report, &data);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const bool hdf5 = H5Fis_hdf5(path.c_str()) > 0;
  FileKind kind = hdf5 ? KindOfHdf5(path) : kUnknownFile;
  H5Eset_auto2(H5E_DEFAULT, report, data);
  if (hdf5) {
    return kind;
  }
  const std::string head = Head(path);
  caffe::SolverState state;
  if (Parses(path, &state) && state.has_iter() &&
      (state.has_learned_net() || state.history_size() > 0)) {
    return kSolverState;
  }
  state.Clear();
  caffe::BlobProto blob;
  if (Parses(path, &blob) && blob.data_size() + blob.double_data_size() > 0) {
    return kMeanImage;
  }
  blob.Clear();
  caffe::NetParameter net;
  if (BeginsAsWeights(head) && Parses(path, &net) && net.layer_size() + net.layers_size() > 0) {
    return kWeights;
  }
  return IsText(head) ? kText : kUnknownFile;
}

void CheckWeightsFile(const std::string& path) {
  if (BeginsAsWeights(Head(path))) {
    return;  // without parsing hundreds of megabytes twice
  }
  const FileKind kind = KindOfFile(path);
  if (kind == kWeights || kind == kUnknownFile) {
    return;
  }
  LOG(FATAL) << path << " is " << NameOf(kind) << ", not weights: "
             << (kind == kSolverState
                     ? "resume from it with -snapshot, or give the .caffemodel beside it"
                     : "give a .caffemodel or .caffemodel.h5")
             << ".";
}

std::string NoSolverState(const std::string& path) {
  const FileKind kind = KindOfFile(path);
  if (kind == kSolverState || kind == kUnknownFile) {
    return std::string();
  }
  return path + " is " + NameOf(kind) + ", not a solverstate: " +
         (kind == kWeights ? "start from it with -weights, or give the .solverstate beside it"
                           : "give a .solverstate or .solverstate.h5");
}

}  // namespace caffe_ext
