// Files that appear whole or not at all, snapshots with a fault, and what a solver does when it
// cannot write one or its loss is not finite.
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "caffe/sgd_solvers.hpp"
#include "caffe/util/hdf5.hpp"
#include "engines/switch.hpp"
#include "multi_label_data_fixture.hpp"
#include "training/snapshot_files.hpp"
#include "training/whole_file.hpp"

// The library's calls of fsync come here, where those of folders fail if asked for, as on a file
// system that cannot.
static bool folder_syncs_fail = false;
static int failed_folder_syncs = 0;
extern "C" int fsync(int file) {
  struct stat info;
  if (folder_syncs_fail && fstat(file, &info) == 0 && S_ISDIR(info.st_mode)) {
    ++failed_folder_syncs;
    errno = EINVAL;
    return -1;
  }
  return static_cast<int>(syscall(SYS_fsync, file));
}

namespace caffe {

using caffe_ext::FileError;

static string ReadFile(const string& path) {
  std::ifstream file(path.c_str(), std::ios::binary);
  return string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

static void WriteFile(const string& path, const string& bytes) {
  std::ofstream(path.c_str(), std::ios::binary) << bytes;
}

static bool Exists(const string& path) { return boost::filesystem::exists(path); }

// No file may grow beyond a size: the write then fails, as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t size) : handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit now = {size, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &now);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_;
  void (*handler_)(int);
};

// The text of the FileError that a call throws, or "".
template <typename Call>
string Fault(Call call) {
  try {
    call();
  } catch (const FileError& error) {
    return error.what();
  }
  return string();
}

class WholeFileTest : public ::testing::Test {
 protected:
  void Write(const string& path, const string& bytes) {
    caffe_ext::WriteWhole(
        path, [&](int file) { caffe_ext::WriteBytes(bytes.data(), bytes.size(), file); });
  }

  TempDir dir_;
};

TEST_F(WholeFileTest, TestReplaces) {
  const string path = dir_ / "file";
  Write(path, "one");
  EXPECT_EQ(ReadFile(path), "one");
  Write(path, "another");
  EXPECT_EQ(ReadFile(path), "another");
  EXPECT_FALSE(Exists(path + ".partial"));
  boost::filesystem::create_symlink(path, dir_ / "link");
  Write(dir_ / "link", "through");
  EXPECT_EQ(ReadFile(path), "through");
  EXPECT_TRUE(boost::filesystem::is_symlink(dir_ / "link"));
  Write("/dev/null", "gone");
  struct stat info;
  ASSERT_EQ(stat("/dev/null", &info), 0);
  EXPECT_TRUE(S_ISCHR(info.st_mode));
}

TEST_F(WholeFileTest, TestFailuresLeaveTheOldFile) {
  const string path = dir_ / "file";
  Write(path, "old");
  {
    const FileSizeLimit limit(1000);
    const string fault = Fault([&] { Write(path, string(5000, 'x')); });
    EXPECT_NE(fault.find(path + " cannot be written: File too large"), string::npos) << fault;
  }
  EXPECT_EQ(ReadFile(path), "old");
  EXPECT_FALSE(Exists(path + ".partial"));
  EXPECT_THROW(caffe_ext::WriteWhole(path, [](int) { throw std::runtime_error("stop"); }),
               std::runtime_error);
  EXPECT_EQ(ReadFile(path), "old");
  const string none = dir_ / "none/file";
  EXPECT_NE(Fault([&] { Write(none, "x"); }).find(none + ".partial cannot be opened: No such"),
            string::npos);
}

// Its name is not yet safe from a power cut, but the file is there.
TEST_F(WholeFileTest, TestAFolderThatCannotBeSynced) {
  const string path = dir_ / "file";
  Write(path, "old");
  folder_syncs_fail = true;
  const string fault = Fault([&] { Write(path, "new"); });
  folder_syncs_fail = false;
  EXPECT_EQ(failed_folder_syncs, 1);
  EXPECT_EQ(fault, "");
  EXPECT_EQ(ReadFile(path), "new");
  EXPECT_FALSE(Exists(path + ".partial"));
}

TEST_F(WholeFileTest, TestChecksum) {
  // The check value of CRC-32, of the digits 1 to 9.
  WriteFile(dir_ / "digits", "ab123456789");
  const caffe_ext::Checksum found = caffe_ext::ChecksumOf(dir_ / "digits", 2);
  EXPECT_EQ(found.bytes, 9u);
  EXPECT_EQ(found.crc, 0xcbf43926u);
}

// A solver over data of noise, whose loss can be made infinite by a rate.
class SnapshotTest : public ::testing::Test {
 protected:
  SolverParameter Param(const string& options) {
    const string text = "lr_policy: \"fixed\" random_seed: 3 snapshot_prefix: \"" + (dir_ / "run") +
                        "\" " + options + R"(
      net_param {
        layer { name: "data" type: "DummyData" top: "data" top: "target" dummy_data_param {
          shape { dim: 4 dim: 5 } shape { dim: 4 dim: 3 }
          data_filler { type: "gaussian" std: 1 } data_filler { type: "gaussian" std: 1 } } }
        layer { name: "first" type: "InnerProduct" bottom: "data" top: "first"
          inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
        layer { name: "loss" type: "EuclideanLoss" bottom: "first" bottom: "target" top: "loss" }
      })";
    SolverParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(text, &param));
    return param;
  }

  string File(int iteration, const string& ending) {
    return dir_ / ("run_iter_" + std::to_string(iteration) + ending);
  }

  // Three snapshots.
  void Train(const string& options = "") {
    SGDSolver<float> solver(Param("base_lr: 0.01 max_iter: 6 snapshot: 2 " + options));
    solver.Solve();
  }

  string RestoreFault(const string& path, const string& options = "") {
    SGDSolver<float> solver(Param("base_lr: 0.01 max_iter: 6 " + options));
    return Fault([&] { solver.Restore(path.c_str()); });
  }

  TempDir dir_;
};

TEST_F(SnapshotTest, TestWhatStockCaffeReads) {
  Train();
  SolverState state;
  ASSERT_TRUE(state.ParseFromString(ReadFile(File(4, ".solverstate"))));
  EXPECT_EQ(state.iter(), 4);
  EXPECT_EQ(state.learned_net(), File(4, ".caffemodel"));
  EXPECT_EQ(state.history_size(), 2);
  EXPECT_EQ(state.resume().rank_size(), 1);
}

TEST_F(SnapshotTest, TestEveryCutIsRefusedByName) {
  Train();
  const string path = File(4, ".solverstate"), bytes = ReadFile(path);
  ASSERT_LT(bytes.size(), 20000u);
  for (size_t size = 0; size < bytes.size();
       size += size < 64 || size + 64 > bytes.size() ? 1 : 37) {
    WriteFile(path, bytes.substr(0, size));
    SolverState state;
    const string fault = Fault([&] { caffe_ext::ReadSolverState(path, &state); });
    ASSERT_EQ(fault.find(path + ": training cannot be resumed from this snapshot: "), 0u)
        << size << ": " << fault;
    ASSERT_NE(fault.find("-snapshot " + File(2, ".solverstate")), string::npos) << fault;
  }
  WriteFile(path, bytes + "x");
  SolverState state;
  EXPECT_THROW(caffe_ext::ReadSolverState(path, &state), FileError);
  for (size_t at = 0; at < bytes.size(); at += at < 32 ? 1 : 41) {
    string damaged = bytes;
    damaged[at] ^= 0x10;
    WriteFile(path, damaged);
    EXPECT_THROW(caffe_ext::ReadSolverState(path, &state), FileError) << at;
  }
  WriteFile(path, bytes);
  EXPECT_EQ(RestoreFault(path), "");
}

TEST_F(SnapshotTest, TestDamagedWeights) {
  Train();
  const string weights = File(4, ".caffemodel"), bytes = ReadFile(weights);
  WriteFile(weights, bytes.substr(0, bytes.size() - 1));
  string fault = RestoreFault(File(4, ".solverstate"));
  EXPECT_NE(fault.find("its weights " + weights + " have "), string::npos) << fault;
  EXPECT_NE(fault.find("-snapshot " + File(2, ".solverstate")), string::npos) << fault;
  string damaged = bytes;
  damaged[bytes.size() / 2] ^= 1;
  WriteFile(weights, damaged);
  fault = RestoreFault(File(4, ".solverstate"));
  EXPECT_NE(fault.find("do not match their checksum"), string::npos) << fault;
  boost::filesystem::remove(weights);
  fault = RestoreFault(File(4, ".solverstate"));
  EXPECT_NE(fault.find("are missing"), string::npos) << fault;
  // The one before may have faults as well.
  boost::filesystem::remove(File(2, ".caffemodel"));
  fault = RestoreFault(File(4, ".solverstate"));
  EXPECT_NE(fault.find("No earlier snapshot is intact"), string::npos) << fault;
}

TEST_F(SnapshotTest, TestHdf5Faults) {
  Train("snapshot_format: HDF5");
  const string path = File(4, ".solverstate.h5"), bytes = ReadFile(path);
  const string options = "snapshot_format: HDF5";
  EXPECT_EQ(RestoreFault(path, options), "");
  for (size_t size : {size_t(0), size_t(7), bytes.size() / 2, bytes.size() - 1}) {
    WriteFile(path, bytes.substr(0, size));
    const string fault = RestoreFault(path, options);
    EXPECT_NE(fault.find("it is not an HDF5 file, or is cut short"), string::npos) << fault;
    EXPECT_NE(fault.find("-snapshot " + File(2, ".solverstate.h5")), string::npos) << fault;
  }
  WriteFile(path, bytes);
  const string weights = File(4, ".caffemodel.h5");
  WriteFile(weights, ReadFile(weights).substr(0, 3000));
  EXPECT_NE(RestoreFault(path, options).find("its weights"), string::npos);
}

// What is in our part may be anything; what cannot be is not taken.
TEST_F(SnapshotTest, TestStrangeResume) {
  Train();
  SolverState whole;
  caffe_ext::ReadSolverState(File(4, ".solverstate"), &whole);
  const string path = File(4, ".solverstate");
  const std::function<void(ResumeState*)> changes[] = {
      [](ResumeState* resume) { resume->set_loss_start_iter(-1000000); },
      [](ResumeState* resume) { resume->set_loss_start_iter(2147483647); },
      [](ResumeState* resume) {
        for (int i = 0; i < 100; ++i) resume->add_loss(std::nan(""));
      },
      [](ResumeState* resume) { resume->mutable_rank(0)->set_generator("no numbers"); },
      [](ResumeState* resume) { resume->mutable_rank(0)->clear_generator(); },
      [](ResumeState* resume) { resume->add_rank(); },
      [](ResumeState* resume) { resume->clear_rank(); },
      [](ResumeState* resume) {
        for (int net : {-7, -1, 0, 2147483647}) {
          LayerState* layer = resume->mutable_rank(0)->add_layer();
          layer->set_net(net);
          layer->set_layer("data");
          layer->set_position(~uint64_t(0));
        }
      },
  };
  for (const auto& change : changes) {
    SolverState state = whole;
    state.mutable_resume()->clear_body_bytes();
    state.mutable_resume()->clear_body_crc();
    change(state.mutable_resume());
    caffe_ext::WriteSolverStateFile(state, path);
    SGDSolver<float> solver(Param("base_lr: 0.01 max_iter: 9 average_loss: 3"));
    solver.Restore(path.c_str());
    EXPECT_EQ(solver.iter(), 4);
    solver.Step(5);
  }
}

// The folder went elsewhere; where it was, another training's weights lie now.
TEST_F(SnapshotTest, TestMovedFolder) {
  Train();
  const string moved = dir_ / "moved";
  boost::filesystem::create_directory(moved);
  for (const char* ending : {".solverstate", ".caffemodel"}) {
    boost::filesystem::rename(File(4, ending), moved + "/run_iter_4" + ending);
  }
  EXPECT_EQ(RestoreFault(moved + "/run_iter_4.solverstate"), "");
  WriteFile(File(4, ".caffemodel"), "others");
  EXPECT_EQ(RestoreFault(moved + "/run_iter_4.solverstate"), "");
}

TEST_F(SnapshotTest, TestFullDiskKeepsTheLastGoodOne) {
  SGDSolver<float> solver(Param("base_lr: 0.01 max_iter: 6 snapshot: 2"));
  solver.Step(2);
  const string good = ReadFile(File(2, ".solverstate"));
  ASSERT_FALSE(good.empty());
  ::testing::internal::CaptureStderr();
  {
    const FileSizeLimit limit(3000);  // of what is captured, too
    solver.Step(2);
  }
  const string said = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("No snapshot of iteration 4: "), string::npos) << said;
  EXPECT_NE(said.find("The last good one is " + File(2, ".solverstate")), string::npos) << said;
  EXPECT_NE(said.find("the next try is at iteration 6"), string::npos) << said;
  EXPECT_EQ(solver.iter(), 4);
  EXPECT_FALSE(Exists(File(4, ".solverstate")));
  EXPECT_FALSE(Exists(File(4, ".solverstate.partial")));
  EXPECT_FALSE(Exists(File(4, ".caffemodel.partial")));
  EXPECT_EQ(ReadFile(File(2, ".solverstate")), good);
  solver.Step(2);
  EXPECT_EQ(RestoreFault(File(6, ".solverstate")), "");
}

// The last of the regular ones fails: the weights must not be lost with it.
TEST_F(SnapshotTest, TestFullDiskAtTheEnd) {
  SGDSolver<float> solver(Param("base_lr: 0.01 max_iter: 2 snapshot: 2"));
  int asked = 0;
  boost::filesystem::create_directory(File(2, ".solverstate.partial"));
  solver.SetActionFunction([&]() {
    if (++asked == 3) {  // after two iterations, in the wait for the next try
      boost::filesystem::remove(File(2, ".solverstate.partial"));
    }
    return SolverAction::NONE;
  });
  solver.Solve();
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(RestoreFault(File(2, ".solverstate")), "");
}

TEST_F(SnapshotTest, TestFullDiskWithHdf5) {
  SGDSolver<float> solver(Param("base_lr: 0.01 max_iter: 6 snapshot: 2 snapshot_format: HDF5"));
  solver.Step(2);
  {
    const FileSizeLimit limit(1000);
    solver.Step(2);
  }
  EXPECT_FALSE(Exists(File(4, ".caffemodel.h5")));
  EXPECT_FALSE(Exists(File(4, ".solverstate.h5")));
  EXPECT_EQ(RestoreFault(File(2, ".solverstate.h5"), "snapshot_format: HDF5"), "");
  solver.Step(2);
  EXPECT_EQ(RestoreFault(File(6, ".solverstate.h5"), "snapshot_format: HDF5"), "");
}

// What a run says when its loss is not finite.
template <typename Call>
static string Refusal(Call call) {
  try {
    call();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return string();
}

TEST_F(SnapshotTest, TestLossOfUpdatesThatExplode) {
  SGDSolver<float> overflow(Param("base_lr: 1e30 max_iter: 50 snapshot: 100"));
  EXPECT_NE(Refusal([&] {
              overflow.Solve();
            }).find("in blob 'loss', a top of layer 'loss' (EuclideanLoss). Its inputs"),
            string::npos);
  SGDSolver<float> solver(Param("base_lr: 3e38 max_iter: 50 snapshot: 100"));
  const string said = Refusal([&] { solver.Solve(); });
  EXPECT_NE(said.find("Iteration "), string::npos) << said;
  EXPECT_NE(said.find("the update would make weights NaN or infinite"), string::npos) << said;
  EXPECT_NE(said.find("lower base_lr"), string::npos) << said;
  const string model = File(solver.iter(), "_nonfinite.caffemodel");
  EXPECT_NE(said.find("For a look at it: " + model), string::npos) << said;
  EXPECT_TRUE(Exists(model));
  EXPECT_FALSE(Exists(File(solver.iter(), ".solverstate")));
  NetParameter net;
  ReadProtoFromBinaryFileOrDie(model, &net);
  EXPECT_EQ(net.layer(1).blobs_size(), 2);
}

TEST_F(SnapshotTest, TestLossOfDataThatAreNotFinite) {
  SGDSolver<float> solver(Param("base_lr: 0.01 max_iter: 50"));
  solver.Step(3);
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    SGDSolver<float> bad(Param("base_lr: 0.01 max_iter: 50"));
    bad.net()->learnable_params()[1]->mutable_cpu_data()[2] = value;
    const string said = Refusal([&] { bad.Step(1); });
    EXPECT_NE(said.find("Iteration 0: the loss is "), string::npos) << said;
    EXPECT_NE(said.find("in parameters of layer 'first'"), string::npos) << said;
  }
}

// Gradients that are not finite, with a loss that is.
struct BadGradient : Solver<float>::Callback {
  BadGradient(Solver<float>* solver, float value, int iter)
      : solver(solver), value(value), iter(iter) {}
  virtual void on_start() {}
  virtual void on_gradients_ready() {
    if (solver->iter() == iter) {
      solver->net()->learnable_params()[1]->mutable_cpu_diff()[2] = value;
    }
  }
  Solver<float>* solver;
  const float value;
  const int iter;
};

TEST_F(SnapshotTest, TestUpdatesSeeGradientsThatAreNotFinite) {
  for (const string type : {"SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"}) {
    for (const bool engine : {true, false}) {
      for (const float value :
           {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
        caffe_ext::SetEngineEnabled(engine);
        const string momentum =
            type == "SGD" || type == "Nesterov" || type == "Adam" || type == "AdaDelta"
                ? "momentum: 0.9 "
                : "momentum: 0 ";
        const shared_ptr<Solver<float> > solver(SolverRegistry<float>::CreateSolver(
            Param("base_lr: 0.01 max_iter: 50 snapshot: 100 type: '" + type + "' " + momentum)));
        BadGradient bad(solver.get(), value, 3);
        solver->add_callback(&bad);
        const string said = Refusal([&] { solver->Solve(); });
        EXPECT_NE(said.find("Iteration 3: the update would make weights NaN or infinite"),
                  string::npos)
            << type << said;
        EXPECT_NE(said.find("the gradient of layer 'first' (InnerProduct)"), string::npos) << said;
        EXPECT_EQ(solver->iter(), 3);
        for (const Blob<float>* blob : solver->net()->learnable_params()) {
          EXPECT_TRUE(std::isfinite(blob->asum_data())) << type;
        }
        EXPECT_TRUE(Exists(File(3, "_nonfinite.caffemodel")));
        EXPECT_FALSE(Exists(File(3, ".caffemodel")));
      }
    }
  }
  caffe_ext::SetEngineEnabled(true);
}

TEST_F(SnapshotTest, TestLossMayBeAnythingWhereAskedFor) {
  SGDSolver<float> solver(Param(
      "base_lr: 1e30 max_iter: 50 stop_at_nonfinite_loss: false snapshot_after_train: false"));
  solver.Solve();
  EXPECT_EQ(solver.iter(), 50);
}

}  // namespace caffe
