#include "recipe/net_recipe.hpp"

#include <string>

#include "limits/check_net.hpp"
#include "recipe/recipe.hpp"
#include "training/hdf5_in_memory.hpp"

namespace caffe_ext {

void NetRecipe::Begin(const caffe::NetParameter& net) {
  CheckNet(net);
  recipe_ = RecipeOf(net);
}

void NetRecipe::TakeRecipe(const caffe::NetParameter& weights, caffe::Phase phase) {
  caffe_ext::TakeRecipe(weights.recipe(), phase, &recipe_);
}

void NetRecipe::TakeRecipe(hid_t weights, const std::string& path, caffe::Phase phase) {
  caffe_ext::TakeRecipe(LoadRecipe(weights, path), phase, &recipe_);
}

void NetRecipe::WriteRecipe(caffe::NetParameter* weights) const {
  if (recipe_.ByteSizeLong() > 0) {
    *weights->mutable_recipe() = recipe_;
  }
}

void NetRecipe::WriteWeights(hid_t file, const std::string& path) const {
  SaveRecipe(recipe_, file);
  WriteHdf5(file, path);
}

}  // namespace caffe_ext
