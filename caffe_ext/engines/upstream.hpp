// Upstream's im2col and col2im under names of their own: the oracle of engines/im2col.cpp.
// The arguments are those of caffe/util/im2col.hpp. compat/compat.cmake does the renaming.
#ifndef CAFFE_EXT_ENGINES_UPSTREAM_HPP_
#define CAFFE_EXT_ENGINES_UPSTREAM_HPP_

namespace caffe {

template <typename Dtype>
void upstream_im2col_cpu(const Dtype* data_im, int channels, int height, int width, int kernel_h,
                         int kernel_w, int pad_h, int pad_w, int stride_h, int stride_w,
                         int dilation_h, int dilation_w, Dtype* data_col);

template <typename Dtype>
void upstream_col2im_cpu(const Dtype* data_col, int channels, int height, int width, int kernel_h,
                         int kernel_w, int pad_h, int pad_w, int stride_h, int stride_w,
                         int dilation_h, int dilation_w, Dtype* data_im);

}  // namespace caffe

#endif  // CAFFE_EXT_ENGINES_UPSTREAM_HPP_
