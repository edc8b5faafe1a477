// What the engine's layers have in common.
#ifndef CAFFE_EXT_ENGINES_ONEDNN_LAYER_HPP_
#define CAFFE_EXT_ENGINES_ONEDNN_LAYER_HPP_

#include <dnnl.hpp>
#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "engines/log.hpp"

namespace caffe_ext {

/**
 * @brief The stock layer Plain, with passes of the engine's own where a plan for the shape of the
 * bottom succeeds; else, and where oneDNN has no kernel, the stock layer's run. The log says which.
 */
template <class Plain>
class OneDnnLayer : public Plain {
 public:
  typedef std::vector<caffe::Blob<float>*> Blobs;

  explicit OneDnnLayer(const caffe::LayerParameter& param) : Plain(param) {}
  virtual void Reshape(const Blobs& bottom, const Blobs& top) {
    Plain::Reshape(bottom, top);
    Prepare(bottom, top);
  }

 protected:
  /// What a plan depends on: the shape of the bottom, and what else a layer has.
  virtual std::vector<int> PlanFor(const Blobs& bottom) const { return bottom[0]->shape(); }
  /// Makes what the passes need. Returns false, or throws dnnl::error, where the stock
  /// layer is to run.
  virtual bool Plan(const Blobs& bottom, const Blobs& top) = 0;
  /// The kernels of a plan that succeeded, for the log.
  virtual std::string KernelNames() const = 0;
  /// The passes of a plan that succeeded.
  virtual void PlannedForward(const Blobs& bottom, const Blobs& top) = 0;
  virtual void PlannedBackward(const Blobs& top, const std::vector<bool>& propagate_down,
                               const Blobs& bottom) = 0;

  virtual void Forward_cpu(const Blobs& bottom, const Blobs& top) {
    if (Prepare(bottom, top)) {
      PlannedForward(bottom, top);
    } else {
      Plain::Forward_cpu(bottom, top);
    }
  }
  virtual void Backward_cpu(const Blobs& top, const std::vector<bool>& propagate_down,
                            const Blobs& bottom) {
    if (Prepare(bottom, top)) {
      PlannedBackward(top, propagate_down, bottom);
    } else {
      Plain::Backward_cpu(top, propagate_down, bottom);
    }
  }

 private:
  /// Plans anew where the plan is for something else; returns whether there is one.
  bool Prepare(const Blobs& bottom, const Blobs& top) {
    const std::vector<int> wanted = PlanFor(bottom);
    if (!tried_ || wanted != tried_for_) {
      tried_ = true;
      tried_for_ = wanted;
      planned_ = false;
      try {
        planned_ = Plan(bottom, top);
      } catch (const dnnl::error&) {
        // No kernel for this shape.
      }
      LogEngine(this->layer_param_, planned_, planned_ ? KernelNames() : "");
    }
    return planned_;
  }

  bool tried_ = false, planned_ = false;
  std::vector<int> tried_for_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_ONEDNN_LAYER_HPP_
