#include "training/solver_threads.hpp"

#include <boost/thread.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "caffe/parallel.hpp"

namespace caffe_ext {

using caffe::Caffe;
using std::string;

namespace {

// Where all threads wait for each other, and leave what they have to tell.
class Meeting {
 public:
  // What the first of `count` ranks has told that had anything to tell.
  string Tell(int rank, int count, const string& fault) {
    boost::unique_lock<boost::mutex> lock(mutex_);
    faults_.resize(count);
    faults_[rank] = fault;
    const uint64_t round = round_;
    if (++arrived_ < count) {
      try {
        while (round_ == round) {
          all_arrived_.wait(lock);
        }
      } catch (const boost::thread_interrupted&) {
        --arrived_;
        faults_[rank].clear();
        throw;
      }
    } else {
      first_.clear();
      for (string& told : faults_) {
        if (first_.empty()) {
          first_ = told;
        }
        told.clear();
      }
      arrived_ = 0;
      ++round_;
      all_arrived_.notify_all();
    }
    // It stays until all are back, which none is before it has read this.
    return first_;
  }

 private:
  boost::mutex mutex_;
  boost::condition_variable all_arrived_;
  uint64_t round_ = 0;
  int arrived_ = 0;
  std::vector<string> faults_;
  string first_;
};

}  // namespace

template <typename Dtype>
bool IsOneOfThreads(const caffe::Solver<Dtype>& solver) {
#ifdef USE_NCCL
  for (typename caffe::Solver<Dtype>::Callback* callback : solver.callbacks()) {
    caffe::NCCL<Dtype>* const nccl = dynamic_cast<caffe::NCCL<Dtype>*>(callback);
    if (nccl != nullptr && nccl->barrier() != nullptr) {  // none among processes
      return true;
    }
  }
#endif
  return false;
}

template <typename Dtype>
string FaultOfThreads(const caffe::Solver<Dtype>& solver, const string& fault) {
  static Meeting meeting;
  const string device = "GPU " + std::to_string(solver.param().device_id()) + ": ";
  return meeting.Tell(Caffe::solver_rank(), Caffe::solver_count(),
                      fault.empty() ? fault : device + fault);
}

void EndThread() { throw boost::thread_interrupted(); }

template bool IsOneOfThreads<float>(const caffe::Solver<float>&);
template bool IsOneOfThreads<double>(const caffe::Solver<double>&);
template string FaultOfThreads<float>(const caffe::Solver<float>&, const string&);
template string FaultOfThreads<double>(const caffe::Solver<double>&, const string&);

}  // namespace caffe_ext
