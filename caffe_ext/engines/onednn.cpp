#include "engines/onednn.hpp"

namespace caffe_ext {
namespace onednn {

using dnnl::memory;
using dnnl::prop_kind;

dnnl::engine& Engine() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& Stream() {
  static thread_local dnnl::stream stream(Engine());
  return stream;
}

int ChannelBlock() {
  const int isa = static_cast<int>(dnnl::get_effective_cpu_isa());
  const int avx512 = static_cast<int>(dnnl::cpu_isa::avx512_core);
  return (isa & avx512) == avx512 ? 16 : 8;
}

Desc BlockedDesc(int num, int channels, int height, int width, int block) {
  return Desc({num, channels, height, width}, memory::data_type::f32,
              block == 16 ? memory::format_tag::nChw16c : memory::format_tag::nChw8c);
}

Desc PlainDesc(const Dims& dims) {
  static const memory::format_tag tags[] = {memory::format_tag::undef, memory::format_tag::a,
                                            memory::format_tag::ab,    memory::format_tag::abc,
                                            memory::format_tag::abcd,  memory::format_tag::abcde};
  return Desc(dims, memory::data_type::f32, tags[dims.size()]);
}

Desc AnyDesc(const Dims& dims) {
  return Desc(dims, memory::data_type::f32, memory::format_tag::any);
}

memory Memory(const Desc& desc, const void* data) {
  return memory(desc, Engine(), const_cast<void*>(data));
}

memory Memory(const BlockedPtr& tensor) {
  return Memory(BlockedDesc(tensor->num(), tensor->channels(), tensor->height(), tensor->width(),
                            tensor->block()),
                tensor->data());
}

std::string Implementation(const dnnl::primitive_desc_base& desc) { return desc.impl_info_str(); }

namespace {

// The first word of each name that oneDNN 2.6 to 3.x gives an implementation of a convolution, a
// pooling or an LRN, and whether it is one for this processor and form, which beats the plain
// layer.
struct Known {
  const char* word;
  bool optimized;
};
const Known kImplementations[] = {
    {"brdgmm_dw", true},       {"brgconv", true},      {"brgconv_1x1", true},
    {"brgconv_strided", true}, {"gemm", false},        {"jit", true},
    {"jit_1x1", true},         {"jit_dw", true},       {"jit_dw_1x1", true},
    {"lrn_jit", true},         {"lrn_ref", false},     {"ref", false},
    {"simple_nchw", false},    {"simple_nhwc", false}, {"x64", false},  // x64:gemm:jit
};

}  // namespace

bool IsOptimized(const std::string& implementation) {
  const std::string word = implementation.substr(0, implementation.find(':'));
  for (const Known& known : kImplementations) {
    if (word == known.word) {
      return known.optimized;
    }
  }
  LOG(WARNING) << "oneDNN's implementation '" << implementation
               << "' is not in the engine's table (engines/onednn.cpp), so it is not used.";
  return false;
}

bool IsOptimized(const dnnl::primitive_desc_base& desc) {
  return IsOptimized(Implementation(desc));
}

// oneDNN 3 did away with operation descriptors: the primitive descriptor takes their arguments.
dnnl::convolution_forward::primitive_desc ConvolutionForward(const ConvolutionShape& s,
                                                             const Desc& source,
                                                             const Desc& weights, const Desc* bias,
                                                             const Desc& target,
                                                             const dnnl::primitive_attr& attr) {
  typedef dnnl::convolution_forward Op;
  const prop_kind kind = prop_kind::forward_training;
  const dnnl::algorithm direct = dnnl::algorithm::convolution_direct;
  const Desc no_bias;
#if DNNL_VERSION_MAJOR >= 3
  return Op::primitive_desc(Engine(), kind, direct, source, weights, bias ? *bias : no_bias, target,
                            s.stride, s.pad_before, s.pad_after, attr);
#else
  return Op::primitive_desc(Op::desc(kind, direct, source, weights, bias ? *bias : no_bias, target,
                                     s.stride, s.pad_before, s.pad_after),
                            attr, Engine());
#endif
}

dnnl::convolution_backward_weights::primitive_desc ConvolutionBackwardWeights(
    const ConvolutionShape& s, const Desc& source, const Desc& weights, const Desc* bias,
    const Desc& target, const dnnl::primitive_attr& attr,
    const dnnl::convolution_forward::primitive_desc& hint) {
  typedef dnnl::convolution_backward_weights Op;
  const dnnl::algorithm direct = dnnl::algorithm::convolution_direct;
  const Desc no_bias;
#if DNNL_VERSION_MAJOR >= 3
  return Op::primitive_desc(Engine(), direct, source, weights, bias ? *bias : no_bias, target,
                            s.stride, s.pad_before, s.pad_after, hint, attr);
#else
  return Op::primitive_desc(Op::desc(direct, source, weights, bias ? *bias : no_bias, target,
                                     s.stride, s.pad_before, s.pad_after),
                            attr, Engine(), hint);
#endif
}

dnnl::convolution_backward_data::primitive_desc ConvolutionBackwardData(
    const ConvolutionShape& s, const Desc& source, const Desc& weights, const Desc& target,
    const dnnl::primitive_attr& attr, const dnnl::convolution_forward::primitive_desc& hint) {
  typedef dnnl::convolution_backward_data Op;
  const dnnl::algorithm direct = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return Op::primitive_desc(Engine(), direct, source, weights, target, s.stride, s.pad_before,
                            s.pad_after, hint, attr);
#else
  return Op::primitive_desc(
      Op::desc(direct, source, weights, target, s.stride, s.pad_before, s.pad_after), attr,
      Engine(), hint);
#endif
}

dnnl::pooling_forward::primitive_desc PoolingForward(const PoolingShape& s, const Desc& source,
                                                     const Desc& target) {
  typedef dnnl::pooling_forward Op;
  const prop_kind kind = prop_kind::forward_training;
#if DNNL_VERSION_MAJOR >= 3
  return Op::primitive_desc(Engine(), kind, s.algorithm, source, target, s.stride, s.kernel,
                            Dims{0, 0}, s.pad_before, s.pad_after);
#else
  return Op::primitive_desc(
      Op::desc(kind, s.algorithm, source, target, s.stride, s.kernel, s.pad_before, s.pad_after),
      Engine());
#endif
}

dnnl::pooling_backward::primitive_desc PoolingBackward(
    const PoolingShape& s, const Desc& source, const Desc& target,
    const dnnl::pooling_forward::primitive_desc& hint) {
  typedef dnnl::pooling_backward Op;
#if DNNL_VERSION_MAJOR >= 3
  return Op::primitive_desc(Engine(), s.algorithm, source, target, s.stride, s.kernel, Dims{0, 0},
                            s.pad_before, s.pad_after, hint);
#else
  return Op::primitive_desc(
      Op::desc(s.algorithm, source, target, s.stride, s.kernel, s.pad_before, s.pad_after),
      Engine(), hint);
#endif
}

dnnl::lrn_forward::primitive_desc LrnForward(prop_kind kind, const LrnShape& s, const Desc& desc) {
  typedef dnnl::lrn_forward Op;
  const dnnl::algorithm across = dnnl::algorithm::lrn_across_channels;
#if DNNL_VERSION_MAJOR >= 3
  return Op::primitive_desc(Engine(), kind, across, desc, desc, s.size, s.alpha, s.beta, s.k);
#else
  return Op::primitive_desc(Op::desc(kind, across, desc, s.size, s.alpha, s.beta, s.k), Engine());
#endif
}

dnnl::lrn_backward::primitive_desc LrnBackward(const LrnShape& s, const Desc& desc,
                                               const dnnl::lrn_forward::primitive_desc& hint) {
  typedef dnnl::lrn_backward Op;
  const dnnl::algorithm across = dnnl::algorithm::lrn_across_channels;
#if DNNL_VERSION_MAJOR >= 3
  return Op::primitive_desc(Engine(), across, desc, desc, desc, s.size, s.alpha, s.beta, s.k, hint);
#else
  return Op::primitive_desc(Op::desc(across, desc, desc, s.size, s.alpha, s.beta, s.k), Engine(),
                            hint);
#endif
}

}  // namespace onednn
}  // namespace caffe_ext
