#include "training/watch.hpp"

#include <cmath>
#include <sstream>
#include <string>

#include "training/errors.hpp"
#include "training/solver_threads.hpp"

namespace caffe_ext {

using boost::shared_ptr;
using caffe::Blob;
using caffe::Caffe;
using caffe::Solver;
using std::string;

namespace {

template <typename Dtype>
bool AllFinite(int count, const Dtype* values) {
  Dtype sum = 0;  // of zeros and of NaNs
#pragma omp parallel for simd schedule(static) reduction(+ : sum)
  for (int i = 0; i < count; ++i) {
    sum += values[i] * 0;
  }
  return sum == 0;
}

// What a solver keeps to itself and those that inherit from it.
template <typename Dtype>
struct Access : Solver<Dtype> {
  typedef Solver<Dtype> Base;
  static string Describe(Base* solver) { return (solver->*(&Access::DescribeNonfinite))(); }
  static string& mark(Base* solver) { return solver->*(&Access::snapshot_mark_); }
  static string Name(Base* solver) { return (solver->*(&Access::SnapshotFilename))(".caffemodel"); }
};

template <typename Dtype>
struct CallbackAccess : Solver<Dtype>::Callback {
  typedef typename Solver<Dtype>::Callback Base;
  static string Agree(Base* callback, const string& fault) {
    return (callback->*(&CallbackAccess::on_loss))(fault);
  }
  static void Wrong(Base* callback) { (callback->*(&CallbackAccess::on_wrong_loss))(); }
};

// What all ranks say to a fault of this one, or "".
template <typename Dtype>
string Agreed(Solver<Dtype>* solver, string fault) {
  for (typename Solver<Dtype>::Callback* callback : solver->callbacks()) {
    fault = CallbackAccess<Dtype>::Agree(callback, fault);
  }
  return IsOneOfThreads(*solver) ? FaultOfThreads(*solver, fault) : fault;
}

// Keeps what there is, and throws.
template <typename Dtype>
void Stop(Solver<Dtype>* solver, const string& fault) {
  std::ostringstream text;
  text << fault;
  if (solver->param().has_snapshot_prefix() && Caffe::root_solver()) {
    Access<Dtype>::mark(solver) = "_nonfinite";
    if (solver->TrySnapshot()) {
      text << " For a look at it: " << Access<Dtype>::Name(solver) << " (not to go on from).";
    }
    Access<Dtype>::mark(solver).clear();
  }
  for (typename Solver<Dtype>::Callback* callback : solver->callbacks()) {
    CallbackAccess<Dtype>::Wrong(callback);
  }
  if (IsOneOfThreads(*solver) && !Caffe::root_solver()) {
    EndThread();  // that of rank 0 tells what there is to tell
  }
  text << " stop_at_nonfinite_loss: false in the solver would go on all the same.";
  throw LossError(text.str());
}

}  // namespace

// In the order of the forward pass, so that the cause comes before what it did; gradients in that
// of the backward pass.
template <typename Dtype>
string SolverExtension<Dtype>::DescribeNonfinite() {
  const caffe::Net<Dtype>& net = *solver()->net();
  const auto layer = [&net](size_t i) {
    return "layer '" + net.layer_names()[i] + "' (" + net.layers()[i]->type() + ")";
  };
  for (size_t i = 0; i < net.layers().size(); ++i) {
    for (const shared_ptr<Blob<Dtype> >& blob : net.layers()[i]->blobs()) {
      if (!AllFinite(blob->count(), blob->cpu_data())) {
        return "parameters of " + layer(i) + ". An update made them so: lower base_lr, or set " +
               "clip_gradients, and go on from a snapshot before it";
      }
    }
    for (size_t j = 0; j < net.top_vecs()[i].size(); ++j) {
      const Blob<Dtype>& blob = *net.top_vecs()[i][j];
      if (!AllFinite(blob.count(), blob.cpu_data())) {
        const string name = net.blob_names()[net.top_ids(i)[j]];
        return "blob '" + name + "', a top of " + layer(i) + ". " +
               (net.bottom_vecs()[i].empty()
                    ? "The data are so: check them, and scale and mean of transform_param"
                    : "Its inputs and parameters are finite: lower base_lr, or check the range of "
                      "the data (scale, mean) and this layer's parameters");
      }
    }
  }
  for (size_t i = net.layers().size(); i-- > 0;) {
    for (const shared_ptr<Blob<Dtype> >& blob : net.layers()[i]->blobs()) {
      if (!AllFinite(blob->count(), blob->cpu_diff())) {
        return "the gradient of " + layer(i) + ". All values of the forward pass are finite: " +
               "lower base_lr or loss_weight, or set clip_gradients";
      }
    }
  }
  return "none of the net's blobs: a sum or a step overflows; lower base_lr";
}

template <typename Dtype>
void SolverExtension<Dtype>::CheckLoss(Dtype loss) {
  string fault;
  if (!std::isfinite(loss) && !nonfinite_told_) {
    std::ostringstream told;
    told << "Iteration " << solver()->iter() << ": the loss is " << loss
         << ". The first value that is not finite is in " << DescribeNonfinite() << ".";
    fault = told.str();
  }
  if (!solver()->param().stop_at_nonfinite_loss()) {
    LOG_IF(WARNING, !fault.empty())
        << fault << " Training goes on, as stop_at_nonfinite_loss is false.";
    nonfinite_told_ = nonfinite_told_ || !fault.empty();
    return;
  }
  fault = Agreed(solver(), fault);
  if (!fault.empty()) {
    Stop(solver(), fault);
  }
}

template void SolverExtension<float>::CheckLoss(float);
template void SolverExtension<double>::CheckLoss(double);
template string SolverExtension<float>::DescribeNonfinite();
template string SolverExtension<double>::DescribeNonfinite();

namespace {

// Whether all weights, and what an update is about to take from them, are finite.
template <typename Dtype>
bool UpdatesAreFinite(const caffe::Net<Dtype>& net) {
  for (const caffe::Blob<Dtype>* blob : net.learnable_params()) {
    // Two sums of magnitudes, on whichever device the values are. They may overflow by themselves.
    if (!std::isfinite(blob->asum_diff() + blob->asum_data()) &&
        !(AllFinite(blob->count(), blob->cpu_diff()) &&
          AllFinite(blob->count(), blob->cpu_data()))) {
      return false;
    }
  }
  return true;
}

}  // namespace

template <typename Dtype>
void CheckUpdate(Solver<Dtype>* solver) {
  if (solver->param().stop_at_nonfinite_loss() && !UpdatesAreFinite(*solver->net())) {
    StopAtNonfiniteUpdate(solver);
  }
}

template <typename Dtype>
void StopAtNonfiniteUpdate(Solver<Dtype>* solver) {
  std::ostringstream text;
  text << "Iteration " << solver->iter() << ": the update would make weights NaN or infinite. The "
       << "first value that is not finite is in " << Access<Dtype>::Describe(solver) << ".";
  Stop(solver, Agreed(solver, text.str()));
}

template void CheckUpdate<float>(Solver<float>*);
template void CheckUpdate<double>(Solver<double>*);
template void StopAtNonfiniteUpdate<float>(Solver<float>*);
template void StopAtNonfiniteUpdate<double>(Solver<double>*);

}  // namespace caffe_ext
