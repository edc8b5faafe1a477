#include "engines/private_memory.hpp"

#include "caffe/common.hpp"
#include "caffe/syncedmem.hpp"
#include "engines/zeros.hpp"
#include "limits/host_memory.hpp"

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

}  // namespace caffe_ext
