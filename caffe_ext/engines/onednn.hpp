// oneDNN as the engine uses it: 2.6 (Debian 12) to 3.x behind one set of calls.
#ifndef CAFFE_EXT_ENGINES_ONEDNN_HPP_
#define CAFFE_EXT_ENGINES_ONEDNN_HPP_

#include <dnnl.hpp>
#include <string>

#include "engines/blocked_tensor.hpp"

namespace caffe_ext {
namespace onednn {

typedef dnnl::memory::dims Dims;
typedef dnnl::memory::desc Desc;

dnnl::engine& Engine();

/// This thread's stream.
dnnl::stream& Stream();

/// Channels in a block: 16 where the processor (or DNNL_MAX_CPU_ISA) has AVX-512, else 8.
int ChannelBlock();

/// Memory over a tensor of the engine, over plain N x C x H x W floats, or of oneDNN's choice.
Desc BlockedDesc(int num, int channels, int height, int width, int block);
Desc PlainDesc(const Dims& dims);
Desc AnyDesc(const Dims& dims);
dnnl::memory Memory(const Desc& desc, const void* data);
dnnl::memory Memory(const BlockedPtr& tensor);

/// "jit:avx512_core" and the like; false for what oneDNN runs where it has no kernel of its own for
/// this processor and form, which the plain layers beat.
std::string Implementation(const dnnl::primitive_desc_base& desc);
bool IsOptimized(const dnnl::primitive_desc_base& desc);
bool IsOptimized(const std::string& implementation);

struct ConvolutionShape {
  Dims stride, pad_before, pad_after;
};

dnnl::convolution_forward::primitive_desc ConvolutionForward(const ConvolutionShape& shape,
                                                             const Desc& source,
                                                             const Desc& weights, const Desc* bias,
                                                             const Desc& target,
                                                             const dnnl::primitive_attr& attr);
dnnl::convolution_backward_weights::primitive_desc ConvolutionBackwardWeights(
    const ConvolutionShape& shape, const Desc& source, const Desc& weights, const Desc* bias,
    const Desc& target, const dnnl::primitive_attr& attr,
    const dnnl::convolution_forward::primitive_desc& hint);
dnnl::convolution_backward_data::primitive_desc ConvolutionBackwardData(
    const ConvolutionShape& shape, const Desc& source, const Desc& weights, const Desc& target,
    const dnnl::primitive_attr& attr, const dnnl::convolution_forward::primitive_desc& hint);

struct PoolingShape {
  dnnl::algorithm algorithm;
  Dims kernel, stride, pad_before, pad_after;
};

dnnl::pooling_forward::primitive_desc PoolingForward(const PoolingShape& shape, const Desc& source,
                                                     const Desc& target);
dnnl::pooling_backward::primitive_desc PoolingBackward(
    const PoolingShape& shape, const Desc& source, const Desc& target,
    const dnnl::pooling_forward::primitive_desc& hint);

struct LrnShape {
  int size;
  float alpha, beta, k;
};

// forward_training fills a workspace for the backward pass, forward_inference has none.
dnnl::lrn_forward::primitive_desc LrnForward(dnnl::prop_kind kind, const LrnShape& shape,
                                             const Desc& desc);
dnnl::lrn_backward::primitive_desc LrnBackward(const LrnShape& shape, const Desc& desc,
                                               const dnnl::lrn_forward::primitive_desc& hint);

}  // namespace onednn
}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_ONEDNN_HPP_
