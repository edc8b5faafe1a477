// A signal may arrive at any instruction. The kernel then writes some kilobytes below the stack
// pointer, so code that lets it point elsewhere than into the stack has other memory overwritten.
// oneDNN's float32 gemm does that (before release 3.11.2), which is why no layer of the engine may
// use it: engines/inner_product.hpp.
#include <dnnl.hpp>

#include "engine_fixture.hpp"

#ifdef __x86_64__

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <functional>
#include <iostream>
#include <vector>

#include "caffe/net.hpp"

namespace caffe {

namespace {

thread_local uintptr_t stack_begin = 0, stack_end = 0;
volatile sig_atomic_t signals_inside = 0, signals_outside = 0;

void Look(int, siginfo_t*, void* context) {
  const uintptr_t pointer = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RSP];
  if (stack_end == 0) {
    return;  // a thread that takes no part
  }
  if (pointer >= stack_begin && pointer < stack_end) {
    signals_inside = signals_inside + 1;
  } else {
    signals_outside = signals_outside + 1;
  }
}

// Interrupts this thread ten thousand times a second while it lives, and looks where the stack
// pointer stands. The handler has a stack of its own, so looking does no harm; threads of OpenMP
// have none, so the signals must not go to those.
class Watch {
 public:
  Watch() : own_stack_(1 << 16) {
    pthread_attr_t attributes;
    void* begin;
    size_t size;
    CHECK_EQ(pthread_getattr_np(pthread_self(), &attributes), 0);
    CHECK_EQ(pthread_attr_getstack(&attributes, &begin, &size), 0);
    pthread_attr_destroy(&attributes);
    stack_begin = reinterpret_cast<uintptr_t>(begin);
    stack_end = stack_begin + size;
    signals_inside = signals_outside = 0;
    stack_t own = {};
    own.ss_sp = own_stack_.data();
    own.ss_size = own_stack_.size();
    CHECK_EQ(sigaltstack(&own, &old_stack_), 0);
    struct sigaction action = {};
    action.sa_sigaction = Look;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    CHECK_EQ(sigaction(SIGALRM, &action, &old_action_), 0);
    sigevent event = {};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGALRM;
    event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer_), 0);
    const timespec interval = {0, 100000};
    const itimerspec times = {interval, interval};
    CHECK_EQ(timer_settime(timer_, 0, &times, NULL), 0);
  }
  ~Watch() {
    timer_delete(timer_);
    sigaction(SIGALRM, &old_action_, NULL);
    sigaltstack(&old_stack_, NULL);
    stack_begin = stack_end = 0;
  }

 private:
  std::vector<char> own_stack_;
  timer_t timer_;
  stack_t old_stack_;
  struct sigaction old_action_;
};

// Runs something again and again until a thousand signals have come.
void RunInterrupted(const std::function<void()>& run) {
  Watch watch;
  while (signals_inside + signals_outside < 1000) {
    run();
  }
}

}  // namespace

class EngineSignalsTest : public EngineTest {
 protected:
  // Forward and backward of one layer; float, with the engine.
  void Run(const string& text, const vector<int>& shape) {
    const shared_ptr<Layer<float> > layer = Create(ParseLayer(text), true);
    Blob<float> bottom(shape), top;
    FillBlob(&bottom);
    layer->SetUp({&bottom}, {&top});
    for (const shared_ptr<Blob<float> >& blob : layer->blobs()) {
      FillBlob(blob.get());
    }
    RunInterrupted([&] {
      layer->Forward({&bottom}, {&top});
      top.mutable_cpu_diff()[0] = 1;
      for (const shared_ptr<Blob<float> >& blob : layer->blobs()) {
        blob->diff()->set_zero();
      }
      layer->Backward({&top}, {true}, {&bottom});
    });
    EXPECT_EQ(signals_outside, 0) << text;
    EXPECT_GE(signals_inside, 1000) << text;
  }
};

// What the others would look like: without this, they could pass by being blind.
TEST_F(EngineSignalsTest, TestOneDnnsGemmIsSeen) {
  const dnnl_version_t* version = dnnl_version();
  const int isa = static_cast<int>(dnnl::get_effective_cpu_isa());
  const int avx2 = static_cast<int>(dnnl::cpu_isa::avx2);
  if (version->major * 10000 + version->minor * 100 + version->patch >= 31102 ||
      (isa & avx2) != avx2) {
    std::cout << "This oneDNN, or its kernel for this processor, leaves the stack pointer alone.\n";
    return;
  }
  const int size = 256;
  std::vector<float> a(size * size, 1), b(size * size, 1), c(size * size);
  RunInterrupted([&] {
    dnnl_sgemm('N', 'N', size, size, size, 1, a.data(), size, b.data(), size, 0, c.data(), size);
  });
  EXPECT_GT(signals_outside, 0);
}

TEST_F(EngineSignalsTest, TestInnerProduct) {
  for (const int images : {3, 16, 80}) {
    Run("type: 'InnerProduct' inner_product_param { num_output: 200 }", {images, 700});
  }
  Run("type: 'InnerProduct' inner_product_param { num_output: 200 transpose: true }", {16, 700});
}

TEST_F(EngineSignalsTest, TestConvolution) {
  const string filler = "weight_filler { type: 'gaussian' std: 0.1 }";
  Run("type: 'Convolution' convolution_param { num_output: 32 kernel_size: 11 " + filler + " }",
      {2, 3, 40, 40});
  Run("type: 'Convolution' convolution_param { num_output: 16 kernel_size: 6 stride: 2 " + filler +
          " }",
      {2, 16, 30, 30});
  // What the engine leaves to the stock layer.
  Run("type: 'Convolution' convolution_param { num_output: 6 kernel_size: 3 dilation: 2 " + filler +
          " }",
      {2, 4, 20, 20});
}

TEST_F(EngineSignalsTest, TestTheOtherLayers) {
  Run("type: 'Region' region_param { grid_h: 4 grid_w: 4 num_output: 32 kernel_size: 3 }",
      {4, 32, 32, 32});
  Run("type: 'ReLU'", {4, 32, 20, 20});
  Run("type: 'Pooling' pooling_param { pool: MAX kernel_size: 2 stride: 2 }", {4, 32, 20, 20});
  Run("type: 'LRN' lrn_param { local_size: 5 }", {4, 32, 20, 20});
  Run("type: 'LocallyConnected' convolution_param { num_output: 16 kernel_size: 3 }",
      {4, 16, 12, 12});
}

}  // namespace caffe

#endif  // __x86_64__
