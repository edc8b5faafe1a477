// One function, several instruction sets, chosen when the library is loaded.
#ifndef CAFFE_EXT_ENGINES_CLONES_HPP_
#define CAFFE_EXT_ENGINES_CLONES_HPP_

// The library is built for any x86-64; loops that are worth it are compiled for AVX-512 and AVX2 as
// well. Such a function holds the loop itself or calls inlined code only.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define CAFFE_EXT_CLONES \
  __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default")))
#else
#define CAFFE_EXT_CLONES
#endif
#define CAFFE_EXT_INLINE inline __attribute__((always_inline))

#endif  // CAFFE_EXT_ENGINES_CLONES_HPP_
