# Where nets keep their recipe (recipe.hpp): read at set-up, written with the weights, completed by the solver.
caffe_substitute(include/caffe/net.hpp
  "  inline const string& name() const { return name_; }"
  "  inline const string& name() const { return name_; }
  /// What must be known of the net to use it; see recipe/recipe.hpp.
  inline const Recipe& recipe() const { return recipe_; }
  inline Recipe* mutable_recipe() { return &recipe_; }")
caffe_substitute(include/caffe/net.hpp
  "  string name_;"
  "  string name_;
  Recipe recipe_;")
caffe_include(src/caffe/net.cpp caffe/net.hpp recipe/recipe.hpp)
caffe_substitute(src/caffe/net.cpp
  "  name_ = param.name();"
  "  name_ = param.name();
  recipe_ = caffe_ext::RecipeOf(param);")
caffe_substitute(src/caffe/net.cpp
  "  int num_source_layers = param.layer_size();"
  "  caffe_ext::TakeRecipe(param.recipe(), phase_, &recipe_);
  int num_source_layers = param.layer_size();")
caffe_substitute(src/caffe/net.cpp
  "  hid_t data_hid = H5Gopen2(file_hid, \"data\", H5P_DEFAULT);
  CHECK_GE(data_hid, 0) << \"Error reading weights from \" << trained_filename;"
  "  caffe_ext::TakeRecipe(caffe_ext::LoadRecipe(file_hid, trained_filename), phase_, &recipe_);
  hid_t data_hid = H5Gopen2(file_hid, \"data\", H5P_DEFAULT);
  CHECK_GE(data_hid, 0) << \"Error reading weights from \" << trained_filename;")
caffe_substitute(src/caffe/net.cpp
  "  param->set_name(name_);"
  "  param->set_name(name_);
  if (recipe_.ByteSizeLong() > 0) {
    *param->mutable_recipe() = recipe_;
  }")
caffe_substitute(src/caffe/net.cpp
  "  caffe_ext::WriteHdf5(file_hid, filename);"
  "  caffe_ext::SaveRecipe(recipe_, file_hid);
  caffe_ext::WriteHdf5(file_hid, filename);")
caffe_include(src/caffe/solver.cpp caffe/solver.hpp recipe/recipe.hpp)
caffe_substitute(src/caffe/solver.cpp
  "  CHECK(Caffe::root_solver());
  string model_filename;"
  "  CHECK(Caffe::root_solver());
  caffe_ext::CompleteRecipe(*net_, param_, iter_, net_->mutable_recipe());
  string model_filename;")
