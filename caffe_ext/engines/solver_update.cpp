#include "engines/solver_update.hpp"

#include <string.h>

#include <cmath>
#include <string>
#include <typeinfo>

#include "engines/factored_gradient.hpp"
#include "engines/switch.hpp"
#include "engines/update.hpp"
#include "members.hpp"
#include "training/watch.hpp"

namespace caffe_ext {

namespace {

using boost::shared_ptr;
using caffe::Blob;
using caffe::SyncedMemory;

// What SGD subtracted from the weights: its history.
class Subtracted : public PrivateForm {
 public:
  explicit Subtracted(const shared_ptr<SyncedMemory>& history) : history_(history) {}
  virtual void WritePlain(void* plain, size_t bytes) const {
    memcpy(plain, history_->cpu_data(), bytes);
  }

 private:
  const shared_ptr<SyncedMemory> history_;
};

// What Adam subtracted.
class SubtractedByAdam : public PrivateForm {
 public:
  SubtractedByAdam(const AdamStep<float>& step, const shared_ptr<SyncedMemory>& m,
                   const shared_ptr<SyncedMemory>& v)
      : step_(step), m_(m), v_(v) {}
  virtual void WritePlain(void* plain, size_t bytes) const {
    const float* const m = static_cast<const float*>(m_->cpu_data());
    const float* const v = static_cast<const float*>(v_->cpu_data());
    for (size_t i = 0; i < bytes / sizeof(float); ++i) {
      static_cast<float*>(plain)[i] = step_.rate * m[i] / (std::sqrt(v[i]) + step_.eps);
    }
  }

 private:
  const AdamStep<float> step_;
  const shared_ptr<SyncedMemory> m_, v_;
};

// The update where the gradient is kept as factors; false where it is not.
bool UpdateByFactors(const SgdStep<float>& step, Blob<float>* blob, Blob<float>* history,
                     Blob<float>* /* v */, bool* finite) {
  const auto factors = boost::dynamic_pointer_cast<FactoredGradient>(blob->diff()->private_form());
  if (!factors) {
    return false;
  }
  *finite = factors->Update(step, blob->mutable_cpu_data(), history->mutable_cpu_data());
  if (*finite) {
    blob->diff()->set_private_form(shared_ptr<PrivateForm>(new Subtracted(history->data())));
  }
  return true;
}

bool UpdateByFactors(const AdamStep<float>& step, Blob<float>* blob, Blob<float>* m, Blob<float>* v,
                     bool* finite) {
  const auto factors = boost::dynamic_pointer_cast<FactoredGradient>(blob->diff()->private_form());
  if (!factors) {
    return false;
  }
  *finite =
      factors->Update(step, blob->mutable_cpu_data(), m->mutable_cpu_data(), v->mutable_cpu_data());
  if (*finite) {
    blob->diff()->set_private_form(
        shared_ptr<PrivateForm>(new SubtractedByAdam(step, m->data(), v->data())));
  }
  return true;
}

// Factors are of floats.
template <typename Step>
bool UpdateByFactors(const Step&, Blob<double>*, Blob<double>*, Blob<double>*, bool*) {
  return false;
}

template <typename Dtype>
bool UpdatePlain(const SgdStep<Dtype>& step, Blob<Dtype>* blob, Blob<Dtype>* history,
                 Blob<Dtype>* /* v */) {
  return Update<Dtype>(blob->count(), step, blob->mutable_cpu_data(), blob->mutable_cpu_diff(),
                       history->mutable_cpu_data());
}

template <typename Dtype>
bool UpdatePlain(const AdamStep<Dtype>& step, Blob<Dtype>* blob, Blob<Dtype>* m, Blob<Dtype>* v) {
  return Update<Dtype>(blob->count(), step, blob->mutable_cpu_data(), blob->mutable_cpu_diff(),
                       m->mutable_cpu_data(), v->mutable_cpu_data());
}

// One step over all parameters; whether all values stayed finite. `v` is of Adam only: the second
// half of the solver's history.
template <typename Dtype, typename Step>
bool UpdateAll(Step step, Dtype rate, caffe::SGDSolver<Dtype>* solver) {
  const caffe::SolverParameter& param = solver->param();
  const caffe::Net<Dtype>& net = *solver->net();
  const size_t count = net.learnable_params().size();
  step.scale = Dtype(1) / param.iter_size();
  step.l1 = param.regularization_type() == "L1";
  bool finite = true;
  for (size_t i = 0; i < count; ++i) {
    step.rate = rate * net.params_lr()[i];
    step.decay = Dtype(param.weight_decay()) * net.params_weight_decay()[i];
    step.watched =
        param.stop_at_nonfinite_loss() && (step.rate != 0 || caffe::Caffe::solver_count() == 1);
    Blob<Dtype>* const blob = net.learnable_params()[i];
    Blob<Dtype>* const history = solver->history()[i].get();
    Blob<Dtype>* const v =
        i + count < solver->history().size() ? solver->history()[i + count].get() : NULL;
    bool blob_finite = true;
    if (!UpdateByFactors(step, blob, history, v, &blob_finite)) {
      blob_finite = UpdatePlain(step, blob, history, v);
    }
    finite = finite && blob_finite;
  }
  return finite;
}

}  // namespace

template <typename Dtype>
bool UpdateInOnePass(caffe::SGDSolver<Dtype>* solver, Dtype rate) {
  const caffe::SolverParameter& param = solver->param();
  const bool sgd = typeid(*solver) == typeid(caffe::SGDSolver<Dtype>);
  const bool adam = typeid(*solver) == typeid(caffe::AdamSolver<Dtype>);
  if (!(sgd || adam) || !EngineEnabled() || caffe::Caffe::mode() != caffe::Caffe::CPU ||
      !(param.regularization_type() == "L1" || param.regularization_type() == "L2")) {
    return false;
  }
  bool finite;
  if (sgd) {
    SgdStep<Dtype> step = {};
    step.momentum = param.momentum();
    finite = UpdateAll(step, rate, solver);
  } else {
    AdamStep<Dtype> step = {};
    step.beta1 = param.momentum();
    step.beta2 = param.momentum2();
    step.eps = param.delta();
    // The bias correction of section 2 of the paper, as one factor of the rate.
    const int t = solver->iter() + 1;
    const Dtype correction =
        std::sqrt(Dtype(1) - std::pow(step.beta2, t)) / (Dtype(1) - std::pow(step.beta1, t));
    finite = UpdateAll(step, rate * correction, solver);
  }
  if (!finite) {
    StopAtNonfiniteUpdate<Dtype>(solver);
  }
  return true;
}

namespace {

// Six passes over each parameter, or twelve for Adam, as upstream has them for all solvers.
template <typename Dtype>
struct Passes : caffe::SGDSolver<Dtype> {
  typedef caffe::SGDSolver<Dtype> Base;
  // C++ gives those that inherit from it pointers to what a class keeps to itself.
  static int& iter(Base* solver) { return solver->*(&Passes::iter_); }
  static void Clip(Base* solver) { (solver->*(&Passes::ClipGradients))(); }
  static void Run(Base* solver, Dtype rate) {
    const int count = static_cast<int>(solver->net()->learnable_params().size());
    for (int i = 0; i < count; ++i) {
      (solver->*(&Passes::Normalize))(i);
      (solver->*(&Passes::Regularize))(i);
      (solver->*(&Passes::ComputeUpdateValue))(i, rate);
    }
    CheckUpdate<Dtype>(solver);
    solver->net()->Update();
  }
};

template <typename Dtype>
void ApplyUpdate(caffe::SGDSolver<Dtype>* solver) {
  const Dtype rate = solver->GetLearningRate();
  const int display = solver->param().display();
  if (display && solver->iter() % display == 0 && caffe::Caffe::root_solver()) {
    // Under the name of Caffe's file, by which users find the learning rate in a log.
    google::LogMessage("sgd_solver.cpp", __LINE__).stream()
        << "Iteration " << solver->iter() << ", lr = " << rate;
  }
  Passes<Dtype>::Clip(solver);
  if (!UpdateInOnePass(solver, rate)) {
    Passes<Dtype>::Run(solver, rate);
  }
  ++Passes<Dtype>::iter(solver);
}

}  // namespace

}  // namespace caffe_ext

namespace caffe {

template <>
void SGDSolver<float>::ApplyUpdate() {
  caffe_ext::ApplyUpdate(this);
}

template <>
void SGDSolver<double>::ApplyUpdate() {
  caffe_ext::ApplyUpdate(this);
}

}  // namespace caffe
