// Sums gradients over the ranks while the backward pass goes on.
#ifndef CAFFE_EXT_PARALLEL_GRADIENT_SUM_HPP_
#define CAFFE_EXT_PARALLEL_GRADIENT_SUM_HPP_

#include <boost/shared_ptr.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "caffe/net.hpp"
#include "engines/factored_gradient.hpp"
#include "parallel/buckets.hpp"
#include "parallel/ranks.hpp"

namespace caffe_ext {

/**
 * @brief Turns every gradient of a net into the mean of the ranks' gradients.
 *
 * A thread of its own sums bucket after bucket, each as soon as the last of `passes` backward
 * passes has left it behind. Between Start and Finish no one else may use the ranks.
 *
 * An inner product's gradient that all ranks keep as factors (engines/factored_gradient.hpp) stays
 * so: every rank gets the factors of all, which are those of the gradient of all images. They are
 * far fewer bytes than the gradient (fc8 of models/drml, 16 images a rank: 1 MB instead of 191),
 * and the update computes the gradient from them, in the same order on every rank.
 */
class GradientSum : public caffe::Net<float>::Callback {
 public:
  /// Seconds since the first Start.
  struct Times {
    double summing;  ///< in which a bucket travelled, or waited for a slower rank
    double waiting;  ///< of these, in which backward had nothing left to do
    double bytes;    ///< of gradients and factors that this rank gave
    int factored;    ///< buckets that travelled as factors
  };

  /// Factors of more than `most_factored` images of all ranks together are not exchanged, because
  /// the update's multiply-adds grow with the images.
  GradientSum(Ranks* ranks, caffe::Net<float>* net, std::vector<Bucket> buckets, int passes,
              int most_factored);
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
  /// A bucket's gradients in memory, or those of its only parameter as factors.
  struct Whole {
    std::vector<Piece> pieces;
    boost::shared_ptr<FactoredGradient> factors;
  };

  void Run();
  void Sum(const std::vector<Piece>& pieces, size_t count);
  /// Exchanges the factors if every rank has some of as many images, and returns whether it did.
  bool Join(const Bucket& bucket, const boost::shared_ptr<FactoredGradient>& factors);
  caffe::Blob<float>* Param(int param) const { return net_->learnable_params()[param]; }

  Ranks* const ranks_;
  caffe::Net<float>* const net_;
  const std::vector<Bucket> buckets_;
  const int passes_, most_factored_;
  int pass_;
  /// Where buckets of several pieces are put together.
  std::vector<float> together_;

  std::mutex mutex_;
  std::condition_variable changed_;
  /// The buckets that are whole, in the order of buckets_; guarded, as all below.
  std::vector<Whole> whole_;
  size_t summed_;
  bool stop_;
  Times times_;
  std::thread thread_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_PARALLEL_GRADIENT_SUM_HPP_
