#include "limits/upgrade_nets.hpp"

#include <string>

#include "caffe/common.hpp"
#include "caffe/util/upgrade_proto.hpp"

namespace caffe_ext {

using caffe::NetParameter;
using caffe::SolverParameter;

bool HasOldNets(const SolverParameter& solver) {
  bool old = caffe::NetNeedsUpgrade(solver.net_param()) ||
             caffe::NetNeedsUpgrade(solver.train_net_param());
  for (const NetParameter& net : solver.test_net_param()) {
    old = old || caffe::NetNeedsUpgrade(net);
  }
  return old;
}

bool UpgradeNets(const std::string& source, SolverParameter* solver) {
  bool success = true;
  const auto upgrade = [&](const char* field, NetParameter* net) {
    if (caffe::NetNeedsUpgrade(*net)) {
      success = caffe::UpgradeNetAsNeeded(source + ", " + field, net) && success;
    }
  };
  if (solver->has_net_param()) {
    upgrade("net_param", solver->mutable_net_param());
  }
  if (solver->has_train_net_param()) {
    upgrade("train_net_param", solver->mutable_train_net_param());
  }
  for (int i = 0; i < solver->test_net_param_size(); ++i) {
    upgrade("test_net_param", solver->mutable_test_net_param(i));
  }
  return success;
}

}  // namespace caffe_ext
