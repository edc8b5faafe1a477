# Where exact resume, whole files and the watch over the loss reach into Caffe.

# --- Files appear whole or not at all (training/whole_file.hpp).
caffe_include(src/caffe/util/io.cpp caffe/util/io.hpp training/whole_file.hpp)
caffe_substitute(src/caffe/util/io.cpp
  "  fstream output(filename, ios::out | ios::trunc | ios::binary);
  CHECK(proto.SerializeToOstream(&output));"
  "  caffe_ext::WriteWhole(filename, [&proto](int file) { caffe_ext::WriteMessage(proto, file); });")
caffe_include(src/caffe/net.cpp caffe/util/upgrade_proto.hpp training/hdf5_in_memory.hpp)
caffe_substitute(src/caffe/net.cpp
  "  hid_t file_hid = H5Fcreate(filename.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT,
      H5P_DEFAULT);"
  "  hid_t file_hid = caffe_ext::CreateHdf5InMemory();")
caffe_substitute(src/caffe/net.cpp
  "    H5Gclose(diff_hid);
  }
  H5Fclose(file_hid);
// This code is taken from https://github.com/sh1r0/caffe-android-lib
#else
  LOG(FATAL) << \"ToHDF5"
  "    H5Gclose(diff_hid);
  }
  caffe_ext::WriteHdf5(file_hid, filename);
#else
  LOG(FATAL) << \"ToHDF5")

# --- A snapshot holds all that a run needs to go on (training/solver.cpp, training/snapshot_files.hpp).
caffe_substitute(include/caffe/solver.hpp
  "  const vector<Callback*>& callbacks() const { return callbacks_; }"
  "  // Our additions, in training/solver.cpp.

  // What this rank needs to go on from here exactly.
  RankState SaveRank() const;
  // To be called by every rank, before rank 0 takes a snapshot.
  void CollectRanks();
  // Takes a snapshot; where it cannot be written, says so and returns false. For rank 0.
  bool TrySnapshot();
  // The one after the last iteration: waits for a while where it cannot be written, then throws.
  void FinalSnapshot();
  bool FinalSnapshotDue() const {
    return param_.snapshot_after_train() && (!param_.snapshot() || iter_ % param_.snapshot() != 0);
  }

  const vector<Callback*>& callbacks() const { return callbacks_; }")
caffe_substitute(include/caffe/solver.hpp
  "    virtual void on_gradients_ready() = 0;"
  "    virtual void on_gradients_ready() = 0;
    // Behind the backward pass: fault tells what is wrong with this rank's loss, \"\" if nothing is.
    // Returns \"\" where no rank's is wrong; rank 0 is to have what the others tell.
    virtual string on_loss(const string& fault) { return fault; }
    // Behind a loss that was wrong, when rank 0 has kept what there is, and before all stop.
    virtual void on_wrong_loss() {}
    // Before a snapshot: states holds this rank's; rank 0 is to have those of all, in their order.
    virtual void on_snapshot(vector<RankState>* states) {}")
caffe_substitute(include/caffe/solver.hpp
  "  string SnapshotFilename(const string& extension);"
  "  // Writes what a solver keeps in state, and our own part of it.
  void WriteSolverState(SolverState* state, const string& filename, const string& model_filename);
  string ResumeBytes(const string& model_filename);
  void ReadResume(const string& state_filename, const string& bytes);
  // Continues where the snapshot that was read says.
  void GoOn();
  void RestoreRank(const RankState& state);
  // Stops training where the loss is not finite; see SolverParameter.stop_at_nonfinite_loss.
  void CheckLoss(Dtype loss);
  string DescribeNonfinite();
  void FillResume(const string& model_filename, ResumeState* resume);

  ResumeState resume_;  // of the snapshot that is being read
  vector<RankState> ranks_;  // for the snapshot that is being taken
  vector<RankState> failed_ranks_;  // for the last one, where it could not be written
  bool losses_restored_ = false;
  int loss_start_iter_ = 0;
  // Where the test nets stood when the test began that is going on; empty outside of tests.
  vector<LayerState> before_test_;
  string snapshot_mark_;  // in the names of a snapshot that is not to go on from
  string last_snapshot_;
  bool nonfinite_told_ = false;

  string SnapshotFilename(const string& extension);")
caffe_substitute(src/caffe/solver.cpp
  "  const int start_iter = iter_;
  const int stop_iter"
  "  const int start_iter = losses_restored_ ? loss_start_iter_ : iter_;
  loss_start_iter_ = start_iter;
  const int stop_iter")
caffe_substitute(src/caffe/solver.cpp
  "  losses_.clear();
  smoothed_loss_ = 0;"
  "  if (!losses_restored_) {
    losses_.clear();
    smoothed_loss_ = 0;
  }
  losses_restored_ = false;
  before_test_.clear();  // of a test that was stopped, and begins anew")
caffe_substitute(src/caffe/solver.cpp
  "    loss /= param_.iter_size();"
  "    loss /= param_.iter_size();
    CheckLoss(loss);")
caffe_substitute(src/caffe/solver.cpp
  "         && iter_ % param_.snapshot() == 0
         && Caffe::root_solver()) ||
         (request == SolverAction::SNAPSHOT)) {
      Snapshot();
    }"
  "         && iter_ % param_.snapshot() == 0) ||
         (request == SolverAction::SNAPSHOT)) {
      CollectRanks();
      if (Caffe::root_solver()) {
        TrySnapshot();
      }
    }")
caffe_substitute(src/caffe/solver.cpp
  "  int start_iter = iter_;
  Step(param_.max_iter() - iter_);"
  "  Step(param_.max_iter() - iter_);")
caffe_substitute(src/caffe/solver.cpp
  "  if (param_.snapshot_after_train()
      && (!param_.snapshot() || iter_ % param_.snapshot() != 0)) {
    Snapshot();
  }"
  "  if (FinalSnapshotDue()) {
    CollectRanks();
    FinalSnapshot();
  } else if (param_.snapshot_after_train() && !failed_ranks_.empty()) {
    ranks_ = failed_ranks_;
    FinalSnapshot();
  }")
caffe_substitute(src/caffe/solver.cpp
  "    UpdateSmoothedLoss(loss, start_iter, average_loss);

    LOG(INFO) << \"Iteration \" << iter_ << \", loss"
  "    UpdateSmoothedLoss(loss, loss_start_iter_, average_loss);

    LOG(INFO) << \"Iteration \" << iter_ << \", loss")
caffe_substitute(src/caffe/solver.cpp
  "        if (SolverAction::SNAPSHOT == request) {
          Snapshot();"
  "        if (SolverAction::SNAPSHOT == request) {
          TrySnapshot();")
# A test pass begins at the first record, and test_iter: 0 stands for all of them (training/test_pass.hpp).
caffe_include(src/caffe/solver.cpp caffe/solver.hpp training/test_pass.hpp)
caffe_substitute(src/caffe/solver.cpp
  "  for (int i = 0; i < param_.test_iter(test_net_id); ++i) {"
  "  const int test_iter = caffe_ext::BeginTestPass(*test_net, param_.test_iter(test_net_id));
  for (int i = 0; i < test_iter; ++i) {")
caffe_substitute(src/caffe/solver.cpp
  "    loss /= param_.test_iter(test_net_id);"
  "    loss /= test_iter;")
caffe_substitute(src/caffe/solver.cpp
  "test_score[i] / param_.test_iter(test_net_id);"
  "test_score[i] / test_iter;")
caffe_substitute(src/caffe/solver.cpp
  "void Solver<Dtype>::TestAll() {"
  "void Solver<Dtype>::TestAll() {
  const RankState before = SaveRank();
  before_test_.assign(before.layer().begin(), before.layer().end());")
caffe_substitute(src/caffe/solver.cpp
  "    Test(test_net_id);
  }"
  "    Test(test_net_id);
  }
  if (!requested_early_exit_) {
    before_test_.clear();
  }")
caffe_substitute(src/caffe/solver.cpp
  "    + extension;"
  "    + snapshot_mark_ + extension;")
caffe_substitute(src/caffe/solver.cpp
  "  string state_filename(state_file);"
  "  string state_filename(state_file);
  resume_.Clear();")
caffe_substitute(src/caffe/solver.cpp
  "    RestoreSolverStateFromBinaryProto(state_filename);
  }"
  "    RestoreSolverStateFromBinaryProto(state_filename);
  }
  GoOn();
  last_snapshot_ = state_filename;")
caffe_include(src/caffe/solvers/sgd_solver.cpp caffe/util/upgrade_proto.hpp training/hdf5_in_memory.hpp training/snapshot_files.hpp)
caffe_substitute(src/caffe/solvers/sgd_solver.cpp
  "  WriteProtoToBinaryFile(state, snapshot_filename.c_str());"
  "  this->WriteSolverState(&state, snapshot_filename, model_filename);")
caffe_substitute(src/caffe/solvers/sgd_solver.cpp
  "  ReadProtoFromBinaryFile(state_file, &state);"
  "  caffe_ext::ReadSolverState(state_file, &state);
  this->resume_ = state.resume();
  if (state.has_learned_net()) {
    state.set_learned_net(caffe_ext::FindLearnedNet(state_file, state.learned_net(), state.resume()));
  }")
caffe_substitute(src/caffe/solvers/sgd_solver.cpp
  "  hid_t file_hid = H5Fcreate(snapshot_filename.c_str(), H5F_ACC_TRUNC,
      H5P_DEFAULT, H5P_DEFAULT);"
  "  hid_t file_hid = caffe_ext::CreateHdf5InMemory();")
caffe_substitute(src/caffe/solvers/sgd_solver.cpp
  "    hdf5_save_nd_dataset<Dtype>(history_hid, oss.str(), *history_[i]);
  }
  H5Gclose(history_hid);
  H5Fclose(file_hid);"
  "    hdf5_save_nd_dataset<Dtype>(history_hid, oss.str(), *history_[i]);
  }
  H5Gclose(history_hid);
  caffe_ext::SaveBytes(file_hid, caffe_ext::kResumeDataset, this->ResumeBytes(model_filename));
  caffe_ext::WriteHdf5(file_hid, snapshot_filename);")
caffe_substitute(src/caffe/solvers/sgd_solver.cpp
  "  hid_t file_hid = H5Fopen(state_file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  CHECK_GE(file_hid, 0) << \"Couldn't open solver state file \" << state_file;"
  "  hid_t file_hid = caffe_ext::OpenSolverStateHdf5(state_file);
  this->ReadResume(state_file, caffe_ext::LoadBytes(file_hid, caffe_ext::kResumeDataset));")
caffe_substitute(src/caffe/solvers/sgd_solver.cpp
  "    string learned_net = hdf5_load_string(file_hid, \"learned_net\");"
  "    string learned_net = caffe_ext::FindLearnedNet(
        state_file, hdf5_load_string(file_hid, \"learned_net\"), this->resume_);")

# --- Data layers that read ahead tell where they stand (training/data_layers.cpp).
caffe_include(include/caffe/layers/base_data_layer.hpp caffe/proto/caffe.pb.h caffe/resumable.hpp)
caffe_substitute(include/caffe/layers/base_data_layer.hpp
  "  Blob<Dtype> data_, label_;"
  "  Blob<Dtype> data_, label_;
  // Where reading stands behind this batch.
  LayerState state_;")
caffe_substitute(include/caffe/layers/base_data_layer.hpp
  "    public BaseDataLayer<Dtype>, public InternalThread {
 public:"
  "    public BaseDataLayer<Dtype>, public InternalThread, public Resumable {
 public:
  virtual bool SaveState(LayerState* state) const;
  virtual string RestoreState(const LayerState& state);
")
caffe_substitute(include/caffe/layers/base_data_layer.hpp
  "  virtual void load_batch(Batch<Dtype>* batch) = 0;"
  "  virtual void load_batch(Batch<Dtype>* batch) = 0;
  // Where reading stands, on the thread that reads or while there is none; nothing where a type
  // of layer does not tell.
  virtual void SaveReading(LayerState* state) const {}
  // Lets reading go on from there, while no thread reads. Returns why it cannot, or \"\".
  virtual string RestoreReading(const LayerState& state) { return string(); }

  // Where reading stood at the start.
  LayerState first_state_;")
caffe_substitute(src/caffe/layers/base_data_layer.cpp
  "  this->data_transformer_->InitRand();
  StartInternalThread();"
  "  this->data_transformer_->InitRand();
  SaveReading(&first_state_);
  StartInternalThread();")
caffe_substitute(src/caffe/layers/base_data_layer.cpp
  "      load_batch(batch);"
  "      load_batch(batch);
      batch->state_.Clear();
      SaveReading(&batch->state_);")
caffe_substitute(include/caffe/data_transformer.hpp
  "  void InitRand();"
  "  void InitRand();

  // State of the generator, as Boost writes it; \"\" where nothing is random. Setting it tells
  // whether that is one.
  string generator() const;
  bool set_generator(const string& state);")
foreach(_layer data image_data window_data)
  caffe_substitute(include/caffe/layers/${_layer}_layer.hpp
    "  virtual void load_batch(Batch<Dtype>* batch);"
    "  virtual void load_batch(Batch<Dtype>* batch);
  virtual void SaveReading(LayerState* state) const;
  virtual string RestoreReading(const LayerState& state);")
endforeach()
caffe_substitute(include/caffe/layers/image_data_layer.hpp
  "  int lines_id_;"
  "  int lines_id_;
  // With shuffle: the lines as the list has them, the generator before the first shuffle, and how
  // many shuffles there were.
  vector<std::pair<std::string, int> > list_;
  string first_order_;
  uint64_t shuffles_ = 0;")
caffe_include(src/caffe/layers/image_data_layer.cpp caffe/util/rng.hpp training/generator.hpp)
caffe_substitute(src/caffe/layers/image_data_layer.cpp
  "      static_cast<caffe::rng_t*>(prefetch_rng_->generator());
  shuffle("
  "      static_cast<caffe::rng_t*>(prefetch_rng_->generator());
  if (shuffles_++ == 0) {
    list_ = lines_;
    first_order_ = caffe_ext::GeneratorState(*prefetch_rng);
  }
  shuffle(")

# HDF5Data shuffles by rand(), whose state nobody can keep. Its own generator is as rand() is without srand(): the same
# in every run, and on every rank.
caffe_substitute(include/caffe/layers/hdf5_data_layer.hpp
  "class HDF5DataLayer : public Layer<Dtype> {
 public:"
  "class HDF5DataLayer : public Layer<Dtype>, public Resumable {
 public:
  virtual bool SaveState(LayerState* state) const;
  virtual string RestoreState(const LayerState& state);
")
caffe_substitute(include/caffe/layers/hdf5_data_layer.hpp
  "  bool Skip();"
  "  bool Skip();
  // Another order of the files; of the rows of the file that is loaded.
  void ShuffleFiles();
  void ShuffleRows();

  Caffe::RNG order_{1};
  string order_of_rows_;  // the generator before the rows were shuffled")
caffe_substitute(src/caffe/layers/hdf5_data_layer.cpp
  "    std::random_shuffle(data_permutation_.begin(), data_permutation_.end());
    DLOG"
  "    ShuffleRows();
    DLOG")
caffe_substitute(src/caffe/layers/hdf5_data_layer.cpp
  "      std::random_shuffle(data_permutation_.begin(), data_permutation_.end());
  }"
  "      ShuffleRows();
  }")
caffe_substitute(src/caffe/layers/hdf5_data_layer.cpp
  "    std::random_shuffle(file_permutation_.begin(), file_permutation_.end());"
  "    ShuffleFiles();")
caffe_substitute(src/caffe/layers/hdf5_data_layer.cpp
  "          std::random_shuffle(file_permutation_.begin(),
                              file_permutation_.end());"
  "          ShuffleFiles();")
# Its own test of snapshots, on HDF5Data, moved the data on by hand.
caffe_substitute(src/caffe/test/test_gradient_based_solver.cpp
  "      this->solver_->Restore(from_snapshot);
      for (int i = 0; i < this->solver_->iter(); ++i) {
        this->solver_->net()->Forward();
      }"
  "      this->solver_->Restore(from_snapshot);")

# --- What goes wrong ends `caffe` with one line and status 1.
caffe_substitute(tools/caffe.cpp
  "#ifdef WITH_PYTHON_LAYER
    try {
#endif
      return"
  "    try {
      return")
caffe_substitute(tools/caffe.cpp
  "      PyErr_Print();
      return 1;
    }
#endif"
  "      PyErr_Print();
      return 1;
#endif
    } catch (const std::exception& error) {
      LOG(ERROR) << error.what();
      return 1;
    }")
