// The part of a net that holds its recipe.
#ifndef CAFFE_EXT_RECIPE_NET_RECIPE_HPP_
#define CAFFE_EXT_RECIPE_NET_RECIPE_HPP_

#include <hdf5.h>

#include <string>

#include "caffe/proto/caffe.pb.h"

namespace caffe_ext {

/// Base of Net (patches/50-recipe.patch): what must be known of it to use it, see recipe.hpp.
class NetRecipe {
 public:
  const caffe::Recipe& recipe() const { return recipe_; }
  caffe::Recipe* mutable_recipe() { return &recipe_; }

 protected:
  NetRecipe() {}
  ~NetRecipe() {}
  /// Checks a net that is about to be created, and takes its recipe.
  void Begin(const caffe::NetParameter& net);
  /// Takes the recipe of weights that are loaded; see TakeRecipe in recipe.hpp.
  void TakeRecipe(const caffe::NetParameter& weights, caffe::Phase phase);
  void TakeRecipe(hid_t weights, const std::string& path, caffe::Phase phase);
  /// Writes the recipe with the weights.
  void WriteRecipe(caffe::NetParameter* weights) const;
  /// Writes the recipe into an HDF5 file in memory (training/hdf5_in_memory.hpp), and that to
  /// `path`.
  void WriteWeights(hid_t file, const std::string& path) const;

 private:
  caffe::Recipe recipe_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_RECIPE_NET_RECIPE_HPP_
