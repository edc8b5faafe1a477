// What a prototxt may ask for, looked at before anything is created.
#ifndef CAFFE_EXT_LIMITS_CHECK_NET_HPP_
#define CAFFE_EXT_LIMITS_CHECK_NET_HPP_

#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe_ext {

/**
 * @brief What is wrong with a layer by its parameters alone, or "".
 *
 * Upstream's layers compute sizes and indices in 32 bits and divide by what a prototxt gives. A
 * table (check_net.cpp) says for each type what its parameters may be: kernel, stride, pad,
 * dilation, group, axes, counts, ratios, and whether it works in place. Whoever does not stand in
 * the list of those that work in place is refused with `top` = `bottom`: most layers change the
 * shape, or write before they read.
 */
std::string LayerFault(const caffe::LayerParameter& layer);

/// The same for the whole net; the fault begins with the layer's name and type.
std::string NetFault(const caffe::NetParameter& net);

/**
 * @brief What is wrong with the shapes of a layer's inputs, or "": products and sums of them that
 * no int holds, empty ones by whose size upstream divides. Of a type without a rule nothing is
 * asked.
 */
std::string BottomsFault(const caffe::LayerParameter& layer,
                         const std::vector<std::vector<int> >& shapes);
/// Whether BottomsFault has a rule for the type.
bool HasBottomsRule(const std::string& type);

/// What is wrong with a solver by its parameters alone, or "".
std::string SolverFault(const caffe::SolverParameter& solver);

/// The same, as fatal messages.
void CheckNet(const caffe::NetParameter& net);
void CheckSolver(const caffe::SolverParameter& solver);
/// For a layer that is about to be set up or run; the message begins with Whose().
void CheckShapes(const caffe::LayerParameter& layer, const std::vector<std::vector<int> >& shapes);

template <typename Dtype>
void CheckBottoms(const caffe::LayerParameter& layer,
                  const std::vector<caffe::Blob<Dtype>*>& bottom) {
  if (HasBottomsRule(layer.type())) {
    std::vector<std::vector<int> > shapes;
    for (const caffe::Blob<Dtype>* blob : bottom) {
      shapes.push_back(blob->shape());
    }
    CheckShapes(layer, shapes);
  }
}

}  // namespace caffe_ext

#endif  // CAFFE_EXT_LIMITS_CHECK_NET_HPP_
