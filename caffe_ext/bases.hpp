// What classes of Caffe inherit from, and every pass of a layer: caffe/common.hpp includes this
// file (patches/00-seams.patch), so that no other patch includes a header.
#ifndef CAFFE_EXT_BASES_HPP_
#define CAFFE_EXT_BASES_HPP_

#include "engines/factory.hpp"
#include "engines/private_memory.hpp"
#include "limits/layer_pass.hpp"
#include "recipe/net_recipe.hpp"
#include "training/data_position.hpp"
#include "training/solver_extension.hpp"

#endif  // CAFFE_EXT_BASES_HPP_
