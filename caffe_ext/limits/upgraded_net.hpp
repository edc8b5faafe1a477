#ifndef CAFFE_EXT_LIMITS_UPGRADED_NET_HPP_
#define CAFFE_EXT_LIMITS_UPGRADED_NET_HPP_

#include <string>

namespace caffe_ext {

/**
 * @brief A net in today's form: what upgrade_net_proto_text writes, for pycaffe.
 *
 * @param text a NetParameter as text, of any of Caffe's forms
 * @return the upgraded NetParameter as text
 *
 * Throws std::runtime_error if the text is no net, or a net that Caffe cannot upgrade.
 */
std::string UpgradedNetText(const std::string& text);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LIMITS_UPGRADED_NET_HPP_
