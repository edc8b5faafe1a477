#include "training/watch.hpp"

#include <cmath>
#include <sstream>
#include <string>

#include "training/errors.hpp"

namespace caffe {

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
  return fault;
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
  text << " stop_at_nonfinite_loss: false in the solver would go on all the same.";
  throw caffe_ext::LossError(text.str());
}

}  // namespace

// In the order of the forward pass, so that the cause comes before what it did; gradients in that
// of the backward pass.
template <typename Dtype>
string Solver<Dtype>::DescribeNonfinite() {
  const auto layer = [this](size_t i) {
    return "layer '" + net_->layer_names()[i] + "' (" + net_->layers()[i]->type() + ")";
  };
  for (size_t i = 0; i < net_->layers().size(); ++i) {
    for (const shared_ptr<Blob<Dtype> >& blob : net_->layers()[i]->blobs()) {
      if (!AllFinite(blob->count(), blob->cpu_data())) {
        return "parameters of " + layer(i) + ". An update made them so: lower base_lr, or set " +
               "clip_gradients, and go on from a snapshot before it";
      }
    }
    for (size_t j = 0; j < net_->top_vecs()[i].size(); ++j) {
      const Blob<Dtype>& blob = *net_->top_vecs()[i][j];
      if (!AllFinite(blob.count(), blob.cpu_data())) {
        const string name = net_->blob_names()[net_->top_ids(i)[j]];
        return "blob '" + name + "', a top of " + layer(i) + ". " +
               (net_->bottom_vecs()[i].empty()
                    ? "The data are so: check them, and scale and mean of transform_param"
                    : "Its inputs and parameters are finite: lower base_lr, or check the range of "
                      "the data (scale, mean) and this layer's parameters");
      }
    }
  }
  for (size_t i = net_->layers().size(); i-- > 0;) {
    for (const shared_ptr<Blob<Dtype> >& blob : net_->layers()[i]->blobs()) {
      if (!AllFinite(blob->count(), blob->cpu_diff())) {
        return "the gradient of " + layer(i) + ". All values of the forward pass are finite: " +
               "lower base_lr or loss_weight, or set clip_gradients";
      }
    }
  }
  return "none of the net's blobs: a sum or a step overflows; lower base_lr";
}

template <typename Dtype>
void Solver<Dtype>::CheckLoss(Dtype loss) {
  string fault;
  if (!std::isfinite(loss) && !nonfinite_told_) {
    std::ostringstream told;
    told << "Iteration " << iter_ << ": the loss is " << loss
         << ". The first value that is not finite is in " << DescribeNonfinite() << ".";
    fault = told.str();
  }
  if (!param_.stop_at_nonfinite_loss()) {
    LOG_IF(WARNING, !fault.empty())
        << fault << " Training goes on, as stop_at_nonfinite_loss is false.";
    nonfinite_told_ = nonfinite_told_ || !fault.empty();
    return;
  }
  fault = Agreed(this, fault);
  if (!fault.empty()) {
    Stop(this, fault);
  }
}

template void Solver<float>::CheckLoss(float);
template void Solver<double>::CheckLoss(double);
template string Solver<float>::DescribeNonfinite();
template string Solver<double>::DescribeNonfinite();

}  // namespace caffe

namespace caffe_ext {

template <typename Dtype>
bool UpdatesAreFinite(const caffe::Net<Dtype>& net) {
  for (const caffe::Blob<Dtype>* blob : net.learnable_params()) {
    // Two sums of magnitudes, on whichever device the values are. They may overflow by themselves.
    if (!std::isfinite(blob->asum_diff() + blob->asum_data()) &&
        !(caffe::AllFinite(blob->count(), blob->cpu_diff()) &&
          caffe::AllFinite(blob->count(), blob->cpu_data()))) {
      return false;
    }
  }
  return true;
}

template <typename Dtype>
void StopAtNonfiniteUpdate(caffe::Solver<Dtype>* solver) {
  std::ostringstream text;
  text << "Iteration " << solver->iter() << ": the update would make weights NaN or infinite. The "
       << "first value that is not finite is in " << caffe::Access<Dtype>::Describe(solver) << ".";
  caffe::Stop(solver, caffe::Agreed(solver, text.str()));
}

template bool UpdatesAreFinite<float>(const caffe::Net<float>&);
template bool UpdatesAreFinite<double>(const caffe::Net<double>&);
template void StopAtNonfiniteUpdate<float>(caffe::Solver<float>*);
template void StopAtNonfiniteUpdate<double>(caffe::Solver<double>*);

}  // namespace caffe_ext
