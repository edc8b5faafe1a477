// Convolutions by Winograd's algorithm in tiles of several sizes, against loops in double, for
// every instruction set that this processor has.
#include "convolution_oracle.hpp"

#ifdef USE_ONEDNN

#include <omp.h>

#include <limits>

#include "engines/convolution.hpp"
#include "engines/winograd/choice.hpp"

namespace caffe {

using caffe_ext::ConvolutionPass;
using caffe_ext::Isa;
using caffe_ext::WinogradCorrelation;
using caffe_ext::WinogradSource;
using caffe_ext::WinogradWeightGradient;

class WinogradTilesTest : public ConvolutionOracleTest {
 protected:
  virtual void TearDown() {
    caffe_ext::SetTransformsEnabled(true);
    EngineTest::TearDown();
  }

  static constexpr double kTolerance = 1e-5;

  // All passes of all instruction sets, whether or not they are faster than direct convolution.
  void Check(const CorrelationShape& s) {
    ASSERT_TRUE(WinogradServes(s));
    const Values v = MakeValues(s);
    const Results expected = Expected(s, v);
    for (const Isa isa : {Isa::kGeneric, Isa::kV3, Isa::kV4}) {
      const int lanes = caffe_ext::Lanes(isa);
      if (!caffe_ext::Runs(isa) || (s.groups > 1 && (s.channels % lanes || s.outputs % lanes))) {
        continue;
      }
      for (const bool keep : {false, true}) {
        SCOPED_TRACE(string(caffe_ext::IsaName(isa)) + (keep ? ", kept spectra" : ""));
        CheckPasses(s, v, expected, isa, keep);
      }
    }
  }

  static void CheckPasses(const CorrelationShape& s, const Values& v, const Results& expected,
                          Isa isa, bool keep) {
    const int lanes = caffe_ext::Lanes(isa), in = s.groups * s.channels, out = s.groups * s.outputs;
    const int area = s.height * s.width, out_area = s.out_height() * s.out_width();
    const vector<float> x = Blocked(v.x, s.images, in, area, lanes);
    const vector<float> dy = Blocked(v.dy, s.images, out, out_area, lanes);

    vector<float> y(dy.size(), NAN);
    WinogradCorrelation(s, isa, false, keep)
        .Run(WinogradSource::Blocked(x.data()), v.w.data(), v.bias.data(), y.data());
    ExpectNear(Plain(y, s.images, out, out_area, lanes), expected.y, "y", kTolerance);
    EXPECT_EQ(y, Blocked(Plain(y, s.images, out, out_area, lanes), s.images, out, out_area, lanes))
        << "channels that there are not";

    const CorrelationShape back = s.Backward();
    if (WinogradServes(back)) {
      vector<float> dx(x.size(), NAN);
      WinogradCorrelation(back, isa, true, keep)
          .Run(WinogradSource::Blocked(dy.data()), v.w.data(), NULL, dx.data());
      ExpectNear(Plain(dx, s.images, in, area, lanes), expected.dx, "dx", kTolerance);
    }

    // Added to what is there.
    vector<float> dw(v.w.size(), 1), db(v.bias.size(), 2);
    WinogradWeightGradient(s, isa).Run(WinogradSource::Blocked(x.data()), dy.data(), dw.data(),
                                       db.data());
    for (float& value : dw) value -= 1;
    for (float& value : db) value -= 2;
    // Sums over a map of 250 x 250: the error grows as its root.
    const double sums = std::sqrt(double(s.images) * out_area / 1000);
    ExpectNear(dw, expected.dw, "dw", kTolerance * std::max(1., sums));
    ExpectNear(db, expected.db, "db", kTolerance);
  }

  // What one pass of the layer in each direction gives: top, bottom diff, diffs of the blobs.
  template <typename Dtype>
  static vector<vector<double> > Run(Layer<Dtype>* layer, const vector<int>& shape,
                                     const Values& v) {
    Blob<Dtype> bottom(shape), top;
    std::copy_n(v.x.begin(), bottom.count(), bottom.mutable_cpu_data());
    layer->SetUp({&bottom}, {&top});
    const vector<const vector<float>*> blobs = {&v.w, &v.bias};
    for (size_t i = 0; i < layer->blobs().size(); ++i) {
      Blob<Dtype>* const blob = layer->blobs()[i].get();
      std::copy_n(blobs[i]->begin(), blob->count(), blob->mutable_cpu_data());
      caffe_set(blob->count(), Dtype(0), blob->mutable_cpu_diff());
    }
    layer->Forward({&bottom}, {&top});
    vector<vector<double> > values(1, vector<double>(top.cpu_data(), top.cpu_data() + top.count()));
    std::copy_n(v.dy.begin(), top.count(), top.mutable_cpu_diff());
    layer->Backward({&top}, {true}, {&bottom});
    values.emplace_back(bottom.cpu_diff(), bottom.cpu_diff() + bottom.count());
    for (const auto& blob : layer->blobs()) {
      values.emplace_back(blob->cpu_diff(), blob->cpu_diff() + blob->count());
    }
    return values;
  }

  vector<vector<double> > RunEngine(const LayerParameter& param, const vector<int>& shape,
                                    const Values& v, bool transforms = true) {
    caffe_ext::SetTransformsEnabled(transforms);
    const vector<vector<double> > values = Run(Create(param, true).get(), shape, v);
    caffe_ext::SetTransformsEnabled(true);
    return values;
  }

  // Of a layer, whose sizes are at most these.
  Values LayerValues(int x, int w, int outputs, int dy) {
    Values v;
    v.x = Random(x);
    v.w = Random(w);
    v.bias = Random(outputs);
    v.dy = Random(dy);
    return v;
  }

  static double LargestError(const vector<double>& actual, const vector<double>& expected) {
    double error = 0;
    EXPECT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      const double here = std::abs(actual[i] - expected[i]);
      error = here <= error ? error : here;  // NaN stays
    }
    return error;
  }

  // The layer's errors against the plain one in double are at most 20 times those of direct
  // convolution; and `passes` of the three values go by Winograd's algorithm.
  void CheckLayer(const string& options, const vector<int>& shape, const vector<bool>& passes) {
    SCOPED_TRACE(options);
    const LayerParameter param =
        ParseLayer("type: 'Convolution' convolution_param { " + options + " }");
    for (const float scale : {1.f, 1e4f}) {
      Values v = LayerValues(Blob<float>(shape).count(), 500000, 128, 500000);
      for (float& value : v.x) value = scale * std::max(value + .2f, 0.f);
      for (float& value : v.w) value *= .05f;
      const vector<vector<double> > expected =
          Run(LayerRegistry<double>::CreateLayer(param).get(), shape, v);
      const vector<vector<double> > plain = Run(Create(param, false).get(), shape, v);
      const vector<vector<double> > direct = RunEngine(param, shape, v, false);
      const vector<vector<double> > actual = RunEngine(param, shape, v);
      ASSERT_EQ(actual.size(), expected.size());
      for (size_t i = 0; i < expected.size(); ++i) {
        const double error = LargestError(actual[i], expected[i]);
        const double others =
            std::max(LargestError(plain[i], expected[i]), LargestError(direct[i], expected[i]));
        double largest = 0;
        for (const double value : expected[i]) largest = std::max(largest, std::abs(value));
        EXPECT_LE(error, 20 * others) << "value " << i << ", scale " << scale;
        EXPECT_LE(error, 1e-5 * largest) << "value " << i << ", scale " << scale;
        if (i < 3 && caffe_ext::ActiveIsa() != Isa::kGeneric) {
          EXPECT_EQ(actual[i] != direct[i], passes[i]) << "value " << i;
        }
      }
    }
  }
};

TEST_F(WinogradTilesTest, TestAgainstLoops) {
  // images, channels, outputs, groups, height, width, kernel, pad
  Check({2, 3, 5, 1, 13, 13, 3, 3, 1, 1});   // tiles of 4, 3, 3 and 3
  Check({2, 20, 33, 1, 7, 16, 3, 3, 0, 2});  // of 3 and 2; of 4 and 3
  Check({3, 16, 32, 2, 5, 12, 3, 3, 1, 0});  // of 3 and 2; of 4 and 3
  Check({1, 16, 16, 3, 3, 11, 3, 3, 1, 1});  // of 3; of 4 and 3
  Check({2, 5, 18, 1, 27, 14, 5, 5, 2, 2});  // of 4 and 3; of 4 and 3
  Check({2, 32, 16, 2, 6, 9, 5, 5, 0, 2});   // of 2; of 3
  Check({1, 2, 3, 1, 4, 5, 5, 5, 4, 4});     // of 4; of 3
}

// More of one image's spectra than are worked on at once.
TEST_F(WinogradTilesTest, TestStepsWithinAnImage) { Check({2, 2, 3, 1, 251, 253, 3, 3, 1, 1}); }

TEST_F(WinogradTilesTest, TestErrorsOfTheLayer) {
  CheckLayer("num_output: 64 kernel_size: 3 pad: 1", {2, 48, 13, 13}, {true, true, true});
  CheckLayer("num_output: 64 kernel_size: 3 pad: 1 group: 2", {3, 96, 13, 14}, {true, true, true});
  CheckLayer("num_output: 64 kernel_size: 5 pad: 2 group: 2", {2, 96, 27, 26}, {true, true, true});
  CheckLayer("num_output: 40 kernel_size: 3 bias_term: false", {2, 50, 20, 17}, {true, true, true});
  CheckLayer("num_output: 33 kernel_size: 3 pad: 4", {2, 48, 13, 12}, {true, false, true});
  // By phases, where only an image's gradient is not.
  CheckLayer("num_output: 48 kernel_size: 11 stride: 4", {2, 3, 75, 67}, {true, false, true});
  CheckLayer("num_output: 64 kernel_h: 9 kernel_w: 12 stride_h: 3 stride_w: 4 pad_h: 2 pad_w: 1",
             {2, 3, 50, 61}, {true, false, true});
}

TEST_F(WinogradTilesTest, TestStaysDirect) {
  const char* const cases[] = {"num_output: 64 kernel_size: 1", "num_output: 64 kernel_size: 2",
                               "num_output: 64 kernel_h: 3 kernel_w: 5",
                               "num_output: 64 kernel_size: 3 stride: 2",
                               "num_output: 64 kernel_size: 3 dilation: 2"};
  for (const char* const options : cases) {
    CheckLayer(options, {2, 48, 13, 12}, {false, false, false});
  }
}

TEST_F(WinogradTilesTest, TestChoice) {
  const Isa isa = caffe_ext::ActiveIsa();
  if (isa == Isa::kGeneric) {
    return;
  }
  const auto chosen = [&](const CorrelationShape& s, ConvolutionPass pass) {
    return ChooseWinograd(s, pass, s.kernel_h * s.kernel_w * s.out_height() * s.out_width(), isa);
  };
  for (const ConvolutionPass pass :
       {ConvolutionPass::kForward, ConvolutionPass::kBottomDiff, ConvolutionPass::kWeightDiff}) {
    // AlexNet's conv2 to conv5; few channels; few pixels; too many kernels.
    EXPECT_TRUE(chosen({16, 48, 128, 2, 27, 27, 5, 5, 2, 2}, pass));
    EXPECT_TRUE(chosen({16, 256, 384, 1, 13, 13, 3, 3, 1, 1}, pass));
    EXPECT_TRUE(chosen({16, 192, 192, 2, 13, 13, 3, 3, 1, 1}, pass));
    EXPECT_TRUE(chosen({16, 192, 128, 2, 13, 13, 3, 3, 1, 1}, pass));
    EXPECT_FALSE(chosen({16, 8, 8, 1, 40, 40, 3, 3, 1, 1}, pass));
    EXPECT_FALSE(chosen({16, 64, 64, 1, 4, 4, 3, 3, 1, 1}, pass));
    EXPECT_FALSE(chosen({16, 2048, 2048, 1, 20, 20, 3, 3, 1, 1}, pass));
    // Neither one image nor many: an image's result must not depend on the others.
    EXPECT_EQ(chosen({1, 64, 64, 1, 13, 13, 3, 3, 1, 1}, pass),
              chosen({64, 64, 64, 1, 13, 13, 3, 3, 1, 1}, pass));
  }
}

TEST_F(WinogradTilesTest, TestOtherWeightsAreSeen) {
  const CorrelationShape s = {1, 16, 16, 1, 13, 13, 3, 3, 1, 1};
  const Isa isa = caffe_ext::ActiveIsa();
  const int lanes = caffe_ext::Lanes(isa);
  Values v = MakeValues(s);
  const vector<float> x = Blocked(v.x, 1, 16, 169, lanes);
  WinogradCorrelation forward(s, isa, false, true);
  for (int round = 0; round < 3; ++round) {
    v.w[round * 100] += 1;
    vector<float> y(16 * 169);
    forward.Run(WinogradSource::Blocked(x.data()), v.w.data(), v.bias.data(), y.data());
    ExpectNear(Plain(y, 1, 16, 169, lanes), Expected(s, v).y, "y", kTolerance);
  }
}

// To the last bit: a face's values depend neither on the other faces nor on the number of threads,
// and all gradients not on the number of threads.
TEST_F(WinogradTilesTest, TestAFaceIsTheSameInAnyBatch) {
  if (caffe_ext::ActiveIsa() == Isa::kGeneric) {
    return;  // nothing of Winograd's then
  }
  const int before = omp_get_max_threads();
  const struct {
    const char* options;
    int channels, height, width;
  } cases[] = {{"num_output: 64 kernel_size: 3 pad: 1 group: 2", 64, 13, 16},
               {"num_output: 96 kernel_size: 5 pad: 2", 48, 27, 27},
               {"num_output: 48 kernel_size: 11 stride: 4", 3, 75, 67}};
  for (const auto& of : cases) {
    const LayerParameter param = ParseLayer(
        string("phase: TEST type: 'Convolution' convolution_param { ") + of.options + " }");
    const auto shape = [&](int num) { return vector<int>{num, of.channels, of.height, of.width}; };
    const Values v = LayerValues(8 * of.channels * of.height * of.width, 200000, 96, 600000);
    const vector<vector<double> > all = RunEngine(param, shape(8), v);
    for (const int threads : {1, 2, 3}) {
      omp_set_num_threads(threads);
      EXPECT_EQ(RunEngine(param, shape(8), v), all) << threads << " threads";
      for (const int num : {1, 2, 5}) {
        const vector<vector<double> > some = RunEngine(param, shape(num), v);
        EXPECT_TRUE(std::equal(some[0].begin(), some[0].end(), all[0].begin())) << num;
        EXPECT_TRUE(std::equal(some[1].begin(), some[1].end(), all[1].begin())) << num;
      }
    }
    omp_set_num_threads(before);
  }
}

// In an image's source, its diff or a kernel: what depends on it is lost, the other image is not.
TEST_F(WinogradTilesTest, TestWhatIsNoNumberComesOut) {
  const Isa isa = caffe_ext::ActiveIsa();
  const int lanes = caffe_ext::Lanes(isa);
  for (const int kernel : {3, 5}) {
    const CorrelationShape s = {2, 5, 20, 1, 14, 13, kernel, kernel, kernel / 2, kernel / 2};
    const int area = 14 * 13, reach = kernel / 2;
    for (const float strange : {NAN, std::numeric_limits<float>::infinity()}) {
      for (const int y0 : {0, 6, 13}) {
        const int x0 = y0 == 13 ? 12 : y0;
        // Of image 0, around the pixel, in all channels.
        const auto check = [&](const vector<float>& blocked, int channels) {
          const vector<float> values = Plain(blocked, 2, channels, area, lanes);
          for (int c = 0; c < channels; ++c) {
            for (int y = std::max(y0 - reach, 0); y <= std::min(y0 + reach, 13); ++y) {
              for (int x = std::max(x0 - reach, 0); x <= std::min(x0 + reach, 12); ++x) {
                EXPECT_FALSE(std::isfinite(values[(c * 14 + y) * 13 + x])) << y << " " << x;
              }
            }
          }
          for (size_t i = values.size() / 2; i < values.size(); ++i) {
            ASSERT_TRUE(std::isfinite(values[i])) << "another image";
          }
          const size_t none = size_t(channels / lanes) * area * lanes + channels % lanes;
          for (int i = 0; i < area; ++i) {
            EXPECT_EQ(blocked[none + i * lanes], 0) << "a channel that there is not";
          }
        };
        Values v = MakeValues(s);
        v.x[(3 * 14 + y0) * 13 + x0] = strange;
        const vector<float> x = Blocked(v.x, 2, s.channels, area, lanes);
        vector<float> y(Blocked(v.dy, 2, s.outputs, area, lanes).size());
        WinogradCorrelation(s, isa, false, false)
            .Run(WinogradSource::Blocked(x.data()), v.w.data(), v.bias.data(), y.data());
        check(y, s.outputs);
        Values clean = MakeValues(s);
        const vector<float> source = Blocked(clean.x, 2, s.channels, area, lanes);
        clean.dy[(7 * 14 + y0) * 13 + x0] = strange;
        const vector<float> dy = Blocked(clean.dy, 2, s.outputs, area, lanes);
        vector<float> dx(source.size());
        WinogradCorrelation(s.Backward(), isa, true, false)
            .Run(WinogradSource::Blocked(dy.data()), clean.w.data(), NULL, dx.data());
        check(dx, s.channels);
        vector<float> dw(clean.w.size()), db(s.outputs);
        WinogradWeightGradient(s, isa).Run(WinogradSource::Blocked(source.data()), dy.data(),
                                           dw.data(), db.data());
        const int taps = kernel * kernel;
        for (int o = 0; o < s.outputs; ++o) {
          EXPECT_EQ(std::isfinite(db[o]), o != 7);
          for (int c = 0; c < s.channels; ++c) {
            EXPECT_EQ(std::isfinite(dw[(o * s.channels + c) * taps + taps / 2]), o != 7);
          }
        }
      }
    }
  }
}

}  // namespace caffe

#endif  // USE_ONEDNN
