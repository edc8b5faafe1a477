// Nets that a solver holds itself, where others name a file.
#ifndef CAFFE_EXT_LIMITS_UPGRADE_NETS_HPP_
#define CAFFE_EXT_LIMITS_UPGRADE_NETS_HPP_

#include <string>

#include "caffe/proto/caffe.pb.h"

namespace caffe_ext {

/// Whether net_param, train_net_param or a test_net_param of the solver is written in a form that
/// Caffe no longer creates nets from.
bool HasOldNets(const caffe::SolverParameter& solver);

/// Upgrades those nets, as nets in files of their own are upgraded when they are read. Returns
/// false where something of a net could not be upgraded, which the log tells. source is the
/// solver's file, for the log.
bool UpgradeNets(const std::string& source, caffe::SolverParameter* solver);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LIMITS_UPGRADE_NETS_HPP_
