// One choice of instruction set for all kernels of the engine.
#ifndef CAFFE_EXT_ENGINES_ISA_HPP_
#define CAFFE_EXT_ENGINES_ISA_HPP_

namespace caffe_ext {

/**
 * @brief The sets of instructions that kernels are compiled for.
 *
 * Each .cpp file in engines/kernels is compiled once per set, into a namespace of the set's name,
 * with the flags in caffe_ext/kernels.cmake. Where the build has no flags for a processor (ARM),
 * all three are the generic one. To add a kernel:
 *
 * 1. A header beside its users declares a struct of function pointers, and
 *    CAFFE_EXT_KERNEL_TABLE(Struct, name).
 * 2. kernels/NAME.cpp defines the functions, in an unnamed namespace inside CAFFE_EXT_ISA, for
 *    vectors of CAFFE_EXT_LANES floats (kernels/vector.hpp), and `const Struct name = {...};` in
 *    CAFFE_EXT_ISA. The functions hold no threads.
 * 3. kernels.cmake lists the file. Its users call name(ActiveIsa()).function(...).
 */
enum class Isa {
  kGeneric,  ///< whatever the library is built for: 8 lanes, as two registers or more
  kV3,       ///< x86-64-v3: AVX2 and FMA, 8 lanes
  kV4        ///< x86-64-v4: AVX-512 (F, BW, CD, DQ, VL), 16 lanes
};

/// The best set that this processor and system can run; DNNL_MAX_CPU_ISA, oneDNN's limit, holds
/// here, too. Chosen once, and logged then.
Isa ActiveIsa();

/// Whether this processor can run the set.
bool Runs(Isa isa);

/// "x86-64-v4" and the like.
const char* IsaName(Isa isa);

/// Floats in a vector of the set.
inline int Lanes(Isa isa) { return isa == Isa::kV4 ? 16 : 8; }

// kernels.cmake makes the same distinction.
#ifdef __x86_64__
#define CAFFE_EXT_KERNEL_TABLE(Struct, name)                                        \
  namespace generic {                                                               \
  extern const Struct name;                                                         \
  }                                                                                 \
  namespace v3 {                                                                    \
  extern const Struct name;                                                         \
  }                                                                                 \
  namespace v4 {                                                                    \
  extern const Struct name;                                                         \
  }                                                                                 \
  inline const Struct& name(Isa isa) {                                              \
    return isa == Isa::kV4 ? v4::name : isa == Isa::kV3 ? v3::name : generic::name; \
  }
#else
#define CAFFE_EXT_KERNEL_TABLE(Struct, name) \
  namespace generic {                        \
  extern const Struct name;                  \
  }                                          \
  inline const Struct& name(Isa) { return generic::name; }
#endif

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_ISA_HPP_
