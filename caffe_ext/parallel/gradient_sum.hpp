// Sums gradients over the ranks while the backward pass goes on.
#ifndef CAFFE_EXT_PARALLEL_GRADIENT_SUM_HPP_
#define CAFFE_EXT_PARALLEL_GRADIENT_SUM_HPP_

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "caffe/net.hpp"
#include "parallel/buckets.hpp"
#include "parallel/ranks.hpp"

namespace caffe_ext {

/**
 * @brief Turns every gradient of a net into the mean of the ranks' gradients.
 *
 * A thread of its own sums bucket after bucket, each as soon as the last of `passes` backward
 * passes has left it behind. Between Start and Finish no one else may use the ranks.
 */
class GradientSum : public caffe::Net<float>::Callback {
 public:
  /// Seconds since the first Start.
  struct Times {
    double summing;  ///< in which a bucket travelled, or waited for a slower rank
    double waiting;  ///< of these, in which backward had nothing left to do
  };

  GradientSum(Ranks* ranks, caffe::Net<float>* net, std::vector<Bucket> buckets, int passes);
  ~GradientSum();

  /// Before the first of the passes.
  void Start();
  /// After the last one: returns once the gradients are the means.
  void Finish();
  Times times();
  const std::vector<Bucket>& buckets() const { return buckets_; }

 protected:
  /// After a layer's backward.
  virtual void run(int layer);

 private:
  struct Piece {
    float* values;
    size_t count;
  };

  void Run();
  void Sum(const std::vector<Piece>& pieces, size_t count);

  Ranks* const ranks_;
  caffe::Net<float>* const net_;
  const std::vector<Bucket> buckets_;
  const int passes_;
  int pass_;
  /// Where buckets of several pieces are put together.
  std::vector<float> together_;

  std::mutex mutex_;
  std::condition_variable changed_;
  /// The pieces of the buckets that are whole, in the order of buckets_; guarded, as all below.
  std::vector<std::vector<Piece> > whole_;
  size_t summed_;
  bool stop_;
  Times times_;
  std::thread thread_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_PARALLEL_GRADIENT_SUM_HPP_
