#include "parallel/gradient_sum.hpp"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

namespace caffe_ext {

namespace {

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

GradientSum::GradientSum(Ranks* ranks, caffe::Net<float>* net, std::vector<Bucket> buckets,
                         int passes)
    : ranks_(ranks),
      net_(net),
      buckets_(std::move(buckets)),
      passes_(passes),
      pass_(0),
      summed_(0),
      stop_(false),
      times_() {
  size_t most = 0;
  for (const Bucket& bucket : buckets_) {
    most = std::max(most, bucket.params.size() > 1 ? bucket.count : 0);
  }
  together_.resize(most);
  thread_ = std::thread([this]() { Run(); });
}

GradientSum::~GradientSum() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void GradientSum::Start() {
  std::lock_guard<std::mutex> lock(mutex_);
  pass_ = 0;
  whole_.clear();
  summed_ = 0;
}

void GradientSum::run(int layer) {
  if (pass_ == passes_ - 1) {
    for (size_t b = whole_.size(); b < buckets_.size() && buckets_[b].layer >= layer; ++b) {
      // Taken on this thread: asking for it changes the blob's state, and may copy from a GPU.
      std::vector<Piece> pieces;
      for (int param : buckets_[b].params) {
        caffe::Blob<float>* blob = net_->learnable_params()[param];
        pieces.push_back(Piece{blob->mutable_cpu_diff(), static_cast<size_t>(blob->count())});
      }
      {
        std::lock_guard<std::mutex> lock(mutex_);
        whole_.push_back(std::move(pieces));
      }
      changed_.notify_all();
    }
  }
  if (layer == 0) {
    ++pass_;
  }
}

void GradientSum::Finish() {
  CHECK_EQ(pass_, passes_) << "The net was not run backward to its first layer.";
  const Stopwatch watch;
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this]() { return summed_ == buckets_.size(); });
  times_.waiting += watch.Seconds();
}

GradientSum::Times GradientSum::times() {
  std::lock_guard<std::mutex> lock(mutex_);
  return times_;
}

void GradientSum::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this]() { return stop_ || summed_ < whole_.size(); });
    if (stop_) {
      return;
    }
    const std::vector<Piece> pieces = whole_[summed_];
    const size_t count = buckets_[summed_].count;
    lock.unlock();
    const Stopwatch watch;
    Sum(pieces, count);
    const double seconds = watch.Seconds();
    lock.lock();
    ++summed_;
    times_.summing += seconds;
    changed_.notify_all();
  }
}

void GradientSum::Sum(const std::vector<Piece>& pieces, size_t count) {
  float* sum = pieces[0].values;
  if (pieces.size() > 1) {
    sum = together_.data();
    float* end = sum;
    for (const Piece& piece : pieces) {
      end = std::copy(piece.values, piece.values + piece.count, end);
    }
  }
  ranks_->Sum(sum, count);
  const float scale = 1.f / ranks_->size();
  for (const Piece& piece : pieces) {
    for (size_t i = 0; i < piece.count; ++i) {
      piece.values[i] = scale * sum[i];
    }
    sum += piece.count;
  }
}

}  // namespace caffe_ext
