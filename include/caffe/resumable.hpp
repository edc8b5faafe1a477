#ifndef CAFFE_RESUMABLE_HPP_
#define CAFFE_RESUMABLE_HPP_

#include <string>

namespace caffe {

class LayerState;

/**
 * @brief A layer that reads data, and can go on from where it was when a snapshot was taken.
 *
 * The solver asks every layer of its nets that is one; see caffe_ext/training/.
 */
class Resumable {
 public:
  virtual ~Resumable() {}
  /// Where reading stands behind the batch that the last forward pass gave; false where this type
  /// of layer has no way to say so.
  virtual bool SaveState(LayerState* state) const = 0;
  /// The next forward pass gives the batch behind that place. Returns why it cannot, or "".
  virtual std::string RestoreState(const LayerState& state) = 0;
  /// Goes back to the first record, from where batches do not cross the end of an epoch: its last
  /// one is shorter if need be. Returns the batches of an epoch; 0, and nothing is done, where this
  /// type of layer does not know how many records there are.
  virtual int BeginPass() { return 0; }
};

}  // namespace caffe

#endif  // CAFFE_RESUMABLE_HPP_
