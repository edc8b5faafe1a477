# Where the engine reaches into Caffe: the memory behind a blob, and the one place that creates layers.

# A blob's memory may have a private form (engines/private_form.hpp), revealed when somebody asks for the plain one.
caffe_include(include/caffe/syncedmem.hpp caffe/common.hpp engines/private_form.hpp)
caffe_substitute(include/caffe/syncedmem.hpp
  "  size_t size() const { return size_; }"
  "  size_t size() const { return size_; }

  // The engine's view; see engines/private_form.hpp. Only allowed while !plain_seen().
  void set_private_form(const shared_ptr<caffe_ext::PrivateForm>& form);
  const shared_ptr<caffe_ext::PrivateForm>& private_form() const { return private_form_; }
  bool plain_seen() const { return plain_seen_; }

  // Whether the values are zero for certain: nobody asked for them since set_zero, and no NumPy view exists.
  bool known_zero() const { return known_zero_ && !has_view_; }
  void set_zero();
  void set_has_view() { has_view_ = true; }")
caffe_substitute(include/caffe/syncedmem.hpp
  "  void to_cpu();"
  "  void reveal();
  shared_ptr<caffe_ext::PrivateForm> private_form_;
  bool plain_seen_ = false, known_zero_ = false, has_view_ = false;

  void to_cpu();")
caffe_include(src/caffe/syncedmem.cpp caffe/syncedmem.hpp engines/sgd.hpp)
caffe_substitute(python/caffe/_caffe.cpp
  "    void* data = PyArray_DATA("
  "    blob->data()->set_has_view();
    blob->diff()->set_has_view();
    void* data = PyArray_DATA(")
foreach(_access "const void* SyncedMemory::cpu_data() {" "void* SyncedMemory::mutable_cpu_data() {"
    "const void* SyncedMemory::gpu_data() {" "void* SyncedMemory::mutable_gpu_data() {")
  caffe_substitute(src/caffe/syncedmem.cpp "${_access}" "${_access}\n  reveal();")
endforeach()
foreach(_replace "void SyncedMemory::set_cpu_data(void* data) {" "void SyncedMemory::set_gpu_data(void* data) {")
  caffe_substitute(src/caffe/syncedmem.cpp "${_replace}" "${_replace}
  private_form_.reset();
  plain_seen_ = true;
  known_zero_ = false;")
endforeach()
caffe_substitute(src/caffe/syncedmem.cpp
  "inline void SyncedMemory::to_cpu() {"
  "void SyncedMemory::set_private_form(const shared_ptr<caffe_ext::PrivateForm>& form) {
  CHECK(!plain_seen_);
  private_form_ = form;
  head_ = HEAD_AT_CPU;
}

void SyncedMemory::set_zero() {
  caffe_ext::Clear(mutable_cpu_data(), size_);
  known_zero_ = true;
}

void SyncedMemory::reveal() {
  plain_seen_ = true;
  known_zero_ = false;
  if (!private_form_) {
    return;
  }
  shared_ptr<caffe_ext::PrivateForm> form;
  form.swap(private_form_);
  if (cpu_ptr_ == NULL) {
    CaffeMallocHost(&cpu_ptr_, size_, &cpu_malloc_use_cuda_);
    own_cpu_data_ = true;
  }
  form->WritePlain(cpu_ptr_, size_);
}

inline void SyncedMemory::to_cpu() {")

# Every layer is created here: the engine is asked first (engines/factory.hpp).
caffe_include(include/caffe/layer_factory.hpp caffe/common.hpp engines/factory.hpp)
caffe_substitute(include/caffe/layer_factory.hpp
  "    return registry[type](param);"
  "    shared_ptr<Layer<Dtype> > layer = caffe_ext::CreateEngineLayer<Dtype>(param);
    return layer ? layer : registry[type](param);")

# A step of SGD is six passes over every parameter; engines/sgd.cpp makes one. The solvers that inherit from SGDSolver
# keep upstream's.
caffe_substitute(src/caffe/solvers/sgd_solver.cpp
  "#include \"caffe/sgd_solvers.hpp\""
  "#include <typeinfo>

#include \"caffe/sgd_solvers.hpp\"
#include \"engines/sgd.hpp\"
#include \"training/watch.hpp\"")
caffe_substitute(src/caffe/solvers/sgd_solver.cpp
  "  ClipGradients();
  for (int param_id = 0;"
  "  ClipGradients();
  bool finite = true;
  const bool one_pass = Caffe::mode() == Caffe::CPU && typeid(*this) == typeid(SGDSolver<Dtype>) &&
      caffe_ext::SgdUpdateServes(this->param_.regularization_type());
  for (int param_id = 0;")
caffe_substitute(src/caffe/solvers/sgd_solver.cpp
  "    Normalize(param_id);
    Regularize(param_id);
    ComputeUpdateValue(param_id, rate);
  }
  this->net_->Update();"
  "    if (one_pass) {
      Blob<Dtype>* blob = this->net_->learnable_params()[param_id];
      caffe_ext::SgdStep<Dtype> step;
      step.rate = rate * this->net_->params_lr()[param_id];
      step.momentum = this->param_.momentum();
      step.scale = Dtype(1) / this->param_.iter_size();
      step.decay = Dtype(this->param_.weight_decay()) * this->net_->params_weight_decay()[param_id];
      step.l1 = this->param_.regularization_type() == \"L1\";
      step.watched = this->param_.stop_at_nonfinite_loss() && (step.rate != 0 || Caffe::solver_count() == 1);
      finite &= caffe_ext::SgdUpdate<Dtype>(blob->count(), step, blob->mutable_cpu_data(),
          blob->mutable_cpu_diff(), history_[param_id]->mutable_cpu_data());
      continue;
    }
    Normalize(param_id);
    Regularize(param_id);
    ComputeUpdateValue(param_id, rate);
  }
  if (!one_pass) {
    finite = !this->param_.stop_at_nonfinite_loss() || caffe_ext::UpdatesAreFinite(*this->net_);
  }
  if (!finite) {
    caffe_ext::StopAtNonfiniteUpdate(this);
  }
  if (!one_pass) {
    this->net_->Update();
  }")
caffe_substitute(src/caffe/net.cpp
  "      caffe_set(blob->count(), static_cast<Dtype>(0),
                blob->mutable_cpu_diff());"
  "      blob->diff()->set_zero();")
