// The processes of one training, over MPI.
#ifndef CAFFE_EXT_PARALLEL_RANKS_HPP_
#define CAFFE_EXT_PARALLEL_RANKS_HPP_

#include <stddef.h>
#include <stdint.h>

#include <string>
#include <vector>

namespace caffe_ext {

/**
 * @brief MPI_COMM_WORLD as far as a training needs it. There is one of it in a process.
 *
 * Every rank calls the same operations in the same order. Nobody waits in MPI itself, which would
 * keep a core busy: an operation on much data first waits, napping, until all ranks have come to
 * it, and only then moves it, at full speed. Threads take turns; the caller sees to that.
 *
 * A failure (LOG(FATAL), CHECK, an exception) on one rank ends all.
 */
class Ranks {
 public:
  Ranks();
  ~Ranks();

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// Among the ranks of this machine.
  int local_rank() const { return local_rank_; }
  int local_size() const { return local_size_; }
  /// The bits that any rank gives.
  unsigned AnyOf(unsigned bits);
  /// Rank 0's values on every rank.
  void Broadcast(float* values, size_t count);
  void Broadcast(uint64_t* value);
  /// The sum over the ranks, the same bits on each.
  void Sum(float* values, size_t count);
  /// What every rank gives, the same number of values each, in the ranks' order.
  std::vector<float> GatherOnAll(const std::vector<float>& mine);
  /// On rank 0 what every rank gives, in their order; elsewhere nothing.
  std::vector<std::string> Gather(const std::string& mine);
  /// What rank 0 gives for this rank: one string for each, read on rank 0 alone.
  std::string Scatter(const std::vector<std::string>& all);

 private:
  Ranks(const Ranks&);
  Ranks& operator=(const Ranks&);
  void Arrive();

  int rank_, size_, local_rank_, local_size_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_PARALLEL_RANKS_HPP_
