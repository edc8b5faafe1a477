# Where the engine reaches into Caffe: the memory behind a blob, and the one place that creates layers.

# A blob's memory may have a private form (engines/private_form.hpp), revealed when somebody asks for the plain one.
caffe_substitute(include/caffe/syncedmem.hpp
  "#include \"caffe/common.hpp\""
  "#include \"caffe/common.hpp\"
#include \"engines/private_form.hpp\"")
caffe_substitute(include/caffe/syncedmem.hpp
  "  size_t size() const { return size_; }"
  "  size_t size() const { return size_; }

  // The engine's view; see engines/private_form.hpp. Only allowed while !plain_seen().
  void set_private_form(const shared_ptr<caffe_ext::PrivateForm>& form);
  const shared_ptr<caffe_ext::PrivateForm>& private_form() const { return private_form_; }
  bool plain_seen() const { return plain_seen_; }")
caffe_substitute(include/caffe/syncedmem.hpp
  "  void to_cpu();"
  "  void reveal();
  shared_ptr<caffe_ext::PrivateForm> private_form_;
  bool plain_seen_ = false;

  void to_cpu();")
foreach(_access "const void* SyncedMemory::cpu_data() {" "void* SyncedMemory::mutable_cpu_data() {"
    "const void* SyncedMemory::gpu_data() {" "void* SyncedMemory::mutable_gpu_data() {")
  caffe_substitute(src/caffe/syncedmem.cpp "${_access}" "${_access}\n  reveal();")
endforeach()
foreach(_replace "void SyncedMemory::set_cpu_data(void* data) {" "void SyncedMemory::set_gpu_data(void* data) {")
  caffe_substitute(src/caffe/syncedmem.cpp "${_replace}" "${_replace}
  private_form_.reset();
  plain_seen_ = true;")
endforeach()
caffe_substitute(src/caffe/syncedmem.cpp
  "inline void SyncedMemory::to_cpu() {"
  "void SyncedMemory::set_private_form(const shared_ptr<caffe_ext::PrivateForm>& form) {
  CHECK(!plain_seen_);
  private_form_ = form;
  head_ = HEAD_AT_CPU;
}

void SyncedMemory::reveal() {
  plain_seen_ = true;
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
caffe_substitute(include/caffe/layer_factory.hpp
  "#include \"caffe/common.hpp\""
  "#include \"caffe/common.hpp\"
#include \"engines/factory.hpp\"")
caffe_substitute(include/caffe/layer_factory.hpp
  "    return registry[type](param);"
  "    shared_ptr<Layer<Dtype> > layer = caffe_ext::CreateEngineLayer<Dtype>(param);
    return layer ? layer : registry[type](param);")
