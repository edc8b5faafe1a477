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
                         int passes, int most_factored)
    : ranks_(ranks),
      net_(net),
      buckets_(std::move(buckets)),
      passes_(passes),
      most_factored_(most_factored),
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
      const std::vector<int>& params = buckets_[b].params;
      Whole whole;
      if (params.size() == 1) {
        whole.factors =
            boost::dynamic_pointer_cast<FactoredGradient>(Param(params[0])->diff()->private_form());
      }
      if (!whole.factors) {
        // Taken on this thread: asking for it changes the blob's state, and may copy from a GPU.
        for (int param : params) {
          caffe::Blob<float>* blob = Param(param);
          whole.pieces.push_back(
              Piece{blob->mutable_cpu_diff(), static_cast<size_t>(blob->count())});
        }
      }
      {
        std::lock_guard<std::mutex> lock(mutex_);
        whole_.push_back(std::move(whole));
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
    Whole whole = whole_[summed_];
    const Bucket& bucket = buckets_[summed_];
    lock.unlock();
    const Stopwatch watch;
    const bool joined = bucket.params.size() == 1 && Join(bucket, whole.factors);
    if (!joined) {
      if (whole.factors) {
        // In CPU mode, in which factors are made, any thread may ask for the plain values.
        whole.pieces = {Piece{Param(bucket.params[0])->mutable_cpu_diff(), bucket.count}};
      }
      Sum(whole.pieces, bucket.count);
    }
    const double seconds = watch.Seconds();
    lock.lock();
    ++summed_;
    times_.summing += seconds;
    times_.factored += joined;
    times_.bytes += sizeof(float) * (joined ? whole.factors->count() : bucket.count);
    changed_.notify_all();
  }
}

bool GradientSum::Join(const Bucket& bucket, const boost::shared_ptr<FactoredGradient>& factors) {
  const int ranks = ranks_->size();
  // A rank may have none: its processor may lack the kernels, or somebody there has asked for the
  // plain gradient. Each bit of the number of images, and of its complement, is set on some rank;
  // no bit is in both if all ranks have the same number.
  const unsigned images =
      factors && factors->images() * ranks <= most_factored_ ? factors->images() : 0;
  const unsigned any = ranks_->AnyOf(images << 16 | (~images & 0xffff));
  const unsigned ones = any >> 16, zeros = any & 0xffff;
  if ((ones & zeros) != 0 || ones == 0) {
    return false;
  }
  const boost::shared_ptr<PrivateForm> joined(
      new FactoredGradient(images * ranks, factors->inputs(), factors->outputs(), ranks,
                           1.f / ranks, ranks_->GatherOnAll(factors->Factors())));
  Param(bucket.params[0])->diff()->set_private_form(joined);
  return true;
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
