// For loops that a caller's own instruction set is to be used for.
#ifndef CAFFE_EXT_ENGINES_CLONES_HPP_
#define CAFFE_EXT_ENGINES_CLONES_HPP_

#define CAFFE_EXT_INLINE inline __attribute__((always_inline))

#endif  // CAFFE_EXT_ENGINES_CLONES_HPP_
