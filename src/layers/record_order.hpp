#ifndef CAFFE_EXT_RECORD_ORDER_HPP_
#define CAFFE_EXT_RECORD_ORDER_HPP_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace caffe_ext {

/**
 * Random numbers without a state: draw k of stream s is a fixed function of (s, k), so that any
 * thread may make any draw at any time, and a run can be taken up at any position.
 */
inline uint64_t MixBits(uint64_t x) {
  // The 64-bit finalizer of MurmurHash3: every input bit reaches every output bit.
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  x ^= x >> 33;
  return x;
}

/// Child k of a stream: a number in its own right, or a stream of more numbers.
inline uint64_t Draw(uint64_t stream, uint64_t k) {
  // An odd step keeps equal inputs apart; the addend keeps (0, 0) from being a fixed point.
  return MixBits(MixBits(stream + 0x9e3779b97f4a7c15ULL) + (k + 1) * 0x9e3779b97f4a7c15ULL);
}

/// Maps 64 random bits onto 0 .. n-1; uneven by less than n / 2^64.
inline uint64_t Below(uint64_t bits, uint64_t n) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(bits) * n) >> 64);
}

/**
 * @brief Which record comes at which position of an endless run over a data set.
 *
 * The records rank, rank + ranks, rank + 2 ranks ... of `records` are this order's own (all of them
 * with ranks = 1). Each epoch, that is each Size() positions, holds every one of them once; with
 * shuffle in an order that is a function of (seed, epoch), else as they are numbered.
 */
class RecordOrder {
 public:
  RecordOrder(size_t records, size_t rank, size_t ranks, bool shuffle, uint64_t seed)
      : rank_(rank),
        ranks_(ranks),
        size_(rank < records ? (records - rank + ranks - 1) / ranks : 0),
        shuffle_(shuffle),
        seed_(seed) {}

  /// Records of an epoch.
  size_t size() const { return size_; }

  /// The record at a position. Going from one epoch to another costs a pass over size() numbers,
  /// so positions should rise. Not for several threads at once.
  size_t operator[](uint64_t position) {
    size_t place = static_cast<size_t>(position % size_);
    if (shuffle_) {
      const uint64_t epoch = position / size_;
      if (places_.empty() || epoch != epoch_) {
        Shuffle(epoch);
      }
      place = places_[place];
    }
    return rank_ + place * ranks_;
  }

 private:
  // Fisher and Yates, always from the identity, so that no epoch depends on the one before.
  void Shuffle(uint64_t epoch) {
    places_.resize(size_);
    for (size_t i = 0; i < size_; ++i) {
      places_[i] = static_cast<uint32_t>(i);
    }
    const uint64_t stream = Draw(seed_, epoch);
    for (size_t i = size_; i > 1; --i) {
      std::swap(places_[i - 1], places_[Below(Draw(stream, i), i)]);
    }
    epoch_ = epoch;
  }

  size_t rank_, ranks_, size_;
  bool shuffle_;
  uint64_t seed_;
  uint64_t epoch_ = 0;
  std::vector<uint32_t> places_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_RECORD_ORDER_HPP_
