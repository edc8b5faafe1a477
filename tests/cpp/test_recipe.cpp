// The recipe of a net: where it comes from, what a snapshot adds, and the files that carry it.
#include <fstream>
#include <stdexcept>
#include <string>

#include "caffe/sgd_solvers.hpp"
#include "caffe/util/hdf5.hpp"
#include "caffe/util/upgrade_proto.hpp"
#include "multi_label_data_fixture.hpp"
#include "recipe/recipe.hpp"

namespace caffe {

const char kRecipeText[] = R"(
  au: 4 au: 5 au: 9 au: 20 au: 25
  labels: "as coded"
  input { face_size: 8 }
  registration { points: "detector" target: 0.25 target: 0.5 }
  data { name: "DISFA" split: "fold 1 of 3" records: 23 }
  program: "drml"
)";

const char kRecipeNet[] = R"(
  name: "tested"
  layer { name: "faces" type: "MultiLabelData" top: "data" top: "label"
    transform_param { crop_size: 6 scale: 0.5 $TRANSFORM }
    multi_label_data_param { source: "$SOURCE" batch_size: 4 } }
  layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
    inner_product_param { num_output: 5 weight_filler { type: "constant" } } }
  layer { name: "loss" type: "MultiLabelSigmoidCrossEntropyLoss" bottom: "fc" bottom: "label"
    top: "loss" }
)";

const char kDeployNet[] = R"(
  name: "tested"
  layer { name: "data" type: "Input" top: "data"
    input_param { shape { dim: 1 dim: 3 dim: 6 dim: 6 } } }
  layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
    inner_product_param { num_output: 5 weight_filler { type: "constant" } } }
)";

template <typename Message>
static Message Parse(const string& text) {
  Message message;
  CHECK(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

static string Replaced(string text, const string& what, const string& by) {
  text.replace(text.find(what), what.size(), by);
  return text;
}

class RecipeTest : public ::testing::Test {
 protected:
  RecipeTest() : source_(folder_ / "train_lmdb") {}

  void WriteText(const string& name, const string& text) const {
    std::ofstream((folder_ / name).c_str()) << text;
  }
  void WriteRecipe() const { WriteText(caffe_ext::kRecipeFile, kRecipeText); }

  NetParameter Param(const string& source, const string& transform = "") const {
    return Parse<NetParameter>(
        Replaced(Replaced(kRecipeNet, "$TRANSFORM", transform), "$SOURCE", source));
  }
  NetParameter Param() const { return Param(source_); }

  string MeanFile() const {
    const string path = folder_ / "mean.binaryproto";
    WriteMean(path, kHeight, kWidth, [](int, int y, int x) { return kWidth * y + x; });
    return path;
  }

  TempDir folder_;
  string source_;
};

TEST_F(RecipeTest, ComesFromTheFolderOfTheData) {
  EXPECT_EQ(caffe_ext::RecipeOf(Param()).ByteSizeLong(), 0);
  WriteRecipe();
  for (const string& source : {source_, source_ + "/", source_ + "//"}) {
    const Recipe recipe = caffe_ext::RecipeOf(Param(source));
    ASSERT_EQ(recipe.au_size(), 5);
    EXPECT_EQ(recipe.au(1), 5);
    EXPECT_EQ(recipe.data().name(), "DISFA");
    EXPECT_EQ(recipe.registration().points(), "detector");
  }
}

TEST_F(RecipeTest, TheDataLayerCompletesIt) {
  WriteRecipe();
  Recipe recipe = caffe_ext::RecipeOf(Param());
  EXPECT_EQ(recipe.input().face_size(), 8);
  EXPECT_EQ(recipe.input().crop_size(), 6);
  EXPECT_EQ(recipe.input().scale(), .5f);
  EXPECT_FALSE(recipe.input().has_mean());
  recipe = caffe_ext::RecipeOf(Param(source_, "mean_value: 1 mean_value: 2 mean_value: 3"));
  ASSERT_EQ(recipe.input().mean_value_size(), 3);
  EXPECT_EQ(recipe.input().mean_value(2), 3);
  recipe = caffe_ext::RecipeOf(Param(source_, "mean_file: \"" + MeanFile() + "\""));
  ASSERT_EQ(recipe.input().mean().data_size(), 240);
  EXPECT_EQ(recipe.input().mean().data(7), 7);
}

TEST_F(RecipeTest, ThePrototxtOverridesIt) {
  WriteRecipe();
  NetParameter param = Param();
  *param.mutable_recipe() = Parse<Recipe>(
      "au: 1 au: 2 program: 'drml (training)' training { start: 'other' } input { scale: 0.25 }");
  const Recipe recipe = caffe_ext::RecipeOf(param);
  ASSERT_EQ(recipe.au_size(), 2);
  EXPECT_EQ(recipe.au(0), 1);
  EXPECT_EQ(recipe.input().scale(), .25f);
  EXPECT_EQ(recipe.input().crop_size(), 6);
  EXPECT_EQ(recipe.training().start(), "other");
  EXPECT_EQ(recipe.labels(), "as coded");
  ASSERT_EQ(recipe.program_size(), 2);
  EXPECT_EQ(recipe.program(1), "drml (training)");
}

// A net for intensities on data that have both, and the other way round: what the net names is all
// that it has.
TEST_F(RecipeTest, OutputsAreReplacedTogether) {
  WriteRecipe();
  NetParameter param = Param();
  *param.mutable_recipe() = Parse<Recipe>("intensity_au: 6 intensity_au: 12");
  Recipe recipe = caffe_ext::RecipeOf(param);
  EXPECT_EQ(recipe.au_size(), 0);
  ASSERT_EQ(recipe.intensity_au_size(), 2);
  EXPECT_EQ(recipe.intensity_au(1), 12);
  EXPECT_EQ(recipe.labels(), "as coded");

  WriteText(caffe_ext::kRecipeFile, "au: 4 au: 5 intensity_au: 4 labels: 'both'");
  recipe = caffe_ext::RecipeOf(Param());
  EXPECT_EQ(recipe.au_size(), 2);
  EXPECT_EQ(recipe.intensity_au_size(), 1);
  *param.mutable_recipe() = Parse<Recipe>("au: 1");
  recipe = caffe_ext::RecipeOf(param);
  ASSERT_EQ(recipe.au_size(), 1);
  EXPECT_EQ(recipe.au(0), 1);
  EXPECT_EQ(recipe.intensity_au_size(), 0);

  recipe = Parse<Recipe>("intensity_au: 4");
  caffe_ext::TakeRecipe(Parse<Recipe>("au: 1 au: 2"), TEST, &recipe);
  EXPECT_EQ(recipe.au_size(), 0);
  EXPECT_EQ(recipe.intensity_au_size(), 1);
}

TEST_F(RecipeTest, WithoutAFileTheLayerStillCountsWhereThePrototxtHasARecipe) {
  NetParameter param = Param();
  param.mutable_recipe()->add_au(12);
  const Recipe recipe = caffe_ext::RecipeOf(param);
  EXPECT_EQ(recipe.au(0), 12);
  EXPECT_EQ(recipe.input().crop_size(), 6);
  EXPECT_EQ(recipe.input().scale(), .5f);
}

TEST_F(RecipeTest, DamagedFilesAreNamed) {
  WriteText(caffe_ext::kRecipeFile, "no recipe");
  try {
    caffe_ext::RecipeOf(Param());
    ADD_FAILURE() << "accepted";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(string(error.what()).find("recipe.prototxt"), string::npos) << error.what();
  }
  WriteRecipe();
  WriteText("junk.binaryproto", "\xff\xff\xff");
  try {
    caffe_ext::RecipeOf(Param(source_, "mean_file: \"" + folder_ / "junk.binaryproto" + "\""));
    ADD_FAILURE() << "accepted";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(string(error.what()).find("junk.binaryproto"), string::npos) << error.what();
  }
}

TEST_F(RecipeTest, OnlyANetInTestTakesThatOfWeights) {
  const Recipe stored = Parse<Recipe>("au: 1 au: 2");
  const Recipe own = Parse<Recipe>("au: 4");
  Recipe recipe;
  caffe_ext::TakeRecipe(stored, TRAIN, &recipe);
  EXPECT_EQ(recipe.au_size(), 0);
  caffe_ext::TakeRecipe(stored, TEST, &recipe);
  EXPECT_EQ(recipe.au_size(), 2);
  recipe = own;
  caffe_ext::TakeRecipe(stored, TEST, &recipe);
  ASSERT_EQ(recipe.au_size(), 1);
  EXPECT_EQ(recipe.au(0), 4);
}

TEST_F(RecipeTest, SnapshotsSayHowLongTheNetWasTrainedAndNetsKeepTheRecipe) {
  WriteLmdb(source_, MakeEntries());
  WriteRecipe();
  for (const bool hdf5 : {false, true}) {
    SolverParameter solver = Parse<SolverParameter>(
        "base_lr: 0.01 lr_policy: 'fixed' max_iter: 3 iter_size: 2 display: 0 random_seed: 5");
    *solver.mutable_train_net_param() = Param();
    solver.set_snapshot_prefix(folder_ / "net");
    solver.set_solver_mode(SolverParameter_SolverMode_CPU);
    solver.set_snapshot_format(hdf5 ? SolverParameter_SnapshotFormat_HDF5
                                    : SolverParameter_SnapshotFormat_BINARYPROTO);
    SGDSolver<float>(solver).Solve();
    const string weights = folder_ / (hdf5 ? "net_iter_3.caffemodel.h5" : "net_iter_3.caffemodel");

    NetParameter deploy = Parse<NetParameter>(kDeployNet);
    deploy.mutable_state()->set_phase(TEST);
    Net<float> net(deploy);
    EXPECT_EQ(net.recipe().ByteSizeLong(), 0);
    net.CopyTrainedLayersFrom(weights);
    ASSERT_EQ(net.recipe().au_size(), 5);
    EXPECT_EQ(net.recipe().au(3), 20);
    EXPECT_EQ(net.recipe().training().iterations(), 3);
    EXPECT_EQ(net.recipe().training().images(), 4 * 3 * 2);
    const string& schedule = net.recipe().training().solver();
    EXPECT_NE(schedule.find("random_seed: 5"), string::npos) << schedule;
    EXPECT_EQ(schedule.find("snapshot"), string::npos) << schedule;

    // What a net saves has it as well, in either form.
    NetParameter saved;
    net.ToProto(&saved);
    EXPECT_EQ(saved.recipe().SerializeAsString(), net.recipe().SerializeAsString());
    net.ToHDF5(folder_ / "again.h5");
    Net<float> again(deploy);
    again.CopyTrainedLayersFrom(folder_ / "again.h5");
    EXPECT_EQ(again.recipe().SerializeAsString(), net.recipe().SerializeAsString());
  }
}

// What the net adds to the solver's settings: class weights and augmentation.
TEST_F(RecipeTest, SnapshotsSayWhatElseDecidesWhatIsLearned) {
  WriteLmdb(source_, MakeEntries());
  WriteRecipe();
  SolverParameter solver =
      Parse<SolverParameter>("base_lr: 0.01 lr_policy: 'fixed' max_iter: 1 display: 0");
  NetParameter* net = solver.mutable_train_net_param();
  *net = Param();
  net->mutable_layer(0)->mutable_multi_label_data_param()->mutable_augmentation()->set_hue(7);
  for (float weight : {2.f, .5f, .25f, 1.f, 3.f}) {
    net->mutable_layer(2)->mutable_multi_label_loss_param()->add_pos_weight(weight);
  }
  solver.set_snapshot_prefix(folder_ / "net");
  solver.set_solver_mode(SolverParameter_SolverMode_CPU);
  SGDSolver<float>(solver).Solve();
  NetParameter saved;
  ReadNetParamsFromBinaryFileOrDie(folder_ / "net_iter_1.caffemodel", &saved);
  const SolverParameter schedule = Parse<SolverParameter>(saved.recipe().training().solver());
  EXPECT_FLOAT_EQ(schedule.base_lr(), .01f);
  ASSERT_EQ(schedule.net_param().layer_size(), 2);
  EXPECT_EQ(schedule.net_param().layer(0).multi_label_data_param().ShortDebugString(),
            "augmentation { hue: 7 }");
  ASSERT_EQ(schedule.net_param().layer(1).multi_label_loss_param().pos_weight_size(), 5);
  EXPECT_EQ(schedule.net_param().layer(1).multi_label_loss_param().pos_weight(4), 3);
}

TEST_F(RecipeTest, ANetWithoutARecipeWritesNone) {
  NetParameter deploy = Parse<NetParameter>(kDeployNet);
  deploy.mutable_state()->set_phase(TEST);
  Net<float> net(deploy);
  NetParameter saved;
  net.ToProto(&saved);
  EXPECT_FALSE(saved.has_recipe());
  net.ToHDF5(folder_ / "none.h5");
  const hid_t file = H5Fopen((folder_ / "none.h5").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  EXPECT_EQ(H5Lexists(file, caffe_ext::kRecipeDataset, H5P_DEFAULT), 0);
  H5Fclose(file);
}

}  // namespace caffe
