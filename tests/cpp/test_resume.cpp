// Training that goes on from a snapshot against training that never stopped: every weight, every
// loss and all momentum bit for bit.
#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "caffe/layers/hdf5_data_layer.hpp"
#include "caffe/sgd_solvers.hpp"
#include "caffe/solver_factory.hpp"
#include "caffe/util/hdf5.hpp"
#include "multi_label_data_fixture.hpp"
#include "training/snapshot_files.hpp"

namespace caffe {

// Batches of 5 of 23 records: epochs end within batches.
const char kNet[] = R"(
  name: "resumed"
  layer { name: "faces" type: "MultiLabelData" top: "data" top: "label" include { phase: TRAIN }
    transform_param { crop_size: 6 mirror: true scale: 0.01 }
    multi_label_data_param { source: "$DIR/lmdb" batch_size: 5 prefetch: 3
      augmentation { brightness: 0.2 hue: 10 rotation: 20 scale: 0.1 } } }
  layer { name: "test_faces" type: "MultiLabelData" top: "data" top: "label" include { phase: TEST }
    transform_param { crop_size: 6 scale: 0.01 }
    multi_label_data_param { source: "$DIR/lmdb" batch_size: 4 } }
  layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
    convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
  layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "norm" }
  layer { name: "region" type: "Region" bottom: "norm" top: "region"
    region_param { grid_h: 2 grid_w: 2 weight_filler { type: "xavier" } } }
  layer { name: "relu" type: "ReLU" bottom: "region" top: "region" }
  layer { name: "drop" type: "Dropout" bottom: "region" top: "region" }
  layer { name: "fc" type: "InnerProduct" bottom: "region" top: "fc"
    inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
  layer { name: "loss" type: "MultiLabelSigmoidCrossEntropyLoss" bottom: "fc" bottom: "label"
    top: "loss" }
)";

// The same with Caffe's own data layers, which feed one label.
const char kStockNet[] = R"(
  name: "stock"
  layer { name: "faces" type: "Data" top: "data" top: "label"
    transform_param { crop_size: 6 mirror: true scale: 0.01 }
    data_param { source: "$DIR/lmdb" batch_size: 5 backend: LMDB prefetch: 2 } }
  layer { name: "files" type: "ImageData" top: "data2" top: "label2"
    transform_param { crop_size: 6 mirror: true scale: 0.01 }
    image_data_param { source: "$DIR/list.txt" batch_size: 5 shuffle: true } }
  layer { name: "both" type: "Eltwise" bottom: "data" bottom: "data2" top: "both" }
  layer { name: "drop" type: "Dropout" bottom: "both" top: "both" }
  layer { name: "fc" type: "InnerProduct" bottom: "both" top: "fc"
    inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
  layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
  layer { name: "loss2" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label2" top: "loss2" }
)";

// Rows out of HDF5 files, and windows that are drawn by chance.
const char kHdf5Net[] = R"(
  name: "hdf5"
  layer { name: "rows" type: "HDF5Data" top: "data" top: "label"
    hdf5_data_param { source: "$DIR/$LIST" batch_size: 5 shuffle: $SHUFFLE } }
  layer { name: "drop" type: "Dropout" bottom: "data" top: "data" }
  layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
    inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
  layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "label" top: "loss" }
)";
const char kWindowNet[] = R"(
  name: "windows"
  layer { name: "windows" type: "WindowData" top: "data" top: "label"
    transform_param { crop_size: 6 mirror: true }
    window_data_param { source: "$DIR/windows.txt" batch_size: 5 scale: 0.01 } }
  layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
    inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
  layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
)";

template <typename Base>
class Watched : public Base {
 public:
  explicit Watched(const SolverParameter& param) : Base(param) {}
  double smoothed_loss() const { return this->smoothed_loss_; }
  using Base::SnapshotFilename;
  using Base::TestAll;
};

template <typename TypeParam>
class ResumeTest : public MultiDeviceTest<TypeParam> {
  typedef typename TypeParam::Dtype Dtype;

 protected:
  ResumeTest() {
    Entries entries = MakeEntries();
    WriteLmdb(dir_ / "lmdb", entries);
    std::ofstream list(dir_ / "list.txt");
    for (int i = 0; i < 7; ++i) {
      const string path = dir_ / (Key(i) + ".png");
      CHECK(cv::imwrite(path, Image(i)));
      list << path << " " << i % 3 << "\n";
    }
  }

  static string Replaced(string text, const string& what, const string& by) {
    for (size_t at; (at = text.find(what)) != string::npos;) {
      text.replace(at, what.size(), by);
    }
    return text;
  }

  string InDir(const string& text) const { return Replaced(text, "$DIR", dir_ / "."); }

  static string Hdf5Net(const string& list, bool shuffle) {
    return Replaced(Replaced(kHdf5Net, "$LIST", list), "$SHUFFLE", shuffle ? "true" : "false");
  }

  // Rows of three values, each told from all others by the first.
  void WriteRows(const string& name, int first, int rows) const {
    Blob<Dtype> data(vector<int>{rows, 3}), label(vector<int>{rows, 2});
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < 3; ++j) {
        data.mutable_cpu_data()[3 * i + j] = j == 0 ? Dtype(first + i) / 16 : j - Dtype(i % 3) / 2;
      }
      label.mutable_cpu_data()[2 * i] = Dtype(first + i) / 10;
      label.mutable_cpu_data()[2 * i + 1] = i % 2;
    }
    const hid_t file = H5Fcreate((dir_ / name).c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    CHECK_GE(file, 0) << name;
    hdf5_save_nd_dataset(file, "data", data);
    hdf5_save_nd_dataset(file, "label", label);
    H5Fclose(file);
  }

  // Files of 7, 4 and 1 rows in three.txt, the first alone in one.txt.
  void WriteHdf5() const {
    const int kRows[] = {7, 4, 1};
    std::ofstream three(dir_ / "three.txt"), one(dir_ / "one.txt");
    for (int i = 0, first = 0; i < 3; first += kRows[i++]) {
      const string name = "rows" + std::to_string(i) + ".h5";
      WriteRows(name, first, kRows[i]);
      three << (dir_ / name) << "\n";
    }
    one << (dir_ / "rows0.h5") << "\n";
  }

  SolverParameter Param(const string& options, const string& net = kNet) const {
    const string text = InDir(
        "base_lr: 0.05 lr_policy: \"step\" gamma: 0.5 stepsize: 4 average_loss: 4 random_seed: 3 "
        "max_iter: 100 snapshot_prefix: \"$DIR/run\" " +
        options + " net_param { " + net + " }");
    SolverParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(text, &param)) << text;
    return param;
  }

  // Everything that training changes.
  static vector<Dtype> State(Solver<Dtype>* solver,
                             const vector<shared_ptr<Blob<Dtype> > >& history) {
    vector<Dtype> state;
    for (const auto& layer : solver->net()->layers()) {
      for (const auto& blob : layer->blobs()) {
        state.insert(state.end(), blob->cpu_data(), blob->cpu_data() + blob->count());
      }
    }
    for (const auto& blob : history) {
      state.insert(state.end(), blob->cpu_data(), blob->cpu_data() + blob->count());
    }
    return state;
  }

  static bool SameBits(const vector<Dtype>& a, const vector<Dtype>& b) {
    return a.size() == b.size() && memcmp(a.data(), b.data(), a.size() * sizeof(Dtype)) == 0;
  }

  // Trains `total` iterations, and again with a stop at `stop`.
  template <template <typename> class SolverType>
  void Check(const SolverParameter& param, int stop, int total) {
    typedef Watched<SolverType<Dtype> > Type;
    vector<Dtype> expected, losses;
    string file;
    {
      Type solver(param);
      solver.Step(stop);
      solver.Snapshot();
      file = solver.SnapshotFilename(
          param.snapshot_format() == SolverParameter::HDF5 ? ".solverstate.h5" : ".solverstate");
      for (int i = stop; i < total; ++i) {
        solver.Step(1);  // which begins a new average
        losses.push_back(solver.smoothed_loss());
      }
      expected = State(&solver, solver.history());
    }
    {
      SolverParameter other = param;
      other.set_random_seed(99);  // nothing of the new start may show
      Type solver(other);
      solver.Restore(file.c_str());
      ASSERT_EQ(solver.iter(), stop);
      for (int i = stop; i < total; ++i) {
        solver.Step(1);
        if (i > stop || stop == 0) {
          EXPECT_EQ(losses[i - stop], solver.smoothed_loss()) << "iteration " << i;
        }
      }
      EXPECT_TRUE(SameBits(expected, State(&solver, solver.history())));
    }
    // The GPU's random numbers begin anew at every snapshot, so a run without one has others.
    if (Caffe::mode() == Caffe::CPU) {
      Type solver(param);
      solver.Step(total);  // in one go the smoothed loss runs through, over stop and start
      Type second(param);
      second.Step(stop);
      second.Snapshot();
      Type third(param);
      third.Restore(file.c_str());
      third.Step(total - stop);
      EXPECT_EQ(solver.smoothed_loss(), third.smoothed_loss());
    }
  }

  TempDir dir_;
};

TYPED_TEST_CASE(ResumeTest, TestDtypesAndDevices);

TYPED_TEST(ResumeTest, TestGoesOnBitForBit) {
  this->template Check<SGDSolver>(this->Param("momentum: 0.9 weight_decay: 0.001"), 7, 15);
}

TYPED_TEST(ResumeTest, TestFromTheStartAndInSeveralPasses) {
  this->template Check<SGDSolver>(this->Param("momentum: 0.9 iter_size: 2"), 0, 4);
  this->template Check<SGDSolver>(this->Param("momentum: 0.9 iter_size: 2"), 3, 6);
}

TYPED_TEST(ResumeTest, TestHdf5) {
  this->template Check<SGDSolver>(this->Param("momentum: 0.9 snapshot_format: HDF5"), 5, 9);
}

TYPED_TEST(ResumeTest, TestOtherSolvers) {
  this->template Check<AdamSolver>(this->Param("momentum: 0.9 momentum2: 0.999"), 5, 9);
  this->template Check<NesterovSolver>(this->Param("momentum: 0.9"), 5, 9);
}

TYPED_TEST(ResumeTest, TestWithTests) {
  this->template Check<SGDSolver>(
      this->Param("momentum: 0.9 test_iter: 3 test_interval: 2 test_initialization: true"), 6, 11);
  this->template Check<SGDSolver>(
      this->Param("momentum: 0.9 test_iter: 0 test_interval: 2 test_initialization: true"), 6, 11);
}

TYPED_TEST(ResumeTest, TestStockDataLayers) {
  this->template Check<SGDSolver>(this->Param("momentum: 0.9", kStockNet), 8, 13);
}

TYPED_TEST(ResumeTest, TestHdf5Data) {
  this->WriteHdf5();
  for (const bool shuffle : {true, false}) {
    for (const string list : {"three.txt", "one.txt"}) {
      const string net = this->Hdf5Net(list, shuffle);
      // Epochs are of 12 and 7 rows: stops in the first one, at an end of both, and later.
      for (const int stop : {0, 2, 6, 8, 9, 11}) {
        this->template Check<SGDSolver>(this->Param("momentum: 0.9", net), stop, 14);
      }
    }
  }
}

// Files that are not those of the snapshot: training goes on with them from their start.
TYPED_TEST(ResumeTest, TestOtherHdf5Data) {
  typedef typename TypeParam::Dtype Dtype;
  this->WriteHdf5();
  LayerParameter layer, one;
  layer.set_type("HDF5Data");
  layer.add_top("data");
  layer.add_top("label");
  layer.mutable_hdf5_data_param()->set_batch_size(5);
  layer.mutable_hdf5_data_param()->set_source(this->dir_ / "three.txt");
  one = layer;
  one.mutable_hdf5_data_param()->set_source(this->dir_ / "one.txt");
  Blob<Dtype> data, label;
  const vector<Blob<Dtype>*> bottom, top{&data, &label};
  const auto made = [&](const LayerParameter& param) {
    auto result = std::make_shared<HDF5DataLayer<Dtype> >(param);
    result->SetUp(bottom, top);
    return result;
  };
  LayerState state;
  const auto first = made(layer);
  first->Forward(bottom, top);
  first->Forward(bottom, top);
  ASSERT_TRUE(first->SaveState(&state));
  EXPECT_EQ(state.position(), 10);
  EXPECT_EQ(state.row(), 3);
  EXPECT_EQ(made(layer)->RestoreState(state), "");
  EXPECT_NE(made(one)->RestoreState(state).find("has 1 files, not the snapshot's 3"), string::npos);
  LayerState damaged = state;
  damaged.set_file(1, 2);
  EXPECT_NE(made(layer)->RestoreState(damaged), "");
  damaged = state;
  damaged.set_current_file(3);
  EXPECT_NE(made(layer)->RestoreState(damaged), "");
  damaged = state;
  damaged.set_row(4);
  EXPECT_NE(made(layer)->RestoreState(damaged), "");
  damaged = state;
  damaged.set_order_of_rows("7");
  EXPECT_NE(made(layer)->RestoreState(damaged), "");
  this->WriteRows("rows1.h5", 7, 5);
  const auto other = made(layer);
  EXPECT_NE(other->RestoreState(state).find("has 5 rows, not the snapshot's 4"), string::npos);
  other->Forward(bottom, top);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(16 * data.cpu_data()[3 * i], i);
  }
}

// Every row once an epoch, in another order each time; the ranks' rows are not each other's, after
// a stop as before.
TYPED_TEST(ResumeTest, TestHdf5Shuffles) {
  typedef typename TypeParam::Dtype Dtype;
  this->WriteHdf5();
  LayerParameter param;
  param.set_type("HDF5Data");
  param.add_top("data");
  param.mutable_hdf5_data_param()->set_batch_size(1);
  param.mutable_hdf5_data_param()->set_source(this->dir_ / "three.txt");
  param.mutable_hdf5_data_param()->set_shuffle(true);
  const auto epochs = [&param](int rows) {
    Blob<Dtype> data;
    const vector<Blob<Dtype>*> bottom, top{&data};
    shared_ptr<HDF5DataLayer<Dtype> > layer;
    LayerState state;
    vector<vector<int> > found(4);
    for (vector<int>& epoch : found) {
      for (int i = 0; i < rows; ++i) {
        if (i % 5 == 0) {
          layer.reset(new HDF5DataLayer<Dtype>(param));
          layer->SetUp(bottom, top);
          EXPECT_EQ(state.has_position() ? layer->RestoreState(state) : "", "");
        }
        layer->Forward(bottom, top);
        state.Clear();
        layer->SaveState(&state);
        epoch.push_back(static_cast<int>(16 * data.cpu_data()[0]));
      }
    }
    return found;
  };
  vector<vector<int> > alone = epochs(12);
  vector<int> all(12);
  std::iota(all.begin(), all.end(), 0);
  for (size_t i = 0; i < alone.size(); ++i) {
    EXPECT_NE(alone[i], all);
    for (size_t j = 0; j < i; ++j) {
      EXPECT_NE(alone[i], alone[j]);
    }
  }
  vector<vector<vector<int> > > shares;
  for (int rank = 0; rank < 2; ++rank) {
    SolverGuard guard(rank, 2);
    shares.push_back(epochs(6));
  }
  for (size_t i = 0; i < alone.size(); ++i) {
    vector<int> both = shares[0][i];
    both.insert(both.end(), shares[1][i].begin(), shares[1][i].end());
    std::sort(both.begin(), both.end());
    EXPECT_EQ(both, all);
    std::sort(alone[i].begin(), alone[i].end());
    EXPECT_EQ(alone[i], all);
  }
}

TYPED_TEST(ResumeTest, TestWindowData) {
  std::ofstream list(this->dir_ / "windows.txt");
  for (int i = 0; i < 4; ++i) {
    const cv::Mat image = Image(i);
    list << "# " << i << "\n"
         << (this->dir_ / (Key(i) + ".png")) << "\n3 " << image.rows << " " << image.cols
         << "\n4\n";
    for (int j = 0; j < 4; ++j) {  // half of them are background
      list << 1 + j % 2 << " " << (j < 2 ? 0.9 : 0.1) << " " << j << " 1 " << 5 + i / 2 << " 6\n";
    }
  }
  list.close();
  this->template Check<SGDSolver>(this->Param("momentum: 0.9", kWindowNet), 8, 13);
}

// A snapshot that a signal asks for in the midst of a test begins that test anew.
TYPED_TEST(ResumeTest, TestSnapshotWithinATest) {
  typedef typename TypeParam::Dtype Dtype;
  typedef Watched<SGDSolver<Dtype> > Type;
  const SolverParameter param = this->Param("test_iter: 3 test_interval: 2 momentum: 0.9");
  Type solver(param);
  int asked = 0;
  solver.SetActionFunction([&asked]() {
    // Once an iteration and once a batch of a test: the eighth is the second batch of the test at
    // iteration 2.
    return ++asked == 8 ? SolverAction::SNAPSHOT : SolverAction::NONE;
  });
  solver.Step(2);
  solver.Step(1);
  Type again(param);
  again.Restore((this->dir_ / "run_iter_2.solverstate").c_str());
  again.Step(1);
  EXPECT_TRUE(
      this->SameBits(this->State(&solver, solver.history()), this->State(&again, again.history())));
  const Blob<Dtype>& expected = *solver.test_nets()[0]->blob_by_name("label");
  const Blob<Dtype>& found = *again.test_nets()[0]->blob_by_name("label");
  EXPECT_EQ(RecordOf(expected.cpu_data()), RecordOf(found.cpu_data()));
}

// A test that was stopped leaves nothing behind when training goes on in the same process: a later
// snapshot has the places in the data of its own iteration.
TYPED_TEST(ResumeTest, TestGoesOnAfterAStoppedTest) {
  typedef typename TypeParam::Dtype Dtype;
  typedef Watched<SGDSolver<Dtype> > Type;
  const SolverParameter param =
      this->Param("test_iter: 3 test_interval: 100 test_initialization: false momentum: 0.9");
  Type solver(param);
  solver.Step(3);
  int asked = 0;
  solver.SetActionFunction([&asked]() {  // before each batch of the test
    return ++asked == 2 ? SolverAction::STOP : SolverAction::NONE;
  });
  solver.TestAll();
  ASSERT_EQ(asked, 3);  // and whether there is more to do
  solver.Step(2);
  ASSERT_EQ(solver.iter(), 5);
  solver.Snapshot();
  solver.Step(1);
  Type again(param);
  again.Restore((this->dir_ / "run_iter_5.solverstate").c_str());
  again.Step(1);
  EXPECT_TRUE(
      this->SameBits(this->State(&solver, solver.history()), this->State(&again, again.history())));
}

// A stock Caffe's snapshot lacks our part, and its weights may have moved with the folder.
TYPED_TEST(ResumeTest, TestStockSnapshot) {
  typedef typename TypeParam::Dtype Dtype;
  typedef Watched<SGDSolver<Dtype> > Type;
  const SolverParameter param = this->Param("momentum: 0.9");
  Type solver(param);
  solver.Step(3);
  solver.Snapshot();
  SolverState state;
  ReadProtoFromBinaryFileOrDie(this->dir_ / "run_iter_3.solverstate", &state);
  EXPECT_TRUE(state.has_resume());
  state.clear_resume();
  state.set_learned_net("/nowhere/run_iter_3.caffemodel");
  const string file = this->dir_ / "stock.solverstate";
  std::ofstream(file, std::ios::binary) << state.SerializeAsString();
  Type again(param);
  again.Restore(file.c_str());
  EXPECT_EQ(again.iter(), 3);
  EXPECT_TRUE(
      this->SameBits(this->State(&solver, solver.history()), this->State(&again, again.history())));
  again.Step(1);
}

// Data that changed, or another number of solvers: training goes on with the data anew.
TYPED_TEST(ResumeTest, TestOtherData) {
  typedef typename TypeParam::Dtype Dtype;
  typedef Watched<SGDSolver<Dtype> > Type;
  const SolverParameter param = this->Param("momentum: 0.9");
  Type solver(param);
  solver.Step(3);
  solver.Snapshot();
  const string file = this->dir_ / "run_iter_3.solverstate";
  WriteLmdb(this->dir_ / "lmdb2", MakeEntries(kRecords + 4));
  SolverParameter other = param;
  string text;
  google::protobuf::TextFormat::PrintToString(other, &text);
  for (size_t at; (at = text.find("/lmdb\"")) != string::npos;) {
    text.replace(at, 6, "/lmdb2\"");
  }
  CHECK(google::protobuf::TextFormat::ParseFromString(text, &other));
  Type again(other);
  again.Restore(file.c_str());
  again.Step(2);
  EXPECT_EQ(again.iter(), 5);
  {
    SolverGuard guard(1, 2);
    Type second(param);
    second.Restore(file.c_str());
    second.Step(1);
    EXPECT_EQ(second.iter(), 4);
  }
}

}  // namespace caffe
