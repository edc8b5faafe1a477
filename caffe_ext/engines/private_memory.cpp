#include "engines/private_memory.hpp"

#include "caffe/common.hpp"
#include "caffe/syncedmem.hpp"
#include "caffe/util/math_functions.hpp"
#include "engines/zeros.hpp"
#include "limits/host_memory.hpp"
#include "members.hpp"

namespace caffe_ext {

using caffe::SyncedMemory;

void PrivateMemory::set_private_form(const boost::shared_ptr<PrivateForm>& form) {
  CHECK(!plain_seen_);
  private_form_ = form;
  known_zero_ = false;
  static_cast<SyncedMemory*>(this)->head_ = SyncedMemory::HEAD_AT_CPU;
}

void PrivateMemory::set_zero() {
  if (plain_seen_) {
    SyncedMemory* memory = static_cast<SyncedMemory*>(this);
    Clear(memory->mutable_cpu_data(), memory->size());
  } else {
    set_private_form(Zeros());
  }
  known_zero_ = true;
}

void PrivateMemory::set_has_view(const void* plain) {
  has_view_ = has_view_ || plain == static_cast<SyncedMemory*>(this)->cpu_ptr_;
}

void PrivateMemory::Reveal() {
  plain_seen_ = true;
  known_zero_ = false;
  if (!private_form_) {
    return;
  }
  boost::shared_ptr<PrivateForm> form;
  form.swap(private_form_);
  SyncedMemory* memory = static_cast<SyncedMemory*>(this);
  if (memory->cpu_ptr_ == NULL) {
    MallocHost(&memory->cpu_ptr_, memory->size_, &memory->cpu_malloc_use_cuda_);
    memory->own_cpu_data_ = true;
  }
  form->WritePlain(memory->cpu_ptr_, memory->size_);
}

namespace {

template <typename Dtype>
void ClearGradients(const caffe::Net<Dtype>& net) {
  for (caffe::Blob<Dtype>* blob : net.learnable_params()) {
    if (caffe::Caffe::mode() == caffe::Caffe::CPU) {
      blob->diff()->set_zero();
    } else {
#ifndef CPU_ONLY
      caffe::caffe_gpu_set(blob->count(), Dtype(0), blob->mutable_gpu_diff());
#endif
    }
  }
}

}  // namespace

}  // namespace caffe_ext

namespace caffe {

template <>
void Net<float>::ClearParamDiffs() {
  caffe_ext::ClearGradients(*this);
}

template <>
void Net<double>::ClearParamDiffs() {
  caffe_ext::ClearGradients(*this);
}

}  // namespace caffe
