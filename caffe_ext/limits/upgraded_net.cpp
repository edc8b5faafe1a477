#include "limits/upgraded_net.hpp"

#include <google/protobuf/text_format.h>

#include <stdexcept>

#include "caffe/common.hpp"
#include "caffe/proto/caffe.pb.h"
#include "caffe/util/upgrade_proto.hpp"

namespace caffe_ext {

std::string UpgradedNetText(const std::string& text) {
  caffe::NetParameter net;
  std::string upgraded;
  // Of both kinds of layers: Caffe's own check ends the process.
  if (!google::protobuf::TextFormat::ParseFromString(text, &net) ||
      (net.layer_size() > 0 && net.layers_size() > 0) ||
      !caffe::UpgradeNetAsNeeded("the net", &net) ||
      !google::protobuf::TextFormat::PrintToString(net, &upgraded)) {
    throw std::runtime_error("the net cannot be upgraded to the current format of Caffe");
  }
  return upgraded;
}

}  // namespace caffe_ext
