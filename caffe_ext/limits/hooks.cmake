# Where Caffe trusts a file or a prototxt: what is read has limits (docs/limits.md), and what does not fit is refused.

set(CAFFE_LIMITS_SOURCES
  "${CMAKE_CURRENT_LIST_DIR}/check_bottoms.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/check_net.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/ending.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/host_memory.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/image_end.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/images.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/lmdb_pages.cpp")

# --- How programs end: see ending.hpp. The tools include it by force (caffe.cmake).
caffe_include(src/caffe/common.cpp caffe/common.hpp limits/ending.hpp)
caffe_substitute(src/caffe/common.cpp
  "  ::google::InitGoogleLogging(*(pargv)[0]);"
  "  ::google::InitGoogleLogging(*(pargv)[0]);
  caffe_ext::EndOnFatalMessages();
  caffe_ext::EndOnExceptions();")
foreach(_tool compute_image_mean convert_imageset extract_features upgrade_net_proto_binary upgrade_net_proto_text
    upgrade_solver_proto_text)
  caffe_substitute(tools/${_tool}.cpp
    "  ::google::InitGoogleLogging(argv[0]);"
    "  ::google::InitGoogleLogging(argv[0]);
  caffe_ext::EndOnFatalMessages();
  caffe_ext::EndOnExceptions();")
endforeach()
caffe_include(python/caffe/_caffe.cpp caffe/caffe.hpp limits/ending.hpp)
caffe_substitute(python/caffe/_caffe.cpp
  "  ::google::InitGoogleLogging(\"\");"
  "  ::google::InitGoogleLogging(\"\");
  caffe_ext::EndOnFatalMessages();")
caffe_substitute(python/caffe/_caffe.cpp
  "BOOST_PYTHON_MODULE(_caffe) {"
  "BOOST_PYTHON_MODULE(_caffe) {
  caffe_ext::EndOnFatalMessages();")

foreach(_tool upgrade_net_proto_binary upgrade_net_proto_text upgrade_solver_proto_text)
  caffe_substitute(tools/${_tool}.cpp "    return 2;" "    return 1;")
endforeach()

# --- Memory. A blob that cannot fit, and all of them together.
caffe_include(src/caffe/blob.cpp caffe/util/math_functions.hpp limits/host_memory.hpp)
# Of an empty blob, too, layers count along the axes that are not empty.
caffe_substitute(src/caffe/blob.cpp
  "  count_ = 1;
  shape_.resize("
  "  count_ = 1;
  int extent = 1;
  shape_.resize(")
caffe_substitute(src/caffe/blob.cpp
  "    CHECK_GE(shape[i], 0);
    if (count_ != 0) {
      CHECK_LE(shape[i], INT_MAX / count_) << \"blob size exceeds INT_MAX\";"
  "    CHECK_GE(shape[i], 0) << caffe_ext::Whose() << \"axis \" << i << \" of a blob would have a negative size\";
    if (shape[i] != 0) {
      CHECK_LE(shape[i], INT_MAX / extent) << caffe_ext::Whose() << \"blob size exceeds INT_MAX\";
      extent *= shape[i];")
caffe_substitute(src/caffe/blob.cpp
  "  if (count_ > capacity_) {"
  "  if (count_ > capacity_) {
    caffe_ext::CheckBlobBytes(static_cast<size_t>(count_) * sizeof(Dtype));")
# Sizes have 64 bits in a file and 32 in a blob.
caffe_substitute(src/caffe/blob.cpp
  "    shape_vec[i] = shape.dim(i);"
  "    CHECK_LE(shape.dim(i), INT_MAX) << caffe_ext::Whose() << \"blob size exceeds INT_MAX\";
    CHECK_GE(shape.dim(i), 0) << caffe_ext::Whose() << \"axis \" << i << \" of a blob would have a negative size\";
    shape_vec[i] = shape.dim(i);")
caffe_substitute(src/caffe/blob.cpp
  "        shape[i] = proto.shape().dim(i);"
  "        CHECK_LE(proto.shape().dim(i), INT_MAX) << caffe_ext::Whose() << \"blob size exceeds INT_MAX\";
        CHECK_GE(proto.shape().dim(i), 0) << caffe_ext::Whose() << \"axis \" << i << \" of a blob would have a negative size\";
        shape[i] = proto.shape().dim(i);")
caffe_substitute(src/caffe/syncedmem.cpp
  "#include \"caffe/util/math_functions.hpp\""
  "#include \"caffe/util/math_functions.hpp\"
#include \"limits/host_memory.hpp\"
#define CaffeMallocHost caffe_ext::MallocHost
#define CaffeFreeHost caffe_ext::FreeHost")

# --- Nets and solvers: what they ask for is looked at by its parameters, and a layer's inputs by their shapes
# (check_net.hpp). Messages say which layer it was, whichever of them speaks.
caffe_include(src/caffe/net.cpp caffe/common.hpp limits/check_net.hpp limits/host_memory.hpp)
caffe_substitute(src/caffe/net.cpp
  "  FilterNet(in_param, &filtered_param);"
  "  FilterNet(in_param, &filtered_param);
  caffe_ext::CheckNet(filtered_param);")
caffe_substitute(src/caffe/net.cpp
  "    layers_[layer_id]->SetUp(bottom_vecs_[layer_id], top_vecs_[layer_id]);"
  "    {
      caffe_ext::LayerAtWork at_work(layer_param.type(), layer_param.name());
      caffe_ext::CheckBottoms(layer_param, bottom_vecs_[layer_id]);
      layers_[layer_id]->SetUp(bottom_vecs_[layer_id], top_vecs_[layer_id]);
    }")
set(_at_work "caffe_ext::LayerAtWork at_work(layers_[i]->layer_param().type(), layers_[i]->layer_param().name());")
foreach(_call "Dtype layer_loss = layers_[i]->Forward(bottom_vecs_[i], top_vecs_[i]);"
    "layers_[i]->Reshape(bottom_vecs_[i], top_vecs_[i]);")
  caffe_substitute(src/caffe/net.cpp "${_call}"
    "${_at_work}\n    caffe_ext::CheckBottoms(layers_[i]->layer_param(), bottom_vecs_[i]);\n    ${_call}")
endforeach()
caffe_substitute(src/caffe/net.cpp "layers_[i]->Backward(" "${_at_work}\n    layers_[i]->Backward(")
caffe_include(src/caffe/solver.cpp caffe/solver.hpp limits/check_net.hpp)
caffe_substitute(src/caffe/solver.cpp
  "  CHECK_GE(param_.average_loss(), 1) << \"average_loss should be non-negative.\";"
  "  caffe_ext::CheckSolver(param_);")

# A Python layer runs a module that the prototxt names.
caffe_substitute(src/caffe/layer_factory.cpp
  "  Py_Initialize();"
  "  const char* allowed = getenv(\"CAFFE_PYTHON_LAYERS\");
  CHECK(allowed && string(allowed) == \"1\")
      << \"layer '\" << param.name() << \"' is of type Python: it runs the code of module '\"
      << param.python_param().module() << \"'. If you trust this net, set CAFFE_PYTHON_LAYERS=1.\";
  Py_Initialize();")

# --- Labels and indices that come with the data. These layers check them in debug builds alone.
set(CAFFE_FILES_WITH_DEBUG_CHECKS
  src/caffe/layers/accuracy_layer.cpp src/caffe/layers/embed_layer.cpp src/caffe/layers/infogain_loss_layer.cpp
  src/caffe/layers/softmax_loss_layer.cpp)
foreach(_indent "    " "      ")
  caffe_substitute(src/caffe/layers/multinomial_logistic_loss_layer.cpp
    "\n${_indent}int label = static_cast<int>(bottom_label[i]);"
    "\n${_indent}int label = caffe_ext::ToIndex(bottom_label[i]);
    CHECK(label >= 0 && label < dim) << \"label \" << label << \" of \" << dim << \" classes\";")
  caffe_substitute(src/caffe/layers/hinge_loss_layer.cpp
    "\n${_indent}bottom_diff[i * dim + static_cast<int>(label[i])] *= -1;"
    "\n${_indent}CHECK(label[i] >= 0 && label[i] < dim) << \"label \" << label[i] << \" of \" << dim << \" classes\";
    bottom_diff[i * dim + static_cast<int>(label[i])] *= -1;")
  caffe_substitute(src/caffe/layers/embed_layer.cpp
    "\n${_indent}index = static_cast<int>(bottom_data[n]);" "\n${_indent}index = caffe_ext::ToIndex(bottom_data[n]);")
  caffe_substitute(src/caffe/layers/infogain_loss_layer.cpp
    "\n    ${_indent}static_cast<int>(bottom_label[i * inner_num_ + j]);"
    "\n    ${_indent}caffe_ext::ToIndex(bottom_label[i * inner_num_ + j]);")
  caffe_substitute(src/caffe/layers/softmax_loss_layer.cpp
    "\n  ${_indent}const int label_value = static_cast<int>(label[i * inner_num_ + j]);"
    "\n  ${_indent}const int label_value = caffe_ext::ToIndex(label[i * inner_num_ + j]);")
endforeach()
caffe_substitute(src/caffe/layers/accuracy_layer.cpp
  "static_cast<int>(bottom_label[i * inner_num_ + j])" "caffe_ext::ToIndex(bottom_label[i * inner_num_ + j])")
foreach(_index i j)
  caffe_substitute(src/caffe/layers/contrastive_loss_layer.cpp
    "static_cast<int>(bottom[2]->cpu_data()[${_index}])" "caffe_ext::ToIndex(bottom[2]->cpu_data()[${_index}])")
endforeach()
foreach(_layer accuracy contrastive_loss embed infogain_loss multinomial_logistic_loss pooling softmax_loss)
  caffe_include(src/caffe/layers/${_layer}_layer.cpp caffe/util/math_functions.hpp limits/limits.hpp)
endforeach()
# Layers that share their memory (Reshape, Split) let others write to what these read again in their backward pass.
caffe_substitute(src/caffe/layers/pooling_layer.cpp
  "            const int bottom_index =
                use_top_mask ? top_mask[index] : mask[index];"
  "            const int bottom_index =
                use_top_mask ? caffe_ext::ToIndex(top_mask[index]) : mask[index];
            CHECK(bottom_index >= 0 && bottom_index < height_ * width_)
                << \"the mask leads outside of the map: \" << bottom_index;")
caffe_substitute(src/caffe/layers/batch_reindex_layer.cpp
  "  int inner_dim = bottom[0]->count() / bottom[0]->shape(0);
  Dtype* bot_diff"
  "  check_batch_reindex(bottom[0]->shape(0), bottom[1]->count(), bottom[1]->cpu_data());
  int inner_dim = bottom[0]->count() / bottom[0]->shape(0);
  Dtype* bot_diff")
# Its backward pass checks a label before it looks whether that is the one to be ignored.
caffe_substitute(src/caffe/layers/infogain_loss_layer.cpp
  "        DCHECK_GE(label_value, 0);
        DCHECK_LT(label_value, num_labels_);
        if (has_ignore_label_"
  "        const bool ignored = has_ignore_label_ && label_value == ignore_label_;
        CHECK(ignored || (label_value >= 0 && label_value < num_labels_)) << \"label \" << label_value;
        if (has_ignore_label_")

# --- Sizes that only the layer itself knows.
caffe_substitute(src/caffe/layers/reshape_layer.cpp
  "    CHECK_EQ(0, bottom[0]->count() % explicit_count)"
  "    CHECK_GT(explicit_count, 0) << \"dim: -1 has no meaning for an empty blob\";
    CHECK_EQ(0, bottom[0]->count() % explicit_count)")
caffe_substitute(src/caffe/layers/pooling_layer.cpp
  "    CHECK_LT((pooled_height_ - 1) * stride_h_, height_ + pad_h_);
    CHECK_LT((pooled_width_ - 1) * stride_w_, width_ + pad_w_);
  }"
  "  }
  CHECK(pooled_height_ > 0 && pooled_width_ > 0 &&
        int64_t(pooled_height_ - 1) * stride_h_ < int64_t(height_) + pad_h_ &&
        int64_t(pooled_width_ - 1) * stride_w_ < int64_t(width_) + pad_w_)
      << \"windows of \" << kernel_h_ << \" x \" << kernel_w_ << \" at stride \" << stride_h_ << \" x \" << stride_w_
      << \" over a map of \" << height_ << \" x \" << width_ << \": the last would lie outside of it. A larger kernel, \"
      << \"a smaller stride or round_mode: FLOOR avoids that.\";")
caffe_substitute(src/caffe/layers/memory_data_layer.cpp
  "  CHECK_EQ(n % batch_size_, 0) << \"n must be a multiple of batch size\";"
  "  CHECK_GT(n, 0) << \"there are no data\";
  CHECK_EQ(n % batch_size_, 0) << \"n must be a multiple of batch size\";")
# Nothing may have been let through.
caffe_substitute(src/caffe/layers/filter_layer.cpp
  "      const int dim = top[i]->count() / top[i]->shape(0);"
  "      const int dim = bottom[i]->count() / bottom[i]->shape(0);")

# --- Records. The transformer reads as many values as the record's shape claims.
caffe_substitute(src/caffe/data_transformer.cpp
  "  const bool has_uint8 = data.size() > 0;"
  "  const bool has_uint8 = data.size() > 0;
  const double claimed = static_cast<double>(datum_channels) * datum_height * datum_width;
  CHECK(datum_height >= 0 && datum_width >= 0 &&
        claimed == (has_uint8 ? data.size() : static_cast<size_t>(datum.float_data_size())))
      << \"a datum of \" << datum_channels << \" x \" << datum_height << \" x \" << datum_width << \" has \"
      << data.size() << \" bytes of data and \" << datum.float_data_size() << \" values of float_data\";")
caffe_substitute(src/caffe/data_transformer.cpp
  "    data_mean_.FromProto(blob_proto);"
  "    CHECK_GT(blob_proto.data_size() + blob_proto.double_data_size(), 0)
        << \"mean_file '\" << mean_file << \"' has no values\";
    data_mean_.FromProto(blob_proto);")

# --- Images: see images.hpp.
caffe_include(src/caffe/util/io.cpp caffe/util/io.hpp limits/images.hpp limits/limits.hpp)
caffe_substitute(src/caffe/util/io.cpp
  "cv::imread(filename, cv_read_flag)" "caffe_ext::ReadImageOrLog(filename, cv_read_flag)")
foreach(_flags -1 cv_read_flag)
  caffe_substitute(src/caffe/util/io.cpp
    "cv::imdecode(vec_data, ${_flags})" "caffe_ext::DecodeImageOrLog(data, ${_flags})")
endforeach()
foreach(_layer image_data window_data)
  caffe_include(src/caffe/layers/${_layer}_layer.cpp caffe/util/rng.hpp limits/images.hpp limits/limits.hpp)
endforeach()
caffe_substitute(src/caffe/layers/window_data_layer.cpp
  "cv::imread(image.first, CV_LOAD_IMAGE_COLOR)" "caffe_ext::ReadImageOrLog(image.first, CV_LOAD_IMAGE_COLOR)")

# Pixels, and those of the mean, are written and read by these numbers.
caffe_substitute(src/caffe/layers/window_data_layer.cpp
  "  CHECK_GT(crop_size, 0);"
  "  CHECK_EQ(channels, 3) << \"the window file must say that images have three channels\";
  CHECK_GT(crop_size, 2 * int64_t(this->layer_param_.window_data_param().context_pad()));")
caffe_substitute(src/caffe/layers/window_data_layer.cpp
  "    data_mean_.FromProto(blob_proto);"
  "    data_mean_.FromProto(blob_proto);
    CHECK(data_mean_.channels() == channels && data_mean_.width() >= crop_size &&
          data_mean_.height() >= (data_mean_.width() - crop_size) / 2 + crop_size)
        << \"mean_file '\" << mean_file << \"' is smaller than a crop: \" << data_mean_.shape_string();")
caffe_substitute(src/caffe/layers/window_data_layer.cpp
  "      LOG(ERROR) << \"Could not open or find file \" << image_path;
        return;"
  "      LOG(FATAL) << \"Could not open or find file \" << image_path;")
caffe_substitute(src/caffe/layers/window_data_layer.cpp
  "    CHECK_EQ(hashtag, \"#\");"
  "    CHECK_EQ(hashtag, \"#\");
    CHECK_EQ(image_index, image_database_.size()) << \"the window file must number its images from 0\";")
caffe_substitute(src/caffe/layers/window_data_layer.cpp
  "      infile >> label >> overlap >> x1 >> y1 >> x2 >> y2;"
  "      infile >> label >> overlap >> x1 >> y1 >> x2 >> y2;
      CHECK(infile) << \"the window file has fewer windows than it says\";")

# --- Lists.
set(_check_list "
  const string list_fault = caffe_ext::FileFault(list, caffe_ext::kMaxListBytes);
  CHECK(list_fault.empty()) << \"list '\" << list << \"': \" << list_fault;")
caffe_substitute(src/caffe/layers/image_data_layer.cpp
  "  LOG(INFO) << \"Opening file \" << source;"
  "  LOG(INFO) << \"Opening file \" << source;
  const string& list = source;${_check_list}")
caffe_substitute(src/caffe/layers/hdf5_data_layer.cpp
  "  LOG(INFO) << \"Loading list of HDF5 filenames from: \" << source;"
  "  LOG(INFO) << \"Loading list of HDF5 filenames from: \" << source;
  const string& list = source;${_check_list}")
caffe_include(src/caffe/layers/hdf5_data_layer.cpp caffe/util/hdf5.hpp limits/images.hpp limits/limits.hpp)
caffe_substitute(src/caffe/layers/window_data_layer.cpp
  "  std::ifstream infile("
  "  const string& list = this->layer_param_.window_data_param().source();${_check_list}
  std::ifstream infile(")

# --- Messages as text.
caffe_substitute(src/caffe/util/io.cpp
  "  bool success = google::protobuf::TextFormat::Parse(input, proto);"
  "  bool success;
  {
    google::protobuf::io::LimitingInputStream limited(input, caffe_ext::kMaxTextBytes + 1);
    success = google::protobuf::TextFormat::Parse(&limited, proto);
    CHECK_LE(limited.ByteCount(), caffe_ext::kMaxTextBytes)
        << filename << \" is larger than a prototxt may be, \" << caffe_ext::kMaxTextBytes << \" bytes\";
  }")

# Inputs in the old way, whose sizes would be read beyond their end.
caffe_substitute(src/caffe/util/upgrade_proto.cpp
  "    // Convert input fields into a layer."
  "    const int shapes = has_shape ? net_param->input_shape_size() : net_param->input_dim_size() / 4;
    CHECK_LE(net_param->input_size(), shapes)
        << \"the net names more inputs than it gives \" << (has_shape ? \"input_shape\" : \"four input_dim each\");
    // Convert input fields into a layer.")

# --- LMDBs: see lmdb_pages.hpp. Without LMDB's lock, a file of the folder that would be trusted as well.
caffe_include(src/caffe/util/db_lmdb.cpp caffe/util/db_lmdb.hpp limits/lmdb_pages.hpp)
caffe_substitute(src/caffe/util/db_lmdb.cpp
  "    flags = MDB_RDONLY | MDB_NOTLS;"
  "    flags = MDB_RDONLY | MDB_NOTLS | MDB_NOLOCK;
    const string fault = caffe_ext::LmdbPagesFault(source + \"/data.mdb\");
    CHECK(fault.empty()) << \"LMDB '\" << source << \"' \" << fault << \".\";")

# --- Solver states. A history of another shape than its parameter would be read beyond its end.
caffe_substitute(src/caffe/solvers/sgd_solver.cpp
  "    history_[i]->FromProto(state.history(i));"
  "    CHECK(history_[i]->ShapeEquals(state.history(i)))
        << \"history \" << i << \" has another shape than its parameter, \" << history_[i]->shape_string();
    history_[i]->FromProto(state.history(i));")

# --- HDF5.
caffe_substitute(src/caffe/util/hdf5.cpp
  "#include <string>"
  "#include <climits>
#include <string>")
caffe_substitute(src/caffe/util/hdf5.cpp
  "    blob_dims[i] = dims[i];"
  "    CHECK_GT(dims[i], 0) << \"HDF5 dataset \" << dataset_name_ << \" has no values\";
    CHECK_LE(dims[i], INT_MAX) << \"HDF5 dataset \" << dataset_name_ << \" is larger than a blob can be\";
    blob_dims[i] = dims[i];")
caffe_substitute(src/caffe/util/hdf5.cpp
  "string hdf5_load_string(hid_t loc_id, const string& dataset_name) {"
  "// How many values a dataset has: memory is there for one.
static hssize_t hdf5_num_values(hid_t loc_id, const string& dataset_name) {
  const hid_t dataset = H5Dopen2(loc_id, dataset_name.c_str(), H5P_DEFAULT);
  CHECK_GE(dataset, 0) << \"Failed to find HDF5 dataset \" << dataset_name;
  const hid_t space = H5Dget_space(dataset);
  const hssize_t values = H5Sget_simple_extent_npoints(space);
  H5Sclose(space);
  H5Dclose(dataset);
  return values;
}

string hdf5_load_string(hid_t loc_id, const string& dataset_name) {")
caffe_substitute(src/caffe/util/hdf5.cpp
  "  char *buf = new char[size];"
  "  CHECK(class_ == H5T_STRING && size < 1 << 16 && hdf5_num_values(loc_id, dataset_name) == 1)
      << \"HDF5 dataset \" << dataset_name << \" is not one string\";
  char *buf = new char[size + 1];
  buf[size] = 0;")
caffe_substitute(src/caffe/util/hdf5.cpp
  "  int val;
  herr_t status = H5LTread_dataset_int("
  "  int val;
  CHECK_EQ(hdf5_num_values(loc_id, dataset_name), 1) << \"HDF5 dataset \" << dataset_name << \" is not one number\";
  herr_t status = H5LTread_dataset_int(")

# Rows that are shorter than the first file's would be read beyond their end.
caffe_substitute(include/caffe/layers/hdf5_data_layer.hpp
  "  std::vector<std::string> hdf_filenames_;"
  "  std::vector<std::string> hdf_filenames_;
  std::vector<std::vector<int> > row_shapes_;  // by top, of the file that came first")
caffe_substitute(src/caffe/layers/hdf5_data_layer.cpp
  "  const int num = hdf_blobs_[0]->shape(0);"
  "  const int num = hdf_blobs_[0]->shape(0);
  for (int i = 0; i < top_size; ++i) {
    const vector<int> row(hdf_blobs_[i]->shape().begin() + 1, hdf_blobs_[i]->shape().end());
    if (row_shapes_.size() <= i) {
      row_shapes_.push_back(row);
    }
    CHECK(row == row_shapes_[i]) << filename << \": the rows of '\" << this->layer_param_.top(i)
        << \"' have another shape than the first file's: \" << hdf_blobs_[i]->shape_string();
  }")

# --- What is not finite reaches the output (docs/limits.md): comparisons pass over NaN, and so do max and min of CUDA
# and, with the value as second argument, of C++.
caffe_substitute(src/caffe/layers/pooling_layer.cpp
  "                if (bottom_data[index] > top_data[pool_index]) {"
  "                if ((h == hstart && w == wstart) || bottom_data[index] > top_data[pool_index] ||
                    bottom_data[index] != bottom_data[index]) {")
caffe_substitute(src/caffe/layers/pooling_layer.cu
  "        if (bottom_slice[h * width + w] > maxval) {"
  "        const Dtype value = bottom_slice[h * width + w];
        if (maxidx < 0 || value > maxval || value != value) {")
caffe_substitute(src/caffe/layers/eltwise_layer.cpp
  "if (bottom_data_a[idx] > bottom_data_b[idx]) {"
  "if (bottom_data_a[idx] > bottom_data_b[idx] || bottom_data_a[idx] != bottom_data_a[idx]) {")
caffe_substitute(src/caffe/layers/eltwise_layer.cpp
  "if (bottom_data_b[idx] > top_data[idx]) {"
  "if (bottom_data_b[idx] > top_data[idx] || bottom_data_b[idx] != bottom_data_b[idx]) {")
caffe_substitute(src/caffe/layers/eltwise_layer.cu
  "if (bottom_data_a[index] > bottom_data_b[index]) {"
  "if (bottom_data_a[index] > bottom_data_b[index] || bottom_data_a[index] != bottom_data_a[index]) {")
caffe_substitute(src/caffe/layers/hinge_loss_layer.cpp
  "        Dtype(0), 1 + bottom_diff[i * dim + j]);" "        1 + bottom_diff[i * dim + j], Dtype(0));")
caffe_substitute(src/caffe/layers/clip_layer.cpp
  "std::max(min, std::min(bottom_data[i], max))" "std::max(std::min(bottom_data[i], max), min)")
caffe_substitute(src/caffe/layers/clip_layer.cu
  "fmax(p_min, fmin(in[index], p_max))" "in[index] != in[index] ? in[index] : fmax(p_min, fmin(in[index], p_max))")
caffe_substitute(src/caffe/layers/threshold_layer.cpp
  "(bottom_data[i] > threshold_) ? Dtype(1) : Dtype(0);"
  "bottom_data[i] != bottom_data[i] ? bottom_data[i] : Dtype(bottom_data[i] > threshold_);")
caffe_substitute(src/caffe/layers/threshold_layer.cu
  "in[index] > threshold ? 1 : 0;" "in[index] != in[index] ? in[index] : Dtype(in[index] > threshold);")
caffe_substitute(src/caffe/layers/softmax_loss_layer.cu
  "      loss[index] = -log(max(prob_data[n * dim + label_value * spatial_dim + s],
                      Dtype(FLT_MIN)));"
  "      const Dtype prob = prob_data[n * dim + label_value * spatial_dim + s];
      loss[index] = prob != prob ? prob : -log(max(prob, Dtype(FLT_MIN)));")
# An accuracy over NaN is NaN; the largest of values with a NaN is the NaN, as in NumPy.
caffe_substitute(src/caffe/layers/accuracy_layer.cpp
  "        num_better_predictions +=
          (bottom_data[i * dim + k * inner_num_ + j] >= prob_of_true_class);"
  "        const Dtype other = bottom_data[i * dim + k * inner_num_ + j];
        num_better_predictions += other >= prob_of_true_class;
        accuracy += other != other || prob_of_true_class != prob_of_true_class ? Dtype(NAN) : 0;")
caffe_substitute(src/caffe/layers/argmax_layer.cpp
  "std::greater<std::pair<Dtype, int> >());"
  "[](const std::pair<Dtype, int>& a, const std::pair<Dtype, int>& b) {
          const bool a_nan = a.first != a.first, b_nan = b.first != b.first;
          return a_nan != b_nan ? a_nan : a_nan ? a.second > b.second : a > b;
        });")
# OpenBLAS takes a factor of NaN for 0, and 0 times NaN for 0.
foreach(_call "cblas_sscal(N, alpha, X, 1)" "cblas_dscal(N, alpha, X, 1)" "cblas_sscal(n, alpha, y, 1)"
    "cblas_dscal(n, alpha, y, 1)")
  string(REGEX REPLACE "^[^(]*.(.), alpha, (.),.*$" "for (int i = 0; i < \\1; ++i) { \\2[i] *= alpha; }" _loop "${_call}")
  caffe_substitute(src/caffe/util/math_functions.cpp "  ${_call};"
    "  if (alpha == 0 || alpha != alpha) {
    ${_loop}
    return;
  }
  ${_call};")
endforeach()
