// The passes of max pooling over one plane: see engines/max_pooling.hpp.
#include "engines/max_pooling.hpp"

#include "engines/kernels/vector.hpp"

namespace caffe_ext {
namespace CAFFE_EXT_ISA {
namespace {

// The channels of a block at one pixel; the compiler makes registers of them.
template <int B>
struct Channels {
  typedef float Floats __attribute__((vector_size(B * sizeof(float))));
  typedef int32_t Ints __attribute__((vector_size(B * sizeof(int32_t))));
  typedef uint8_t Bytes __attribute__((vector_size(B)));
};

template <typename Vector, typename T>
CAFFE_EXT_INLINE void Get(const T* from, Vector* to) {
  __builtin_memcpy(to, from, sizeof(*to));
}
template <typename Vector, typename T>
CAFFE_EXT_INLINE void Put(const Vector& from, T* to) {
  __builtin_memcpy(to, &from, sizeof(from));
}

// The part of a window that lies inside of the map, along one axis.
struct Span {
  int first, last, begin;  // begin: where the window itself begins, maybe in the padding
};

CAFFE_EXT_INLINE Span SpanOf(int at, int stride, int pad, int kernel, int size) {
  const int begin = at * stride - pad;
  const int end = begin + kernel;
  return {begin > 0 ? begin : 0, end < size ? end : size, begin};
}

template <int B>
CAFFE_EXT_INLINE void Pool(const PoolingWindows& s, const float* x, float* y, uint8_t* where) {
  typedef typename Channels<B>::Ints Ints;
  for (int oy = 0; oy < s.out_height; ++oy) {
    const Span rows = SpanOf(oy, s.stride_h, s.pad_h, s.kernel_h, s.height);
    for (int ox = 0; ox < s.out_width; ++ox) {
      const Span columns = SpanOf(ox, s.stride_w, s.pad_w, s.kernel_w, s.width);
      typename Channels<B>::Floats best, value;
      int here = (rows.first - rows.begin) * s.kernel_w + columns.first - columns.begin;
      Ints place = Ints{} + here;
      Get(x + (int64_t(rows.first) * s.width + columns.first) * B, &best);
      for (int row = rows.first; row < rows.last; ++row) {
        const float* from = x + (int64_t(row) * s.width + columns.first) * B;
        here = (row - rows.begin) * s.kernel_w + columns.first - columns.begin;
        for (int column = columns.first; column < columns.last; ++column, ++here, from += B) {
          Get(from, &value);
          // Larger than the best, or NaN; than which nothing is larger.
          const Ints taken = (value > best) | (value != value);
          best = taken ? value : best;
          place = taken ? Ints{} + here : place;
        }
      }
      Put(best, y);
      Put(__builtin_convertvector(place, typename Channels<B>::Bytes), where);
      y += B;
      where += B;
    }
  }
}

// Apart: no pixel is in two windows, and those of a window need no zeros.
template <int B, bool Apart>
CAFFE_EXT_INLINE void Spread(const PoolingWindows& s, const uint8_t* where, const float* dy,
                             float* dx) {
  typedef typename Channels<B>::Ints Ints;
  typedef typename Channels<B>::Floats Floats;
  const int64_t line = int64_t(s.width) * B;
  int64_t cleared = 0;  // floats that have got their zeros, shortly before they are added to
  for (int oy = 0; oy < s.out_height; ++oy) {
    const Span rows = SpanOf(oy, s.stride_h, s.pad_h, s.kernel_h, s.height);
    if (Apart) {
      const int64_t rest = int64_t(s.out_width) * s.stride_w * B;  // behind the last window
      for (int row = rows.first; row < rows.last; ++row) {
        for (int64_t i = rest; i < line; ++i) dx[row * line + i] = 0;
      }
      cleared = rows.last * line;
    }
    for (; cleared < rows.last * line; ++cleared) dx[cleared] = 0;
    for (int ox = 0; ox < s.out_width; ++ox) {
      const Span columns = SpanOf(ox, s.stride_w, s.pad_w, s.kernel_w, s.width);
      typename Channels<B>::Bytes bytes;
      Floats diff, sum;
      Get(where, &bytes);
      Get(dy, &diff);
      const Ints place = __builtin_convertvector(bytes, Ints);
      for (int row = rows.first; row < rows.last; ++row) {
        float* to = dx + row * line + int64_t(columns.first) * B;
        int here = (row - rows.begin) * s.kernel_w + columns.first - columns.begin;
        for (int column = columns.first; column < columns.last; ++column, ++here, to += B) {
          sum = place == here ? diff : Floats{};
          if (!Apart) {
            Floats before;
            Get(to, &before);
            sum += before;
          }
          Put(sum, to);
        }
      }
      dy += B;
      where += B;
    }
  }
  for (; cleared < s.height * line; ++cleared) dx[cleared] = 0;
}

void PoolPlane(int block, const PoolingWindows& s, const float* x, float* y, uint8_t* where) {
  block == 16 ? Pool<16>(s, x, y, where) : Pool<8>(s, x, y, where);
}

void SpreadPlane(int block, const PoolingWindows& s, const uint8_t* where, const float* dy,
                 float* dx) {
  const bool apart = s.kernel_h == s.stride_h && s.kernel_w == s.stride_w && !s.pad_h && !s.pad_w;
  if (apart) {
    block == 16 ? Spread<16, true>(s, where, dy, dx) : Spread<8, true>(s, where, dy, dx);
  } else {
    block == 16 ? Spread<16, false>(s, where, dy, dx) : Spread<8, false>(s, where, dy, dx);
  }
}

}  // namespace

const MaxPooling max_pooling = {PoolPlane, SpreadPlane};

}  // namespace CAFFE_EXT_ISA
}  // namespace caffe_ext
