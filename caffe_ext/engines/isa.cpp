#include "engines/isa.hpp"

#include "caffe/common.hpp"

#ifdef USE_ONEDNN
#include <dnnl.hpp>
#endif

namespace caffe_ext {

namespace {

#ifdef USE_ONEDNN
// Both kinds of kernels have to agree on the blocks of channels.
bool OneDnnHas(dnnl::cpu_isa isa) {
  const int wanted = static_cast<int>(isa);
  return (static_cast<int>(dnnl::get_effective_cpu_isa()) & wanted) == wanted;
}

bool Allowed(Isa isa) {
  return isa == Isa::kGeneric ||
         OneDnnHas(isa == Isa::kV4 ? dnnl::cpu_isa::avx512_core : dnnl::cpu_isa::avx2);
}
#else
bool Allowed(Isa) { return true; }
#endif

Isa Choose() {
  Isa best = Isa::kGeneric;
  for (Isa isa : {Isa::kV3, Isa::kV4}) {
    if (Runs(isa) && Allowed(isa)) {
      best = isa;
    }
  }
  LOG(INFO) << "CPU engine: kernels for " << IsaName(best);
  return best;
}

}  // namespace

bool Runs(Isa isa) {
#ifdef __x86_64__
  // The features that kernels.cmake has the compiler use, and that the system saves registers of.
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  return isa == Isa::kV4 ? v4 : isa == Isa::kV3 ? v3 : true;
#else
  return isa == Isa::kGeneric;
#endif
}

Isa ActiveIsa() {
  static const Isa isa = Choose();
  return isa;
}

const char* IsaName(Isa isa) {
  return isa == Isa::kV4   ? "x86-64-v4 (AVX-512)"
         : isa == Isa::kV3 ? "x86-64-v3 (AVX2)"
                           : "any processor";
}

}  // namespace caffe_ext
