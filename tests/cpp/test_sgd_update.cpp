// The one-pass SGD step, against the formula in double and against upstream's passes in a solver.
#include <omp.h>

#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "caffe/sgd_solvers.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "engines/sgd.hpp"
#include "engines/switch.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace caffe {

template <typename Dtype>
class SgdUpdateTest : public ::testing::Test {
 protected:
  virtual void TearDown() { caffe_ext::SetEngineEnabled(true); }

  std::vector<Dtype> Random(int n) {
    std::normal_distribution<Dtype> normal;
    std::vector<Dtype> values(n);
    for (Dtype& value : values) value = normal(generator_);
    return values;
  }

  // Five iterations of a net in which two layers share their weights; everything a solver keeps.
  std::vector<Dtype> Train(const string& options) {
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
        layer { name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "target" }
      })";
    SolverParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(text, &param));
    SGDSolver<Dtype> solver(param);
    solver.Step(5);
    std::vector<Dtype> state;
    const vector<Blob<Dtype>*>& blobs = solver.net()->learnable_params();
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

TYPED_TEST_CASE(SgdUpdateTest, TestDtypes);

TYPED_TEST(SgdUpdateTest, TestFormula) {
  for (const bool l1 : {false, true}) {
    const int n = 1009;
    const caffe_ext::SgdStep<TypeParam> step = {TypeParam(.1), TypeParam(.9), TypeParam(.5),
                                                TypeParam(.01), l1};
    std::vector<TypeParam> weight = this->Random(n), diff = this->Random(n),
                           history = this->Random(n);
    weight[7] = 0;
    const std::vector<TypeParam> w = weight, d = diff, h = history;
    caffe_ext::SgdUpdate(n, step, weight.data(), diff.data(), history.data());
    for (int i = 0; i < n; ++i) {
      const double decay = l1 ? (w[i] > 0 ? 1 : w[i] < 0 ? -1 : 0) : double(w[i]);
      const double expected = .1 * (.5 * d[i] + .01 * decay) + .9 * h[i];
      EXPECT_NEAR(history[i], expected, 1e-6);
      EXPECT_EQ(diff[i], history[i]);
      EXPECT_NEAR(weight[i], w[i] - expected, 1e-6);
    }
  }
}

TYPED_TEST(SgdUpdateTest, TestZeroRateAndZeroDecayLeaveTheirTermsOut) {
  const TypeParam nan = NAN, infinity = INFINITY;
  for (const bool l1 : {false, true}) {
    std::vector<TypeParam> weight(9, 2), diff(9, nan), history(9, 4);
    caffe_ext::SgdUpdate<TypeParam>(9, {0, .5, 1, 1, l1}, weight.data(), diff.data(),
                                    history.data());
    EXPECT_EQ(history, std::vector<TypeParam>(9, 2));
    EXPECT_EQ(diff, history);
    EXPECT_EQ(weight, std::vector<TypeParam>(9, 0));

    weight.assign(9, infinity);
    diff.assign(9, 8);
    caffe_ext::SgdUpdate<TypeParam>(9, {.5, .5, .25, 0, l1}, weight.data(), diff.data(),
                                    history.data());
    EXPECT_EQ(history, std::vector<TypeParam>(9, 2));
    EXPECT_EQ(diff, history);
    EXPECT_EQ(weight, std::vector<TypeParam>(9, infinity));
  }
}

// Over several groups, with the fault in the gradient, the history or the weight.
TYPED_TEST(SgdUpdateTest, TestWatchedStepLeavesOutWhatIsNotFinite) {
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
      EXPECT_EQ(caffe_ext::SgdUpdate(n, step, weight.data(), diff.data(), history.data()),
                place == 3);
      step.watched = false;
      EXPECT_TRUE(caffe_ext::SgdUpdate(n, step, w.data(), d.data(), h.data()));
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
  EXPECT_FALSE(caffe_ext::SgdUpdate(9, step, weight.data(), diff.data(), history.data()));
  EXPECT_EQ(weight, std::vector<TypeParam>(9, 1));
}

TYPED_TEST(SgdUpdateTest, TestIsTheSameForAnyNumberOfThreads) {
  const caffe_ext::SgdStep<TypeParam> step = {TypeParam(.1), TypeParam(.9), 1, TypeParam(.01),
                                              false};
  const int threads_before = omp_get_max_threads();
  for (const int n : {1009, 1, 0}) {
    const std::vector<TypeParam> w = this->Random(n), d = this->Random(n), h = this->Random(n);
    std::vector<std::vector<TypeParam> > results;
    for (const int threads : {1, 2, 3, 7}) {
      omp_set_num_threads(threads);
      std::vector<TypeParam> weight = w, diff = d, history = h;
      caffe_ext::SgdUpdate(n, step, weight.data(), diff.data(), history.data());
      results.push_back(weight);
      results.back().insert(results.back().end(), history.begin(), history.end());
      EXPECT_EQ(results.back(), results.front()) << n << " values, " << threads << " threads";
      caffe_ext::Clear(diff.data(), n * sizeof(TypeParam));
      EXPECT_EQ(diff, std::vector<TypeParam>(n, 0));
    }
  }
  omp_set_num_threads(threads_before);
}

TYPED_TEST(SgdUpdateTest, TestSolverStepsAsUpstreamDoes) {
  const char* const cases[] = {
      "momentum: 0.9 weight_decay: 0.01", "momentum: 0 weight_decay: 0.1 regularization_type: 'L1'",
      "momentum: 0.5 weight_decay: 0.01 iter_size: 3", "momentum: 0.9 clip_gradients: 0.1"};
  for (const char* const options : cases) {
    SCOPED_TRACE(options);
    caffe_ext::SetEngineEnabled(true);
    const std::vector<TypeParam> one_pass = this->Train(options);
    caffe_ext::SetEngineEnabled(false);
    const std::vector<TypeParam> upstream = this->Train(options);
    ASSERT_EQ(one_pass.size(), upstream.size());
    double moved = 0;
    for (size_t i = 0; i < upstream.size(); ++i) {
      EXPECT_NEAR(one_pass[i], upstream[i], 1e-5 * std::abs(upstream[i]) + 1e-6) << "value " << i;
      moved += i % 3 == 2 ? std::abs(upstream[i]) : 0;
    }
    EXPECT_GT(moved, 0);
  }
}

}  // namespace caffe
