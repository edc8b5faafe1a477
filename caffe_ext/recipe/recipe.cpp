#include "recipe/recipe.hpp"

#include <google/protobuf/text_format.h>
#include <sys/stat.h>

#include <stdexcept>
#include <string>

#include "caffe/util/io.hpp"
#include "limits/limits.hpp"
#include "training/hdf5_in_memory.hpp"

namespace caffe_ext {

using caffe::InputRecipe;
using caffe::LayerParameter;
using caffe::NetParameter;
using caffe::Recipe;
using caffe::SolverParameter;
using caffe::TransformationParameter;

namespace {

bool Exists(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0;
}

// Of the layer that reads the data: the LMDB or the list of images; "" for any other layer.
std::string SourceOf(const LayerParameter& layer) {
  if (layer.type() == "MultiLabelData" || layer.type() == "MultiLabelImageData") {
    return layer.multi_label_data_param().source();
  }
  if (layer.type() == "Data") {
    return layer.data_param().source();
  }
  return std::string();
}

// recipe.prototxt beside `source`, which may end with slashes.
std::string RecipeBeside(const std::string& source) {
  const size_t end = source.find_last_not_of('/');
  const size_t slash = end == std::string::npos ? end : source.rfind('/', end);
  return (slash == std::string::npos ? std::string() : source.substr(0, slash + 1)) + kRecipeFile;
}

void ReadTransform(const TransformationParameter& transform, InputRecipe* input) {
  input->set_crop_size(transform.crop_size());
  input->set_scale(transform.scale());
  input->clear_mean();
  *input->mutable_mean_value() = transform.mean_value();
  if (transform.has_mean_file() &&
      !caffe::ReadProtoFromBinaryFile(transform.mean_file(), input->mutable_mean())) {
    throw std::runtime_error(transform.mean_file() + ": not a mean image of Caffe (mean_file)");
  }
}

bool NamesOutputs(const Recipe& recipe) {
  return recipe.au_size() > 0 || recipe.intensity_au_size() > 0;
}

// Lists of `own` replace those of `recipe`, where MergeFrom would append.
void Override(const Recipe& own, Recipe* recipe) {
  // The outputs belong together: a net that names some of them has no others.
  if (NamesOutputs(own)) {
    recipe->clear_au();
    recipe->clear_intensity_au();
  }
  if (own.threshold_size() > 0) {
    recipe->clear_threshold();
  }
  if (own.input().mean_value_size() > 0 || own.input().has_mean()) {
    recipe->mutable_input()->clear_mean_value();
    recipe->mutable_input()->clear_mean();
  }
  if (own.registration().target_size() > 0) {
    recipe->mutable_registration()->clear_target();
  }
  if (own.registration().detector_target_size() > 0) {
    recipe->mutable_registration()->clear_detector_target();
  }
  recipe->MergeFrom(own);
}

// What a net adds to that: weights of the classes in the loss, and the random changes of its
// images.
template <typename Dtype>
NetParameter LearningOf(const caffe::Net<Dtype>& net) {
  NetParameter learning;
  for (const auto& layer : net.layers()) {
    const LayerParameter& param = layer->layer_param();
    LayerParameter kept;
    if (param.multi_label_loss_param().pos_weight_size() > 0) {
      *kept.mutable_multi_label_loss_param() = param.multi_label_loss_param();
    }
    if (param.multi_label_data_param().has_augmentation()) {
      *kept.mutable_multi_label_data_param()->mutable_augmentation() =
          param.multi_label_data_param().augmentation();
    }
    if (kept.ByteSizeLong() > 0) {
      kept.set_type(param.type());
      *learning.add_layer() = kept;
    }
  }
  return learning;
}

// What decides what is learned, without the files, the reports and the device.
std::string Schedule(const SolverParameter& solver, const NetParameter& learning) {
  SolverParameter schedule;
  schedule.set_type(solver.type());
  schedule.set_base_lr(solver.base_lr());
  schedule.set_lr_policy(solver.lr_policy());
  schedule.set_max_iter(solver.max_iter());
  schedule.set_iter_size(solver.iter_size());
  if (solver.has_gamma()) schedule.set_gamma(solver.gamma());
  if (solver.has_power()) schedule.set_power(solver.power());
  if (solver.has_stepsize()) schedule.set_stepsize(solver.stepsize());
  *schedule.mutable_stepvalue() = solver.stepvalue();
  if (solver.has_momentum()) schedule.set_momentum(solver.momentum());
  if (solver.has_momentum2()) schedule.set_momentum2(solver.momentum2());
  if (solver.has_rms_decay()) schedule.set_rms_decay(solver.rms_decay());
  if (solver.has_delta()) schedule.set_delta(solver.delta());
  if (solver.has_weight_decay()) schedule.set_weight_decay(solver.weight_decay());
  if (solver.has_regularization_type()) {
    schedule.set_regularization_type(solver.regularization_type());
  }
  if (solver.has_clip_gradients()) schedule.set_clip_gradients(solver.clip_gradients());
  if (solver.random_seed() >= 0) schedule.set_random_seed(solver.random_seed());
  if (learning.layer_size() > 0) *schedule.mutable_net_param() = learning;
  return schedule.ShortDebugString();
}

}  // namespace

Recipe RecipeOf(const NetParameter& net) {
  Recipe recipe;
  for (const LayerParameter& layer : net.layer()) {
    const std::string source = SourceOf(layer);
    if (source.empty()) {
      continue;
    }
    // Data that `drml prepare` did not make have no recipe.
    const std::string path = RecipeBeside(source);
    const bool has_file = Exists(path);
    if (has_file && !caffe::ReadProtoFromTextFile(path, &recipe)) {
      throw std::runtime_error(path + ": not a recipe; remove it, or prepare the data again");
    }
    if (has_file || net.has_recipe()) {
      ReadTransform(layer.transform_param(), recipe.mutable_input());
    }
    break;
  }
  Override(net.recipe(), &recipe);
  return recipe;
}

void TakeRecipe(const Recipe& of_weights, caffe::Phase phase, Recipe* recipe) {
  if (phase == caffe::TEST && !NamesOutputs(*recipe)) {
    *recipe = of_weights;
  }
}

template <typename Dtype>
void CompleteRecipe(const caffe::Net<Dtype>& net, const SolverParameter& solver, int iteration,
                    Recipe* recipe) {
  if (!NamesOutputs(*recipe)) {
    return;  // not one of ours
  }
  caffe::TrainingRecipe* training = recipe->mutable_training();
  training->set_iterations(iteration);
  training->set_solver(Schedule(solver, LearningOf(net)));
  for (size_t i = 0; i < net.layers().size(); ++i) {
    if (!SourceOf(net.layers()[i]->layer_param()).empty()) {
      const size_t batch = net.top_vecs()[i][0]->shape(0);
      training->set_images(batch * iteration * solver.iter_size() * caffe::Caffe::solver_count());
      break;
    }
  }
}

template void CompleteRecipe<float>(const caffe::Net<float>&, const SolverParameter&, int, Recipe*);
template void CompleteRecipe<double>(const caffe::Net<double>&, const SolverParameter&, int,
                                     Recipe*);

Recipe LoadRecipe(hid_t file, const std::string& path) {
  Recipe recipe;
  if (!recipe.ParseFromString(LoadBytes(file, kRecipeDataset))) {
    throw std::runtime_error(path + ": its dataset '" + kRecipeDataset + "' is not a recipe");
  }
  return recipe;
}

void SaveRecipe(const Recipe& recipe, hid_t file) {
  if (recipe.ByteSizeLong() > 0) {
    SaveBytes(file, kRecipeDataset, recipe.SerializeAsString());
  }
}

}  // namespace caffe_ext
