#ifndef CAFFE_EXT_WORKER_POOL_HPP_
#define CAFFE_EXT_WORKER_POOL_HPP_

#include <atomic>
#include <condition_variable>  // NOLINT(build/c++11)
#include <cstddef>
#include <functional>
#include <mutex>  // NOLINT(build/c++11)
#include <system_error>
#include <thread>  // NOLINT(build/c++11)
#include <vector>

namespace caffe_ext {

/**
 * @brief A few threads that do a list of independent items together.
 *
 * The caller of Run works too, as worker 0, so a pool of one has no thread of its own. Threads wait
 * asleep between two runs and end with the pool. Where the system gives fewer threads than asked
 * for, the pool makes do with those.
 */
class WorkerPool {
 public:
  /// Called as job(worker, item); must not throw.
  typedef std::function<void(int, size_t)> Job;

  explicit WorkerPool(int workers) {
    threads_.reserve(workers);
    try {
      for (int worker = 1; worker < workers; ++worker) {
        threads_.emplace_back(&WorkerPool::Work, this, worker);
      }
    } catch (const std::system_error&) {
      // A limit on threads or memory; an exception here would leave those that run without an end.
    }
  }
  ~WorkerPool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) {
      thread.join();
    }
  }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  int size() const { return static_cast<int>(threads_.size()) + 1; }

  /// Does items 0 .. items-1, each by the next worker that is free; returns when all are done.
  void Run(size_t items, const Job& job) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      job_ = &job;
      items_ = items;
      next_ = 0;
      busy_ = threads_.size();
      ++run_;
    }
    wake_.notify_all();
    TakeItems(0);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
    job_ = nullptr;
  }

 private:
  void Work(int worker) {
    size_t seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      wake_.wait(lock, [this, seen] { return stop_ || run_ != seen; });
      if (stop_) {
        return;
      }
      seen = run_;
      lock.unlock();
      TakeItems(worker);
      lock.lock();
      if (--busy_ == 0) {
        done_.notify_one();
      }
    }
  }

  void TakeItems(int worker) {
    for (size_t item = next_++; item < items_; item = next_++) {
      (*job_)(worker, item);
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  bool stop_ = false;
  size_t run_ = 0;            // counts the calls of Run
  size_t busy_ = 0;           // threads that have not finished this run
  const Job* job_ = nullptr;  // of this run, as is the next line
  size_t items_ = 0;
  std::atomic<size_t> next_{0};
  std::vector<std::thread> threads_;  // last: they use everything above
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_WORKER_POOL_HPP_
