// The region layer's convolutions by Winograd's algorithm, against the plain layer in double.
#ifdef USE_ONEDNN

#include <omp.h>

#include <cmath>
#include <limits>

#include "engine_fixture.hpp"
#include "engines/isa.hpp"

namespace caffe {

class WinogradTest : public EngineTest {
 protected:
  virtual void TearDown() {
    caffe_ext::SetTransformsEnabled(true);
    EngineTest::TearDown();
  }

  typedef vector<vector<float> > Values;

  // What one forward and one backward pass give: top, bottom diff, and the diff of each blob.
  template <typename Dtype>
  static Values Run(Layer<Dtype>* layer, const vector<int>& shape, const vector<float>& data,
                    const vector<float>& top_diff, const Values* blobs) {
    Blob<Dtype> bottom(shape), top;
    const vector<Blob<Dtype>*> bottoms(1, &bottom), tops(1, &top);
    std::copy(data.begin(), data.begin() + bottom.count(), bottom.mutable_cpu_data());
    layer->SetUp(bottoms, tops);
    for (int i = 0; i < layer->blobs().size(); ++i) {
      if (blobs) {
        std::copy((*blobs)[i].begin(), (*blobs)[i].end(), layer->blobs()[i]->mutable_cpu_data());
      }
      caffe_set(layer->blobs()[i]->count(), Dtype(0), layer->blobs()[i]->mutable_cpu_diff());
    }
    layer->Forward(bottoms, tops);
    Values values(1, vector<float>(top.cpu_data(), top.cpu_data() + top.count()));
    std::copy(top_diff.begin(), top_diff.begin() + top.count(), top.mutable_cpu_diff());
    layer->Backward(tops, vector<bool>(1, true), bottoms);
    values.push_back(vector<float>(bottom.cpu_diff(), bottom.cpu_diff() + bottom.count()));
    for (const auto& blob : layer->blobs()) {
      values.push_back(vector<float>(blob->cpu_diff(), blob->cpu_diff() + blob->count()));
    }
    return values;
  }

  Values RunEngine(const LayerParameter& param, const vector<int>& shape, const vector<float>& data,
                   const vector<float>& top_diff, const Values* blobs, bool transforms = true) {
    caffe_ext::SetTransformsEnabled(transforms);
    const Values values = Run(Create(param, true).get(), shape, data, top_diff, blobs);
    caffe_ext::SetTransformsEnabled(true);
    return values;
  }

  vector<float> Random(int count, float scale = 1) {
    vector<float> values(count);
    Fill(count, values.data());
    for (float& value : values) value *= scale;
    return values;
  }

  // Weights of a trained net's size; statistics and factor are no free values.
  Values RandomBlobs(const LayerParameter& param, const vector<int>& shape, float weights) {
    const shared_ptr<Layer<float> > layer = Create(param, false);
    Blob<float> bottom(shape), top;
    layer->SetUp({&bottom}, {&top});
    Values values;
    for (int i = 0; i < layer->blobs().size(); ++i) {
      values.push_back(Random(layer->blobs()[i]->count(), i == 0 ? weights : .3f));
      for (float& value : values.back()) value = i < 2 ? value : std::abs(value) + .5f;
    }
    return values;
  }

  static double LargestError(const vector<float>& actual, const vector<float>& expected) {
    double error = 0;
    EXPECT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      const double here = std::abs(double(actual[i]) - expected[i]);
      error = here <= error ? error : here;  // NaN stays
    }
    return error;
  }

  void CheckErrors(const string& options, const vector<int>& shape, float weights, float pixels) {
    SCOPED_TRACE(options);
    const LayerParameter param = ParseLayer("type: 'Region' region_param { " + options + " }");
    const Values blobs = RandomBlobs(param, shape, weights);
    const int count = Blob<float>(shape).count();
    const vector<float> data = Random(count, pixels), top_diff = Random(4 * count, pixels);
    const shared_ptr<Layer<double> > in_double = LayerRegistry<double>::CreateLayer(param);
    const Values expected = Run(in_double.get(), shape, data, top_diff, &blobs);
    const Values plain = Run(Create(param, false).get(), shape, data, top_diff, &blobs);
    const Values actual = RunEngine(param, shape, data, top_diff, &blobs);
    const Values direct = RunEngine(param, shape, data, top_diff, &blobs, false);
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      double largest = 0;
      for (const float value : expected[i]) largest = std::max<double>(largest, std::abs(value));
      const double error = LargestError(actual[i], expected[i]);
      const double others =
          std::max(LargestError(plain[i], expected[i]), LargestError(direct[i], expected[i]));
      EXPECT_TRUE(error <= 20 * others + 1e-7 * largest)
          << "value " << i << " (top, bottom diff, blobs): " << error << ", direct " << others;
      EXPECT_TRUE(error <= 5e-6 * largest) << "value " << i << ": " << error << " of " << largest;
    }
    // Here, Winograd's algorithm is worth it, and is what ran.
    if (caffe_ext::ActiveIsa() != caffe_ext::Isa::kGeneric) {
      EXPECT_NE(actual[0], direct[0]);
    }
  }
};

// Patches of whole tiles, with partial ones, and of several sizes at once; channels that fill no
// block, one, an even and an odd number of them.
TEST_F(WinogradTest, TestErrorsAreThoseOfFloat) {
  CheckErrors("grid_h: 2 grid_w: 2", {3, 32, 40, 40}, .06f, 1);
  CheckErrors("grid_h: 2 grid_w: 3 affine: true", {2, 33, 41, 50}, .06f, 1);
  CheckErrors("grid_h: 1 grid_w: 2 identity: false num_output: 17 bias_term: false",
              {2, 48, 13, 30}, .06f, 1);
  CheckErrors("grid_h: 1 grid_w: 1 identity: false num_output: 50 use_global_stats: true",
              {2, 20, 23, 18}, .06f, 1);
}

TEST_F(WinogradTest, TestLargeAndSmallValues) {
  for (const float scale : {1e12f, 1e-8f}) {
    CheckErrors(
        "grid_h: 2 grid_w: 1 batch_norm: false identity: false bias_term: false num_output: 16",
        {2, 16, 32, 19}, 100 * scale, scale);
  }
}

// A patch so wide that its tiles are worked on in several chunks.
TEST_F(WinogradTest, TestChunks) { CheckErrors("grid_h: 1 grid_w: 1", {1, 32, 33, 161}, .06f, 1); }

TEST_F(WinogradTest, TestFallsBackToDirect) {
  const char* const cases[] = {"grid_h: 2 grid_w: 2 kernel_size: 5", "grid_h: 8 grid_w: 8",
                               "grid_h: 2 grid_w: 2 kernel_size: 1"};
  for (const char* const options : cases) {
    const LayerParameter param =
        ParseLayer(string("type: 'Region' region_param { ") + options + " }");
    const vector<int> shape = {2, 32, 40, 40};
    const Values blobs = RandomBlobs(param, shape, .1f);
    const vector<float> data = Random(2 * 32 * 1600), diff = Random(2 * 32 * 1600);
    EXPECT_EQ(RunEngine(param, shape, data, diff, &blobs),
              RunEngine(param, shape, data, diff, &blobs, false))
        << options;
  }
}

// To the last bit: a face's values depend neither on the other faces nor on the number of threads.
TEST_F(WinogradTest, TestAFaceIsTheSameInAnyBatch) {
  if (caffe_ext::ActiveIsa() == caffe_ext::Isa::kGeneric) {
    return;  // nothing of Winograd's then
  }
  const LayerParameter param =
      ParseLayer("phase: TEST type: 'Region' region_param { grid_h: 2 grid_w: 2 }");
  const int image = 32 * 41 * 44;
  const Values blobs = RandomBlobs(param, {1, 32, 41, 44}, .06f);
  const vector<float> data = Random(8 * image), diff = Random(8 * image);
  const int before = omp_get_max_threads();
  const Values all = RunEngine(param, {8, 32, 41, 44}, data, diff, &blobs);
  for (const int threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    EXPECT_EQ(RunEngine(param, {8, 32, 41, 44}, data, diff, &blobs), all) << threads << " threads";
    for (const int num : {1, 2, 5}) {
      const Values some = RunEngine(param, {num, 32, 41, 44}, data, diff, &blobs);
      EXPECT_TRUE(std::equal(some[0].begin(), some[0].end(), all[0].begin())) << num;
      EXPECT_TRUE(std::equal(some[1].begin(), some[1].end(), all[1].begin())) << num;
    }
  }
  omp_set_num_threads(before);
}

TEST_F(WinogradTest, TestNaNAndInfinityReachTheOutput) {
  if (caffe_ext::ActiveIsa() == caffe_ext::Isa::kGeneric) {
    return;
  }
  const LayerParameter param = ParseLayer(
      "type: 'Region' region_param { grid_h: 1 grid_w: 1 batch_norm: false identity: false "
      "num_output: 18 }");
  const int height = 21, width = 22, channels = 17, outputs = 18;
  const vector<int> shape = {2, channels, height, width};
  const Values blobs = RandomBlobs(param, shape, .1f);
  vector<float> clean = Random(2 * channels * height * width);
  for (float& value : clean) value = std::abs(value) + .1f;  // so that no gradient is masked
  const vector<float> diff = Random(2 * outputs * height * width);
  const auto at = [&](int of, int n, int c, int y, int x) {
    return ((n * of + c) * height + y) * width + x;
  };
  // The neighbours of (y, x) in all channels of an image are lost, the other image's are not.
  const auto check = [&](const vector<float>& values, int of, int n, int y0, int x0) {
    for (int c = 0; c < of; ++c) {
      for (int y = std::max(y0 - 1, 0); y <= std::min(y0 + 1, height - 1); ++y) {
        for (int x = std::max(x0 - 1, 0); x <= std::min(x0 + 1, width - 1); ++x) {
          EXPECT_FALSE(std::isfinite(values[at(of, n, c, y, x)])) << c << " " << y << " " << x;
        }
      }
    }
    for (int i = 0; i < of * height * width; ++i) {
      EXPECT_TRUE(std::isfinite(values[(1 - n) * of * height * width + i]));
    }
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float bad : {nan, std::numeric_limits<float>::infinity()}) {
    for (const int y : {0, 7, 20}) {
      const int x = y + 1, n = y % 2;
      vector<float> data = clean, top_diff = diff;
      data[at(channels, n, 16, y, x)] = bad;
      check(RunEngine(param, shape, data, diff, &blobs)[0], outputs, n, y, x);
      top_diff[at(outputs, n, 3, y, x)] = bad;
      const Values values = RunEngine(param, shape, clean, top_diff, &blobs);
      check(values[1], channels, n, y, x);
      for (int c = 0; c < outputs; ++c) {
        for (int i = 0; i < channels * 9; ++i) {
          const bool touched = y > 0 && y < height - 1;  // by all nine weights
          if (c != 3 || touched) {
            EXPECT_EQ(std::isfinite(values[2][c * channels * 9 + i]), c != 3) << c << " " << i;
          }
        }
        EXPECT_EQ(std::isfinite(values[3][c]), c != 3);
      }
    }
  }
  Values broken = blobs;
  broken[0][(5 * channels + 2) * 9 + 4] = nan;
  const Values values = RunEngine(param, shape, clean, diff, &broken);
  for (int i = 0; i < height * width; ++i) {
    EXPECT_FALSE(std::isfinite(values[0][5 * height * width + i]));
    EXPECT_TRUE(std::isfinite(values[0][6 * height * width + i]));
    EXPECT_FALSE(std::isfinite(values[1][2 * height * width + i]));
  }
}

}  // namespace caffe

#endif  // USE_ONEDNN
