#include "locally_connected_products.hpp"

namespace caffe_ext {

namespace {

const int kAheadBytes = 2048;

}  // namespace

// Registers of 16 values keep 16 outputs' sums or diffs, those of older sets 8.
#if defined(__x86_64__) && defined(__GNUC__)

namespace avx512 {
#define TARGET __attribute__((target("avx512f,fma")))
const int kVectorBytes = 64, kOutputs = 16;
#include "locally_connected_kernels.hpp"
#undef TARGET
}  // namespace avx512

// The same 16 outputs for half as many images: fewer lanes take less time on processors that run
// half vectors twice as fast (Zen 4), and no more on others.
namespace avx512_few {
#define TARGET __attribute__((target("avx512f,avx512vl,fma")))
const int kVectorBytes = 32, kOutputs = 16;
#include "locally_connected_kernels.hpp"
#undef TARGET
}  // namespace avx512_few

namespace avx2 {
#define TARGET __attribute__((target("avx2,fma")))
const int kVectorBytes = 32, kOutputs = 8;
#include "locally_connected_kernels.hpp"
#undef TARGET
}  // namespace avx2

#endif

namespace any {
#define TARGET
const int kVectorBytes = 16, kOutputs = 8;
#include "locally_connected_kernels.hpp"
#undef TARGET
}  // namespace any

template <typename Dtype>
const std::vector<LocalProducts<Dtype> >& UsableLocalProducts() {
  static const std::vector<LocalProducts<Dtype> > usable = [] {
    std::vector<LocalProducts<Dtype> > found;
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("fma")) {
      found.push_back({"AVX-512", int(avx512::kVectorBytes / sizeof(Dtype)), avx512::kOutputs,
                       avx512::SumOutputs<Dtype>, avx512::AddWeightDiff<Dtype>,
                       avx512::AddMapDiff<Dtype>});
      if (__builtin_cpu_supports("avx512vl")) {
        found.push_back({"AVX-512, few images", int(avx512_few::kVectorBytes / sizeof(Dtype)),
                         avx512_few::kOutputs, avx512_few::SumOutputs<Dtype>,
                         avx512_few::AddWeightDiff<Dtype>, avx512_few::AddMapDiff<Dtype>});
      }
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
      found.push_back({"AVX2", int(avx2::kVectorBytes / sizeof(Dtype)), avx2::kOutputs,
                       avx2::SumOutputs<Dtype>, avx2::AddWeightDiff<Dtype>,
                       avx2::AddMapDiff<Dtype>});
    }
#endif
    found.push_back({"any", int(any::kVectorBytes / sizeof(Dtype)), any::kOutputs,
                     any::SumOutputs<Dtype>, any::AddWeightDiff<Dtype>, any::AddMapDiff<Dtype>});
    return found;
  }();
  return usable;
}

template <typename Dtype>
const LocalProducts<Dtype>& LocalProductsFor(int images) {
  const std::vector<LocalProducts<Dtype> >& usable = UsableLocalProducts<Dtype>();
  size_t best = 0;
  while (best + 1 < usable.size() && usable[best + 1].outputs == usable[0].outputs &&
         usable[best + 1].lanes >= images) {
    ++best;
  }
  return usable[best];
}

template const std::vector<LocalProducts<float> >& UsableLocalProducts<float>();
template const std::vector<LocalProducts<double> >& UsableLocalProducts<double>();
template const LocalProducts<float>& LocalProductsFor<float>(int images);
template const LocalProducts<double>& LocalProductsFor<double>(int images);

}  // namespace caffe_ext
