#ifndef CAFFE_EXT_RECIPE_RECIPE_HPP_
#define CAFFE_EXT_RECIPE_RECIPE_HPP_

#include <hdf5.h>

#include <string>

#include "caffe/net.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe_ext {

/**
 * The recipe of a net says how its input was made and what its outputs are. It travels with the
 * weights, so that the file of weights alone is enough to use them:
 *
 * - `drml prepare` writes `recipe.prototxt` into the folder in which the LMDBs of a fold are;
 * - a net that reads such data takes it from there, completes it from the transform_param of its
 *   data layer, and lets `recipe { }` in its own prototxt override it (RecipeOf);
 * - the solver adds to each snapshot how long the net has been trained (CompleteRecipe);
 * - a net without a recipe of its own takes that of the weights it loads (TakeRecipe).
 *
 * Stock Caffe passes over all of this, as it does with every field and dataset that it does not
 * know.
 */

/// The file in the folder of prepared data.
const char kRecipeFile[] = "recipe.prototxt";
/// The dataset of an .h5 file of weights that holds a serialized Recipe.
const char kRecipeDataset[] = "recipe";

/// The recipe of a net whose layers are those of `net` (filtered by phase). Throws
/// std::runtime_error where a recipe.prototxt or a mean image is damaged, and names the file.
caffe::Recipe RecipeOf(const caffe::NetParameter& net);

/// Takes over the recipe of weights that are loaded, unless the net has its own. A net in phase
/// TRAIN does not take any: what it learns may be something else.
void TakeRecipe(const caffe::Recipe& of_weights, caffe::Phase phase, caffe::Recipe* recipe);

/// Writes `recipe.training` for a snapshot behind iteration `iteration` of this solver's training.
template <typename Dtype>
void CompleteRecipe(const caffe::Net<Dtype>& net, const caffe::SolverParameter& solver,
                    int iteration, caffe::Recipe* recipe);

/// The recipe in an .h5 file of weights, empty where it has none; throws std::runtime_error, with
/// `path`, where it is damaged.
caffe::Recipe LoadRecipe(hid_t file, const std::string& path);
/// Writes a recipe that is not empty.
void SaveRecipe(const caffe::Recipe& recipe, hid_t file);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_RECIPE_RECIPE_HPP_
