// The FFT convolution against loops in double, for every instruction set that this processor has.
#include "convolution_oracle.hpp"

#ifdef USE_ONEDNN

#include <omp.h>

#include <limits>

#include "engines/convolution.hpp"
#include "engines/fft/choice.hpp"
#include "engines/fft/correlation.hpp"
#include "engines/fft/weight_gradient.hpp"

namespace caffe {

using caffe_ext::ConvolutionPass;
using caffe_ext::FftCorrelation;
using caffe_ext::FftKernels;
using caffe_ext::FftTransforms;
using caffe_ext::FftWeightGradient;
using caffe_ext::Isa;

class EngineFftTest : public ConvolutionOracleTest {
 protected:
  static constexpr double kTolerance = 1.5e-6;

  void Check(const CorrelationShape& s) {
    const Values v = MakeValues(s);
    const Results expected = Expected(s, v);
    for (const Isa isa : {Isa::kGeneric, Isa::kV3, Isa::kV4}) {
      const FftKernels& kernels = caffe_ext::fft_kernels(isa);
      if (!caffe_ext::Runs(isa)) continue;
      if (s.groups > 1 && (s.channels % kernels.lanes || s.outputs % kernels.lanes)) continue;
      for (int i = 0; i < kernels.lengths; ++i) {
        for (const bool plain : {false, true}) {
          if (plain && s.groups > 1) continue;
          SCOPED_TRACE(string(caffe_ext::IsaName(isa)) + ", tiles of " +
                       std::to_string(kernels.transforms[i].size) + (plain ? ", plain" : ""));
          CheckPasses(s, v, expected, kernels, kernels.transforms[i], plain);
        }
      }
    }
  }

  static void CheckPasses(const CorrelationShape& s, const Values& v, const Results& expected,
                          const FftKernels& kernels, const FftTransforms& transforms, bool plain) {
    const int lanes = kernels.lanes, in = s.groups * s.channels, out = s.groups * s.outputs;
    const int area = s.height * s.width, out_area = s.out_height() * s.out_width();
    const vector<float> source = plain ? v.x : Blocked(v.x, s.images, in, area, lanes);
    const vector<float> dy = Blocked(v.dy, s.images, out, out_area, lanes);

    vector<float> y(dy.size(), NAN);
    FftCorrelation forward(s, kernels, transforms);
    forward.SetWeights(v.w.data(), false);
    forward.Run(source.data(), plain, v.bias.data(), y.data());
    ExpectNear(Plain(y, s.images, out, out_area, lanes), expected.y, "y", kTolerance);
    EXPECT_EQ(y, Blocked(Plain(y, s.images, out, out_area, lanes), s.images, out, out_area, lanes))
        << "channels that there are not";

    vector<float> dx(Blocked(v.x, s.images, in, area, lanes).size(), NAN);
    FftCorrelation backward(s.Backward(), kernels, transforms);
    backward.SetWeights(v.w.data(), true);
    backward.Run(dy.data(), false, NULL, dx.data());
    ExpectNear(Plain(dx, s.images, in, area, lanes), expected.dx, "dx", kTolerance);

    // Added to what is there.
    vector<float> dw(v.w.size(), 1), db(v.bias.size(), 2);
    FftWeightGradient gradient(s, kernels, transforms);
    gradient.Run(source.data(), plain, dy.data(), dw.data(), db.data());
    for (float& value : dw) value -= 1;
    for (float& value : db) value -= 2;
    ExpectNear(dw, expected.dw, "dw", kTolerance);
    ExpectNear(db, expected.db, "db", kTolerance);
  }
};

TEST_F(EngineFftTest, TestAgainstLoops) {
  // images, channels, outputs, groups, height, width, kernel, pad
  Check({2, 3, 5, 1, 40, 29, 11, 11, 0, 0});
  Check({2, 5, 18, 1, 27, 33, 5, 7, 2, 3});
  Check({3, 20, 3, 1, 9, 50, 8, 8, 0, 0});
  Check({2, 2, 2, 1, 12, 12, 12, 12, 0, 0});
  Check({1, 2, 3, 1, 3, 5, 6, 4, 4, 3});
  Check({2, 16, 32, 2, 14, 35, 5, 5, 2, 2});
  Check({2, 8, 16, 3, 61, 7, 2, 3, 1, 0});
}

TEST_F(EngineFftTest, TestOtherWeightsAreSeen) {
  const CorrelationShape s = {1, 3, 4, 1, 20, 20, 8, 8, 0, 0};
  const FftKernels& kernels = caffe_ext::fft_kernels(caffe_ext::ActiveIsa());
  Values v = MakeValues(s);
  FftCorrelation forward(s, kernels, kernels.transforms[0]);
  for (int round = 0; round < 3; ++round) {
    v.w[round * 100] += 1;
    forward.SetWeights(v.w.data(), false);
    vector<float> y(size_t(kernels.lanes) * s.out_height() * s.out_width());
    forward.Run(v.x.data(), true, v.bias.data(), y.data());
    ExpectNear(Plain(y, 1, s.outputs, s.out_height() * s.out_width(), kernels.lanes),
               Expected(s, v).y, "y", kTolerance);
  }
}

// An image's result is the same to the bit in any batch, and so are all gradients with any number
// of threads.
TEST_F(EngineFftTest, TestTheSameToTheBit) {
  const int threads = omp_get_max_threads();
  const FftKernels& kernels = caffe_ext::fft_kernels(caffe_ext::ActiveIsa());
  const int lanes = kernels.lanes;
  for (const bool plain : {false, true}) {
    CorrelationShape s = {5, plain ? 3 : lanes + 4, 2 * lanes, 1, 71, 58, 11, 8, 1, 0};
    const Values v = MakeValues(s);
    const vector<float> source =
        plain ? v.x : Blocked(v.x, s.images, s.channels, s.height * s.width, lanes);
    const vector<float> dy =
        Blocked(v.dy, s.images, s.outputs, s.out_height() * s.out_width(), lanes);
    for (int i = 0; i < kernels.lengths; ++i) {
      vector<float> y[2], dw[2];
      for (const int count : {1, 3}) {
        omp_set_num_threads(count);
        vector<float>& all = y[count != 1];
        all.resize(dy.size());
        FftCorrelation forward(s, kernels, kernels.transforms[i]);
        forward.SetWeights(v.w.data(), false);
        forward.Run(source.data(), plain, v.bias.data(), all.data());
        dw[count != 1].assign(v.w.size(), 0);
        FftWeightGradient gradient(s, kernels, kernels.transforms[i]);
        gradient.Run(source.data(), plain, dy.data(), dw[count != 1].data(), NULL);
        CorrelationShape one = s;
        one.images = 1;
        FftCorrelation alone(one, kernels, kernels.transforms[i]);
        alone.SetWeights(v.w.data(), false);
        const size_t in = source.size() / s.images, out = dy.size() / s.images;
        for (int n = 0; n < s.images; ++n) {
          vector<float> result(out);
          alone.Run(source.data() + n * in, plain, v.bias.data(), result.data());
          EXPECT_TRUE(std::equal(result.begin(), result.end(), all.begin() + n * out))
              << "image " << n << " with " << count << " threads";
        }
      }
      EXPECT_EQ(y[0], y[1]);
      EXPECT_EQ(dw[0], dw[1]);
    }
  }
  omp_set_num_threads(threads);
}

TEST_F(EngineFftTest, TestWhatIsNoNumberComesOut) {
  const FftKernels& kernels = caffe_ext::fft_kernels(caffe_ext::ActiveIsa());
  const CorrelationShape s = {2, 3, 4, 1, 50, 50, 11, 11, 0, 0};
  const int area = s.out_height() * s.out_width();
  for (const float strange : {NAN, std::numeric_limits<float>::infinity()}) {
    Values v = MakeValues(s);
    v.x[20 * 50 + 30] = strange;  // image 0
    FftCorrelation forward(s, kernels, kernels.transforms[0]);
    forward.SetWeights(v.w.data(), false);
    vector<float> y(size_t(2) * kernels.lanes * area);
    forward.Run(v.x.data(), true, v.bias.data(), y.data());
    const vector<float> plain = Plain(y, 2, s.outputs, area, kernels.lanes);
    for (int o = 0; o < s.outputs; ++o) {
      for (int i = 10; i <= 20; ++i) {
        EXPECT_FALSE(std::isfinite(plain[o * area + i * 40 + 25]));
      }
    }
    for (int i = s.outputs * area; i < 2 * s.outputs * area; ++i) {
      ASSERT_TRUE(std::isfinite(plain[i])) << "another image";
    }
    for (int i = 0; i < area; ++i) {
      ASSERT_EQ(y[i * kernels.lanes + s.outputs], 0) << "a channel that there is not";
    }
    vector<float> dw(v.w.size(), 0);
    FftWeightGradient gradient(s, kernels, kernels.transforms[0]);
    const vector<float> dy = Blocked(v.dy, 2, s.outputs, area, kernels.lanes);
    gradient.Run(v.x.data(), true, dy.data(), dw.data(), NULL);
    EXPECT_FALSE(std::isfinite(dw[0]));
  }
}

// The layer's errors against double are at most twice those of direct convolution.
TEST_F(EngineFftTest, TestErrorsOfTheLayer) {
  for (const float scale : {1.f, 1e4f}) {
    const CorrelationShape s = {2, 16, 16, 1, 45, 40, 8, 8, 0, 0};
    Values v = MakeValues(s);
    for (float& value : v.x) value = scale * (value + .5f);
    const Results expected = Expected(s, v);
    double errors[2][3];
    for (const bool fft : {false, true}) {
      caffe_ext::SetTransformsEnabled(fft);
      const shared_ptr<Layer<float> > layer =
          Create(ParseLayer("type: 'Convolution' convolution_param { num_output: 16 kernel_size: 8 "
                            "}"),
                 true);
      Blob<float> bottom(2, 16, 45, 40), top;
      std::copy(v.x.begin(), v.x.end(), bottom.mutable_cpu_data());
      layer->SetUp({&bottom}, {&top});
      std::copy(v.w.begin(), v.w.end(), layer->blobs()[0]->mutable_cpu_data());
      std::copy(v.bias.begin(), v.bias.end(), layer->blobs()[1]->mutable_cpu_data());
      caffe_set(layer->blobs()[0]->count(), 0.f, layer->blobs()[0]->mutable_cpu_diff());
      layer->Forward({&bottom}, {&top});
      std::copy(v.dy.begin(), v.dy.end(), top.mutable_cpu_diff());
      layer->Backward({&top}, {true}, {&bottom});
      const auto error = [](const float* actual, const vector<double>& expected) {
        double largest = 0;
        for (size_t i = 0; i < expected.size(); ++i) {
          largest = std::max(largest, std::abs(actual[i] - expected[i]));
        }
        return largest;
      };
      errors[fft][0] = error(top.cpu_data(), expected.y);
      errors[fft][1] = error(bottom.cpu_diff(), expected.dx);
      errors[fft][2] = error(layer->blobs()[0]->cpu_diff(), expected.dw);
    }
    caffe_ext::SetTransformsEnabled(true);
    for (int i = 0; i < 3; ++i) {
      EXPECT_LE(errors[true][i], 2 * errors[false][i]) << "pass " << i << ", scale " << scale;
      // Without AVX2, oneDNN has no convolution of its own, and the layer runs as the plain one.
      if (caffe_ext::ActiveIsa() != Isa::kGeneric) {
        EXPECT_NE(errors[true][i], errors[false][i]) << "this is no FFT";
      }
    }
  }
}

TEST_F(EngineFftTest, TestChoice) {
  const auto size = [](const CorrelationShape& s, ConvolutionPass pass, bool plain) {
    const FftTransforms* chosen =
        ChooseFft(s, pass, plain, caffe_ext::fft_kernels(caffe_ext::ActiveIsa()));
    return chosen ? chosen->size : 0;
  };
  for (const ConvolutionPass pass :
       {ConvolutionPass::kForward, ConvolutionPass::kBottomDiff, ConvolutionPass::kWeightDiff}) {
    // DRML's conv1, conv4 and conv5; a small kernel; one that is no smaller than half a tile.
    EXPECT_NE(size({16, 3, 32, 1, 170, 170, 11, 11, 0, 0}, pass, true), 0);
    EXPECT_NE(size({16, 32, 16, 1, 80, 80, 8, 8, 0, 0}, pass, false), 0);
    EXPECT_NE(size({16, 16, 16, 1, 73, 73, 8, 8, 0, 0}, pass, false), 0);
    EXPECT_EQ(size({16, 32, 32, 1, 80, 80, 3, 3, 0, 0}, pass, false), 0);
    EXPECT_EQ(size({16, 32, 32, 1, 80, 80, 1, 1, 0, 0}, pass, false), 0);
    EXPECT_EQ(size({1, 16, 16, 1, 70, 70, 66, 66, 0, 0}, pass, false), 0);
    // Neither one image nor many: an image's result must not depend on the others.
    EXPECT_EQ(size({1, 32, 16, 1, 80, 80, 8, 8, 0, 0}, pass, false),
              size({64, 32, 16, 1, 80, 80, 8, 8, 0, 0}, pass, false));
  }
}

}  // namespace caffe

#endif  // USE_ONEDNN
