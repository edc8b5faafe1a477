// The region layer on oneDNN.
#ifndef CAFFE_EXT_ENGINES_REGION_HPP_
#define CAFFE_EXT_ENGINES_REGION_HPP_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "caffe/layers/region_layer.hpp"
#include "engines/onednn.hpp"
#include "engines/onednn_layer.hpp"
#include "engines/region_passes.hpp"

namespace caffe_ext {

/**
 * @brief caffe::RegionLayer on blocked memory, patch by patch.
 *
 * Patches have nothing in common but the map they lie in, so each thread takes patches of its own
 * and does all of a patch's work, a few images at a time, in memory that stays in its cache:
 * measure, normalise and clip, convolve (a oneDNN primitive on one thread, or Winograd's algorithm,
 * see winograd.md), add into the top. The map itself is read and written once or twice from main
 * memory, and nothing as large as it is kept for backward, which normalises again.
 */
class EngineRegion : public OneDnnLayer<caffe::RegionLayer<float> > {
 public:
  typedef caffe::RegionLayer<float> Plain;

  explicit EngineRegion(const caffe::LayerParameter& param) : OneDnnLayer(param) {}

 protected:
  virtual bool Plan(const Blobs& bottom, const Blobs& top);
  virtual std::string KernelNames() const;
  virtual void PlannedForward(const Blobs& bottom, const Blobs& top);
  virtual void PlannedBackward(const Blobs& top, const std::vector<bool>& propagate_down,
                               const Blobs& bottom);

 private:
  /// The convolution of patches of one size, in one number of images, for one thread.
  struct Kernel {
    Kernel(const caffe::RegionGeometry& geometry, const caffe::RegionPatch& patch, int images,
           int block, bool bias);
    bool IsOptimized() const;

    onednn::Desc plain_weights, bias, source, target;
    dnnl::convolution_forward::primitive_desc forward_desc;
    dnnl::convolution_backward_weights::primitive_desc weights_desc;
    dnnl::convolution_backward_data::primitive_desc data_desc;
    dnnl::convolution_forward forward;
    dnnl::convolution_backward_weights backward_weights;
    dnnl::convolution_backward_data backward_data;
    dnnl::reorder pack_forward, pack_data, unpack_diff;
  };
  struct Workspace;
  struct Maps;

  bool MakeKernels();
  int GroupSize(const caffe::RegionPatch& patch) const;
  const Kernel& KernelOf(const caffe::RegionPatch& patch, int images) const;
  void ForwardPatch(int g, const Maps& maps, Workspace* work);
  void BackwardPatch(int g, const Maps& maps, Workspace* work);
  void BackwardDirect(int g, const Maps& maps, Workspace* work);
  Maps MapsOf(bool backward);
  void LoadChannels(int g, const Maps& maps, Workspace* work) const;
  void Normalize(int g, int first, int images, const Maps& maps, Workspace* work) const;
  void AddPatchDiffs(int g, const Maps& maps, const Workspace& work) const;
  void SetBottomDiff(int g, const Maps& maps, Workspace* work) const;

  // In region_winograd.cpp: the same by Winograd's algorithm, for patches of a size that it suits.
  struct Cut;
  bool UsesWinograd(const caffe::RegionPatch& patch) const;
  void ForwardWinograd(int g, const Maps& maps, Workspace* work);
  void BackwardWinograd(int g, const Maps& maps, Workspace* work);

  int block_;
  bool winograd_ = false;  // may be used
  /// By height and width of the patch, and images.
  std::map<std::pair<std::pair<int, int>, int>, caffe::shared_ptr<Kernel> > kernels_;
  BlockedPtr bottom_scratch_, top_scratch_, bottom_diff_scratch_, top_diff_scratch_;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_REGION_HPP_
