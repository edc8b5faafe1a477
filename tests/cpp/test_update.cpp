// The steps of SGD and Adam in one pass, against the formulas in double and against upstream's
// passes in a solver; and the same steps with gradients that are kept as factors.
#include <omp.h>

#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "caffe/sgd_solvers.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "engines/factored_gradient.hpp"
#include "engines/few_images_product.hpp"
#include "engines/switch.hpp"
#include "engines/update.hpp"
#include "engines/zeros.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace caffe {

template <typename Dtype>
class UpdateTest : public ::testing::Test {
 protected:
  virtual void TearDown() { caffe_ext::SetEngineEnabled(true); }

  std::vector<Dtype> Random(int n) {
    std::normal_distribution<Dtype> normal;
    std::vector<Dtype> values(n);
    for (Dtype& value : values) value = normal(generator_);
    return values;
  }

  // Five iterations of a net in which two layers share their weights; everything a solver keeps.
  // `plain`: somebody has looked at all gradients before. Sets whether somebody would have had to
  // write those of layer "c" out.
  std::vector<Dtype> Train(const string& options, bool plain, bool* written) {
    const string text = options + R"(
      base_lr: 0.05 lr_policy: "step" gamma: 0.5 stepsize: 2 max_iter: 100
      snapshot_after_train: false random_seed: 3
      net_param {
        layer { name: "data" type: "DummyData" top: "data" top: "target" dummy_data_param {
          shape { dim: 4 dim: 5 } shape { dim: 4 dim: 5 }
          data_filler { type: "gaussian" std: 1 } data_filler { type: "gaussian" std: 1 } } }
        layer { name: "a" type: "InnerProduct" bottom: "data" top: "a"
          param { name: "w" lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
          inner_product_param { num_output: 5 weight_filler { type: "xavier" }
                                bias_filler { type: "gaussian" std: .1 } } }
        layer { name: "b" type: "InnerProduct" bottom: "a" top: "b"
          param { name: "w" } param { lr_mult: 0 }
          inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
        layer { name: "c" type: "InnerProduct" bottom: "b" top: "c"
          inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
        layer { name: "loss" type: "EuclideanLoss" bottom: "c" bottom: "target" }
      })";
    SolverParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(text, &param));
    const std::unique_ptr<Solver<Dtype> > owned(SolverRegistry<Dtype>::CreateSolver(param));
    SGDSolver<Dtype>& solver = dynamic_cast<SGDSolver<Dtype>&>(*owned);
    const vector<Blob<Dtype>*>& blobs = solver.net()->learnable_params();
    for (int i = 0; plain && i < blobs.size(); ++i) blobs[i]->cpu_diff();
    solver.Step(5);
    *written = solver.net()->layer_by_name("c")->blobs()[0]->diff()->plain_seen();
    std::vector<Dtype> state;
    for (int i = 0; i < blobs.size(); ++i) {
      for (int j = 0; j < blobs[i]->count(); ++j) {
        state.push_back(blobs[i]->cpu_data()[j]);
        state.push_back(blobs[i]->cpu_diff()[j]);
        state.push_back(solver.history()[i]->cpu_data()[j]);
      }
    }
    return state;
  }

  std::mt19937 generator_{1};
};

TYPED_TEST_CASE(UpdateTest, TestDtypes);

TYPED_TEST(UpdateTest, TestFormula) {
  for (const bool l1 : {false, true}) {
    const int n = 1009;
    const caffe_ext::SgdStep<TypeParam> step = {TypeParam(.1), TypeParam(.9), TypeParam(.5),
                                                TypeParam(.01), l1};
    std::vector<TypeParam> weight = this->Random(n), diff = this->Random(n),
                           history = this->Random(n);
    weight[7] = 0;
    const std::vector<TypeParam> w = weight, d = diff, h = history;
    caffe_ext::Update(n, step, weight.data(), diff.data(), history.data());
    for (int i = 0; i < n; ++i) {
      const double decay = l1 ? (w[i] > 0 ? 1 : w[i] < 0 ? -1 : 0) : double(w[i]);
      const double expected = .1 * (.5 * d[i] + .01 * decay) + .9 * h[i];
      EXPECT_NEAR(history[i], expected, 1e-6);
      EXPECT_EQ(diff[i], history[i]);
      EXPECT_NEAR(weight[i], w[i] - expected, 1e-6);
    }
  }
}

TYPED_TEST(UpdateTest, TestZeroRateAndZeroDecayLeaveTheirTermsOut) {
  const TypeParam nan = NAN, infinity = INFINITY;
  for (const bool l1 : {false, true}) {
    std::vector<TypeParam> weight(9, 2), diff(9, nan), history(9, 4);
    caffe_ext::SgdStep<TypeParam> step = {0, .5, 1, 1, l1};
    caffe_ext::Update(9, step, weight.data(), diff.data(), history.data());
    EXPECT_EQ(history, std::vector<TypeParam>(9, 2));
    EXPECT_EQ(diff, history);
    EXPECT_EQ(weight, std::vector<TypeParam>(9, 0));

    weight.assign(9, infinity);
    diff.assign(9, 8);
    step = {.5, .5, .25, 0, l1};
    caffe_ext::Update(9, step, weight.data(), diff.data(), history.data());
    EXPECT_EQ(history, std::vector<TypeParam>(9, 2));
    EXPECT_EQ(diff, history);
    EXPECT_EQ(weight, std::vector<TypeParam>(9, infinity));
  }
}

// Over several groups, with the fault in the gradient, the history or the weight.
TYPED_TEST(UpdateTest, TestWatchedStepLeavesOutWhatIsNotFinite) {
  const int n = 5000, at = 2500;
  caffe_ext::SgdStep<TypeParam> step = {TypeParam(.1),  TypeParam(.9), 1,
                                        TypeParam(.01), false,         true};
  for (const TypeParam value : {TypeParam(NAN), TypeParam(INFINITY), TypeParam(-INFINITY)}) {
    for (int place = 0; place < 4; ++place) {  // the last: none
      std::vector<TypeParam> weight = this->Random(n), diff = this->Random(n),
                             history = this->Random(n);
      std::vector<TypeParam>* const arrays[] = {&weight, &diff, &history};
      if (place < 3) {
        (*arrays[place])[at] = value;
      }
      std::vector<TypeParam> w = weight, d = diff, h = history;
      EXPECT_EQ(caffe_ext::Update(n, step, weight.data(), diff.data(), history.data()), place == 3);
      step.watched = false;
      EXPECT_TRUE(caffe_ext::Update(n, step, w.data(), d.data(), h.data()));
      step.watched = true;
      for (int i = 0; i < n; ++i) {
        if (i / 1024 != at / 1024 || place == 3) {
          EXPECT_EQ(weight[i], w[i]);
          EXPECT_EQ(history[i], h[i]);
        } else if (place != 0 || i != at) {
          EXPECT_TRUE(std::isfinite(weight[i]));
          EXPECT_NE(weight[i], w[i]);
        }
      }
    }
  }
  // Steps that are too large by themselves.
  std::vector<TypeParam> weight(9, 1), diff(9, std::numeric_limits<TypeParam>::max()),
      history(9, 0);
  step.rate = 100;
  EXPECT_FALSE(caffe_ext::Update(9, step, weight.data(), diff.data(), history.data()));
  EXPECT_EQ(weight, std::vector<TypeParam>(9, 1));
}

TYPED_TEST(UpdateTest, TestIsTheSameForAnyNumberOfThreads) {
  const caffe_ext::SgdStep<TypeParam> step = {TypeParam(.1), TypeParam(.9), 1, TypeParam(.01),
                                              false};
  const int threads_before = omp_get_max_threads();
  for (const int n : {1009, 1, 0}) {
    const std::vector<TypeParam> w = this->Random(n), d = this->Random(n), h = this->Random(n);
    std::vector<std::vector<TypeParam> > results;
    for (const int threads : {1, 2, 3, 7}) {
      omp_set_num_threads(threads);
      std::vector<TypeParam> weight = w, diff = d, history = h;
      caffe_ext::Update(n, step, weight.data(), diff.data(), history.data());
      results.push_back(weight);
      results.back().insert(results.back().end(), history.begin(), history.end());
      EXPECT_EQ(results.back(), results.front()) << n << " values, " << threads << " threads";
      caffe_ext::Clear(diff.data(), n * sizeof(TypeParam));
      EXPECT_EQ(diff, std::vector<TypeParam>(n, 0));
    }
  }
  omp_set_num_threads(threads_before);
}

TYPED_TEST(UpdateTest, TestAdamFollowsThePaper) {
  const int n = 1003;
  for (const bool l1 : {false, true}) {
    const caffe_ext::AdamStep<TypeParam> step = {TypeParam(.01),
                                                 TypeParam(.9),
                                                 TypeParam(.999),
                                                 TypeParam(1e-8),
                                                 TypeParam(.5),
                                                 TypeParam(.1),
                                                 l1,
                                                 true};
    std::vector<TypeParam> weight = this->Random(n), m(n), v(n);
    std::vector<double> w(weight.begin(), weight.end()), expected_m(n), expected_v(n);
    for (int iteration = 0; iteration < 5; ++iteration) {
      std::vector<TypeParam> diff = this->Random(n);
      const std::vector<double> gradient(diff.begin(), diff.end());
      EXPECT_TRUE(caffe_ext::Update(n, step, weight.data(), diff.data(), m.data(), v.data()));
      for (int i = 0; i < n; ++i) {
        const double g = .5 * gradient[i] + .1 * (l1 ? (w[i] > 0) - (w[i] < 0) : w[i]);
        expected_m[i] = .9 * expected_m[i] + .1 * g;
        expected_v[i] = .999 * expected_v[i] + .001 * g * g;
        const double change = .01 * expected_m[i] / (std::sqrt(expected_v[i]) + 1e-8);
        w[i] -= change;
        // 1 - beta2 loses digits in float; a small g is a difference of larger numbers.
        EXPECT_NEAR(diff[i], change, 2e-4 * std::abs(change) + 1e-6) << "weight " << i;
        EXPECT_NEAR(m[i], expected_m[i], 1e-5 * std::abs(expected_m[i]) + 1e-6);
        EXPECT_NEAR(v[i], expected_v[i], 2e-4 * expected_v[i] + 1e-9);
        EXPECT_NEAR(weight[i], w[i], 1e-5);
      }
    }
  }
}

TYPED_TEST(UpdateTest, TestWatchedAdamLeavesOutWhatIsNotFinite) {
  const int n = 3000, at = 1500;
  const TypeParam large = std::numeric_limits<TypeParam>::max();
  const caffe_ext::AdamStep<TypeParam> step = {
      TypeParam(.01), TypeParam(.9), TypeParam(.999), TypeParam(1e-8), 1, TypeParam(.1),
      false,          true};
  // The square of `large` is infinite, which would hold the weight still for good.
  for (const TypeParam value : {TypeParam(NAN), TypeParam(INFINITY), TypeParam(-INFINITY), large}) {
    std::vector<TypeParam> weight = this->Random(n), diff = this->Random(n), m(n), v(n);
    diff[at] = value;
    const std::vector<TypeParam> before = weight;
    EXPECT_FALSE(caffe_ext::Update(n, step, weight.data(), diff.data(), m.data(), v.data()));
    for (int i = 0; i < n; ++i) {
      EXPECT_TRUE(std::isfinite(weight[i]) && std::isfinite(m[i]) && std::isfinite(v[i]));
      EXPECT_EQ(weight[i] == before[i], i / 1024 == at / 1024) << "weight " << i;
    }
  }
}

TYPED_TEST(UpdateTest, TestAdamIsTheSameForAnyNumberOfThreads) {
  const caffe_ext::AdamStep<TypeParam> step = {
      TypeParam(.01), TypeParam(.9), TypeParam(.999), TypeParam(1e-8), 1, TypeParam(.1),
      false,          true};
  const int threads_before = omp_get_max_threads();
  for (const int n : {5009, 1, 0}) {
    const std::vector<TypeParam> w = this->Random(n), d = this->Random(n), m = this->Random(n);
    std::vector<TypeParam> first;
    for (const int threads : {1, 2, 3, 7}) {
      omp_set_num_threads(threads);
      std::vector<TypeParam> weight = w, diff = d, new_m = m, v(n, TypeParam(.3));
      caffe_ext::Update(n, step, weight.data(), diff.data(), new_m.data(), v.data());
      for (const auto& more : {diff, new_m, v})
        weight.insert(weight.end(), more.begin(), more.end());
      first = first.empty() ? weight : first;
      EXPECT_EQ(weight, first) << n << " values, " << threads << " threads";
    }
  }
  omp_set_num_threads(threads_before);
}

const char* const kSolvers[] = {
    "type: 'SGD' momentum: 0.9 weight_decay: 0.01",
    "type: 'SGD' momentum: 0 weight_decay: 0.1 regularization_type: 'L1'",
    "type: 'SGD' momentum: 0.5 weight_decay: 0.01 iter_size: 3",
    "type: 'SGD' momentum: 0.9 clip_gradients: 0.1",
    "type: 'Adam' momentum: 0.9 momentum2: 0.99 weight_decay: 0.01",
    "type: 'Adam' momentum: 0.9 momentum2: 0.99 weight_decay: 0.01 regularization_type: 'L1' "
    "iter_size: 2"};

TYPED_TEST(UpdateTest, TestSolverStepsAsUpstreamDoes) {
  for (const char* const options : kSolvers) {
    SCOPED_TRACE(options);
    bool written;
    caffe_ext::SetEngineEnabled(true);
    const std::vector<TypeParam> one_pass = this->Train(options, false, &written);
    caffe_ext::SetEngineEnabled(false);
    const std::vector<TypeParam> upstream = this->Train(options, false, &written);
    ASSERT_EQ(one_pass.size(), upstream.size());
    double moved = 0;
    for (size_t i = 0; i < upstream.size(); ++i) {
      // Adam divides a small gradient by a small one.
      EXPECT_NEAR(one_pass[i], upstream[i], 1e-4 * std::abs(upstream[i]) + 1e-5) << "value " << i;
      moved += i % 3 == 2 ? std::abs(upstream[i]) : 0;
    }
    EXPECT_GT(moved, 0);
  }
}

// Gradients kept as factors change nothing, to the last bit, and are written out for whoever asks.
TYPED_TEST(UpdateTest, TestSolverStepsTheSameWithFactors) {
  const bool factors = sizeof(TypeParam) == sizeof(float) && caffe_ext::FewImagesProductServes();
  for (const string options : kSolvers) {
    SCOPED_TRACE(options);
    bool written;
    const std::vector<TypeParam> plain = this->Train(options, true, &written);
    EXPECT_TRUE(written);
    EXPECT_EQ(this->Train(options, false, &written), plain);
    // A second image of iter_size adds, and clipping looks.
    const bool asked =
        options.find("iter_size") != string::npos || options.find("clip") != string::npos;
    EXPECT_EQ(written, asked || !factors);
  }
}

class FactoredGradientTest : public ::testing::Test {
 protected:
  virtual void SetUp() { images_ = inputs_ = outputs_ = 0; }

  void Make(int images, int inputs, int outputs) {
    images_ = images, inputs_ = inputs, outputs_ = outputs;
    std::normal_distribution<float> normal;
    const auto fill = [&](size_t n, std::vector<float>* values) {
      values->resize(n);
      for (float& value : *values) value = normal(generator_);
    };
    fill(size_t(images) * inputs, &x_);
    fill(size_t(images) * outputs, &dy_);
    for (std::vector<float>* values : {&weight_, &m_, &v_}) fill(size_t(inputs) * outputs, values);
    for (float& value : v_) value = std::abs(value);
  }

  std::vector<float> Plain() const {
    std::vector<float> plain(weight_.size(), NAN);
    Factors().WritePlain(plain.data(), plain.size() * sizeof(float));
    return plain;
  }
  caffe_ext::FactoredGradient Factors() const {
    return caffe_ext::FactoredGradient(images_, inputs_, outputs_, x_.data(), dy_.data());
  }

  int images_, inputs_, outputs_;
  std::vector<float> x_, dy_, weight_, m_, v_;
  std::mt19937 generator_{1};
  const caffe_ext::SgdStep<float> sgd_ = {.1, .9, .5, .01, false, true};
  const caffe_ext::AdamStep<float> adam_ = {.01, .9, .999, 1e-8, .5, .01, false, true};
};

TEST_F(FactoredGradientTest, TestWritesTheProduct) {
  if (!caffe_ext::FewImagesProductServes()) return;
  const int shapes[][3] = {{1, 1, 1}, {2, 37, 5}, {3, 1030, 13}, {17, 2100, 6}, {64, 9, 70}};
  for (const auto& shape : shapes) {
    Make(shape[0], shape[1], shape[2]);
    const std::vector<float> plain = Plain();
    for (int o = 0; o < outputs_; ++o) {
      for (int i = 0; i < inputs_; ++i) {
        double expected = 0;
        for (int n = 0; n < images_; ++n) {
          expected += double(dy_[n * outputs_ + o]) * x_[size_t(n) * inputs_ + i];
        }
        EXPECT_NEAR(plain[size_t(o) * inputs_ + i], expected, 1e-5) << o << ", " << i;
      }
    }
  }
}

TEST_F(FactoredGradientTest, TestUpdatesAsThePlainGradient) {
  if (!caffe_ext::FewImagesProductServes()) return;
  const int shapes[][3] = {{1, 1, 1}, {2, 37, 5}, {3, 1030, 13}, {17, 2100, 6}};
  for (const auto& shape : shapes) {
    Make(shape[0], shape[1], shape[2]);
    const int n = weight_.size();
    std::vector<float> diff = Plain(), w = weight_, m = m_, v = v_;
    EXPECT_TRUE(caffe_ext::Update(n, sgd_, w.data(), diff.data(), m.data()));
    std::vector<float> weight = weight_, history = m_;
    EXPECT_TRUE(Factors().Update(sgd_, weight.data(), history.data()));
    EXPECT_EQ(weight, w);
    EXPECT_EQ(history, m);

    diff = Plain(), w = weight_, m = m_;
    EXPECT_TRUE(caffe_ext::Update(n, adam_, w.data(), diff.data(), m.data(), v.data()));
    weight = weight_, history = m_;
    std::vector<float> squares = v_;
    EXPECT_TRUE(Factors().Update(adam_, weight.data(), history.data(), squares.data()));
    EXPECT_EQ(weight, w);
    EXPECT_EQ(history, m);
    EXPECT_EQ(squares, v);
  }
}

// What ranks exchange: the gradient of all their images, here with a scale that rounds nothing.
TEST_F(FactoredGradientTest, TestJoinsTheFactorsOfParts) {
  if (!caffe_ext::FewImagesProductServes()) return;
  Make(6, 37, 5);
  std::vector<float> expected = Plain(), factors;
  for (float& value : expected) value *= .25f;
  for (int part = 0; part < 3; ++part) {
    const caffe_ext::FactoredGradient mine(2, inputs_, outputs_, &x_[2 * part * inputs_],
                                           &dy_[2 * part * outputs_]);
    const std::vector<float> values = mine.Factors();
    EXPECT_EQ(2 * (inputs_ + outputs_), values.size());
    EXPECT_EQ(mine.count(), values.size());
    factors.insert(factors.end(), values.begin(), values.end());
  }
  const caffe_ext::FactoredGradient joined(6, inputs_, outputs_, 3, .25f, factors);
  EXPECT_EQ(6, joined.images());
  std::vector<float> plain(expected.size(), NAN);
  joined.WritePlain(plain.data(), plain.size() * sizeof(float));
  EXPECT_EQ(expected, plain);
}

// NaN in one value of the images reaches one weight of each row.
TEST_F(FactoredGradientTest, TestWatchSeesNan) {
  if (!caffe_ext::FewImagesProductServes()) return;
  Make(3, 2100, 6);
  x_[2100 + 1500] = NAN;
  std::vector<float> weight = weight_;
  EXPECT_FALSE(Factors().Update(sgd_, weight.data(), m_.data()));
  for (int i = 0; i < weight.size(); ++i) {
    EXPECT_EQ(weight[i] == weight_[i], i % 2100 / 1024 == 1500 / 1024) << "weight " << i;
  }
}

}  // namespace caffe
