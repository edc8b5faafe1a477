// Convolutions by their definition, for the tests of those by transforms.
#ifndef DRML_TESTS_CONVOLUTION_ORACLE_HPP_
#define DRML_TESTS_CONVOLUTION_ORACLE_HPP_

#include "engine_fixture.hpp"
#include "engines/correlation_shape.hpp"

namespace caffe {

using caffe_ext::CorrelationShape;

class ConvolutionOracleTest : public EngineTest {
 protected:
  vector<float> Random(size_t count) {
    vector<float> values(count);
    Fill(count, values.data());
    return values;
  }

  // N x C x H x W, plain, as blocks of so many channels, and back.
  static vector<float> Blocked(const vector<float>& plain, int num, int channels, int area,
                               int lanes) {
    const int blocks = (channels + lanes - 1) / lanes;
    vector<float> out(size_t(num) * blocks * area * lanes);
    for (int n = 0; n < num; ++n) {
      for (int c = 0; c < channels; ++c) {
        for (int i = 0; i < area; ++i) {
          out[((size_t(n) * blocks + c / lanes) * area + i) * lanes + c % lanes] =
              plain[(size_t(n) * channels + c) * area + i];
        }
      }
    }
    return out;
  }

  static vector<float> Plain(const vector<float>& blocked, int num, int channels, int area,
                             int lanes) {
    const int blocks = (channels + lanes - 1) / lanes;
    vector<float> out(size_t(num) * channels * area);
    for (int n = 0; n < num; ++n) {
      for (int c = 0; c < channels; ++c) {
        for (int i = 0; i < area; ++i) {
          out[(size_t(n) * channels + c) * area + i] =
              blocked[((size_t(n) * blocks + c / lanes) * area + i) * lanes + c % lanes];
        }
      }
    }
    return out;
  }

  struct Values {
    vector<float> x, w, bias, dy;
  };
  struct Results {
    vector<double> y, dx, dw, db;
  };

  Values MakeValues(const CorrelationShape& s) {
    Values v;
    v.x = Random(size_t(s.images) * s.groups * s.channels * s.height * s.width);
    v.w = Random(size_t(s.groups) * s.outputs * s.channels * s.kernel_h * s.kernel_w);
    v.bias = Random(s.groups * s.outputs);
    v.dy = Random(size_t(s.images) * s.groups * s.outputs * s.out_height() * s.out_width());
    return v;
  }

  // The definition, one product after the other.
  static Results Expected(const CorrelationShape& s, const Values& v) {
    Results r;
    r.y.assign(v.dy.size(), 0);
    r.dx.assign(v.x.size(), 0);
    r.dw.assign(v.w.size(), 0);
    r.db.assign(v.bias.size(), 0);
    size_t at = 0;
    for (int n = 0; n < s.images; ++n) {
      for (int o = 0; o < s.groups * s.outputs; ++o) {
        for (int y = 0; y < s.out_height(); ++y) {
          for (int x = 0; x < s.out_width(); ++x, ++at) {
            r.y[at] = v.bias[o];
            r.db[o] += v.dy[at];
            for (int c = 0; c < s.channels; ++c) {
              const int from = o / s.outputs * s.channels + c;
              for (int i = 0; i < s.kernel_h; ++i) {
                for (int j = 0; j < s.kernel_w; ++j) {
                  const int a = y + i - s.pad_h, b = x + j - s.pad_w;
                  if (a < 0 || b < 0 || a >= s.height || b >= s.width) continue;
                  const size_t source =
                      ((size_t(n) * s.groups * s.channels + from) * s.height + a) * s.width + b;
                  const size_t weight =
                      ((size_t(o) * s.channels + c) * s.kernel_h + i) * s.kernel_w + j;
                  r.y[at] += double(v.x[source]) * v.w[weight];
                  r.dx[source] += double(v.dy[at]) * v.w[weight];
                  r.dw[weight] += double(v.dy[at]) * v.x[source];
                }
              }
            }
          }
        }
      }
    }
    return r;
  }

  /// Values are equal to within `tolerance` of the largest expected one.
  static void ExpectNear(const vector<float>& actual, const vector<double>& expected,
                         const string& what, double tolerance) {
    ASSERT_EQ(actual.size(), expected.size()) << what;
    double largest = 0, error = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      largest = std::max(largest, std::abs(expected[i]));
      // Written so that NaN is wrong.
      const double off = std::abs(actual[i] - expected[i]);
      error = off <= error ? error : off;
    }
    EXPECT_LE(error, tolerance * largest) << what;
  }
};

}  // namespace caffe

#endif  // DRML_TESTS_CONVOLUTION_ORACLE_HPP_
