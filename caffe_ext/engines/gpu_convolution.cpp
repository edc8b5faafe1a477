#include "engines/gpu_convolution.hpp"

#ifndef CPU_ONLY

#include <algorithm>
#include <vector>

#include "caffe/util/im2col.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe_ext {

using caffe::Caffe;

namespace {

// Row-major C (m x n) = A (m x k) * B (k x n) + beta * C for each image, as caffe_gpu_gemm has it:
// for cuBLAS, whose matrices are column-major, the factors change places.
cublasStatus_t Products(cublasOperation_t a_op, cublasOperation_t b_op, int m, int n, int k,
                        const float* a, long long a_stride, const float* b, long long b_stride,
                        float beta, float* c, long long c_stride, int images) {
  const float alpha = 1;
  return cublasSgemmStridedBatched(
      Caffe::cublas_handle(), b_op, a_op, n, m, k, &alpha, b, b_op == CUBLAS_OP_N ? n : k, b_stride,
      a, a_op == CUBLAS_OP_N ? k : m, a_stride, &beta, c, n, c_stride, images);
}
cublasStatus_t Products(cublasOperation_t a_op, cublasOperation_t b_op, int m, int n, int k,
                        const double* a, long long a_stride, const double* b, long long b_stride,
                        double beta, double* c, long long c_stride, int images) {
  const double alpha = 1;
  return cublasDgemmStridedBatched(
      Caffe::cublas_handle(), b_op, a_op, n, m, k, &alpha, b, b_op == CUBLAS_OP_N ? n : k, b_stride,
      a, a_op == CUBLAS_OP_N ? k : m, a_stride, &beta, c, n, c_stride, images);
}

// Never fewer values than before, so that batches of different sizes allocate nothing.
template <typename Dtype>
void Reserve(caffe::Blob<Dtype>* blob, size_t count) {
  if (static_cast<size_t>(blob->count()) < count) {
    blob->Reshape(std::vector<int>{static_cast<int>(count)});
  }
}

}  // namespace

template <typename Dtype>
size_t& GpuConvolution<Dtype>::ColumnBytes() {
  static size_t bytes = 0;
  if (bytes == 0) {
    // More columns than these gain nothing: a group's products are large enough by then.
    size_t free_memory, memory;
    CUDA_CHECK(cudaMemGetInfo(&free_memory, &memory));
    bytes = std::min(size_t(256) << 20, memory / 64);
  }
  return bytes;
}

template <typename Dtype>
bool GpuConvolution<Dtype>::Batches() const {
  return this->num_ > 1 && this->num_spatial_axes_ == 2 && !this->force_nd_im2col_;
}

template <typename Dtype>
typename GpuConvolution<Dtype>::Sizes GpuConvolution<Dtype>::FindSizes() const {
  Sizes sizes;
  sizes.outputs = this->num_output_ / this->group_;
  sizes.depth = this->blobs_[0]->count(1);
  sizes.places = this->out_spatial_dim_;
  // A 1 x 1 convolution reads the image itself.
  const size_t columns =
      this->is_1x1_ ? 0 : static_cast<size_t>(sizes.depth) * this->group_ * sizes.places;
  const size_t values = ColumnBytes() / sizeof(Dtype);
  const size_t weights = this->blobs_[0]->count();
  const size_t all = this->num_;
  sizes.columns = static_cast<int>(columns);
  sizes.images =
      static_cast<int>(std::min(all, std::max<size_t>(1, values / std::max<size_t>(1, columns))));
  sizes.images_of_weights =
      static_cast<int>(std::min(all, std::max<size_t>(1, values / (columns + weights))));
  return sizes;
}

template <typename Dtype>
const Dtype* GpuConvolution<Dtype>::Columns(const Dtype* data, int images) {
  if (this->is_1x1_) {
    return data;
  }
  Dtype* const columns = columns_.mutable_gpu_data();
  const int* const shape = this->conv_input_shape_.cpu_data();
  caffe::im2col_gpu(data, images * shape[0], shape[1], shape[2], this->kernel_shape_.cpu_data()[0],
                    this->kernel_shape_.cpu_data()[1], this->pad_.cpu_data()[0],
                    this->pad_.cpu_data()[1], this->stride_.cpu_data()[0],
                    this->stride_.cpu_data()[1], this->dilation_.cpu_data()[0],
                    this->dilation_.cpu_data()[1], columns);
  return columns;
}

template <typename Dtype>
const Dtype* GpuConvolution<Dtype>::Ones(int count) {
  if (ones_.count() < count) {
    ones_.Reshape(std::vector<int>{count});
    caffe::caffe_gpu_set(count, Dtype(1), ones_.mutable_gpu_data());
  }
  return ones_.gpu_data();
}

template <typename Dtype>
void GpuConvolution<Dtype>::AddBias(const Dtype* bias, int images, Dtype* top) {
  const int places = this->out_spatial_dim_;
  CUBLAS_CHECK(Products(CUBLAS_OP_N, CUBLAS_OP_N, this->num_output_, places, 1, bias, 0,
                        Ones(places), 0, 1, top, this->top_dim_, images));
}

// The sums of all maps, then those of each output over the images.
template <typename Dtype>
void GpuConvolution<Dtype>::AddBiasDiff(const Dtype* top_diff, Dtype* bias_diff) {
  const int maps = this->num_ * this->num_output_;
  Reserve(&map_sums_, maps);
  const Dtype* const ones = Ones(std::max(this->out_spatial_dim_, this->num_));
  caffe::caffe_gpu_gemv<Dtype>(CblasNoTrans, maps, this->out_spatial_dim_, 1, top_diff, ones, 0,
                               map_sums_.mutable_gpu_data());
  caffe::caffe_gpu_gemv<Dtype>(CblasTrans, this->num_, this->num_output_, 1, map_sums_.gpu_data(),
                               ones, 1, bias_diff);
}

template <typename Dtype>
void GpuConvolution<Dtype>::Forward_gpu(const Blobs& bottom, const Blobs& top) {
  if (!Batches()) {
    caffe::ConvolutionLayer<Dtype>::Forward_gpu(bottom, top);
    return;
  }
  const Sizes sizes = FindSizes();
  Reserve(&columns_, static_cast<size_t>(sizes.images) * sizes.columns);
  const Dtype* const weights = this->blobs_[0]->gpu_data();
  for (size_t i = 0; i < bottom.size(); ++i) {
    const Dtype* const bottom_data = bottom[i]->gpu_data();
    Dtype* const top_data = top[i]->mutable_gpu_data();
    for (int first = 0; first < this->num_; first += sizes.images) {
      const int images = std::min(sizes.images, this->num_ - first);
      const Dtype* const columns =
          Columns(bottom_data + static_cast<size_t>(first) * this->bottom_dim_, images);
      const int stride = this->is_1x1_ ? this->bottom_dim_ : sizes.columns;
      Dtype* const out = top_data + static_cast<size_t>(first) * this->top_dim_;
      for (int g = 0; g < this->group_; ++g) {
        CUBLAS_CHECK(Products(CUBLAS_OP_N, CUBLAS_OP_N, sizes.outputs, sizes.places, sizes.depth,
                              weights + this->weight_offset_ * g, 0,
                              columns + sizes.depth * sizes.places * g, stride, 0,
                              out + sizes.outputs * sizes.places * g, this->top_dim_, images));
      }
      if (this->bias_term_) {
        AddBias(this->blobs_[1]->gpu_data(), images, out);
      }
    }
  }
}

template <typename Dtype>
void GpuConvolution<Dtype>::AddWeightDiff(const Sizes& sizes, const Dtype* columns,
                                          const Dtype* top_diff, int images, Dtype* weight_diff) {
  const int weights = this->blobs_[0]->count();
  const int stride = this->is_1x1_ ? this->bottom_dim_ : sizes.columns;
  Dtype* const diffs = weight_diffs_.mutable_gpu_data();
  for (int g = 0; g < this->group_; ++g) {
    CUBLAS_CHECK(Products(CUBLAS_OP_N, CUBLAS_OP_T, sizes.outputs, sizes.depth, sizes.places,
                          top_diff + sizes.outputs * sizes.places * g, this->top_dim_,
                          columns + sizes.depth * sizes.places * g, stride, 0,
                          diffs + this->weight_offset_ * g, weights, images));
  }
  caffe::caffe_gpu_gemv<Dtype>(CblasTrans, images, weights, 1, diffs, Ones(images), 1, weight_diff);
}

template <typename Dtype>
void GpuConvolution<Dtype>::Backward_gpu(const Blobs& top, const std::vector<bool>& propagate_down,
                                         const Blobs& bottom) {
  if (!Batches()) {
    caffe::ConvolutionLayer<Dtype>::Backward_gpu(top, propagate_down, bottom);
    return;
  }
  const Sizes sizes = FindSizes();
  const bool weight_learned = this->param_propagate_down_[0];
  const int at_once = weight_learned ? sizes.images_of_weights : sizes.images;
  Reserve(&columns_, static_cast<size_t>(at_once) * sizes.columns);
  if (weight_learned) {
    Reserve(&weight_diffs_, static_cast<size_t>(at_once) * this->blobs_[0]->count());
  }
  const Dtype* const weights = this->blobs_[0]->gpu_data();
  const int* const shape = this->conv_input_shape_.cpu_data();
  for (size_t i = 0; i < top.size(); ++i) {
    const Dtype* const top_diff = top[i]->gpu_diff();
    if (this->bias_term_ && this->param_propagate_down_[1]) {
      AddBiasDiff(top_diff, this->blobs_[1]->mutable_gpu_diff());
    }
    if (!weight_learned && !propagate_down[i]) {
      continue;
    }
    for (int first = 0; first < this->num_; first += at_once) {
      const int images = std::min(at_once, this->num_ - first);
      const Dtype* const diff = top_diff + static_cast<size_t>(first) * this->top_dim_;
      const size_t place = static_cast<size_t>(first) * this->bottom_dim_;
      if (weight_learned) {
        AddWeightDiff(sizes, Columns(bottom[i]->gpu_data() + place, images), diff, images,
                      this->blobs_[0]->mutable_gpu_diff());
      }
      if (propagate_down[i]) {
        Dtype* const bottom_diff = bottom[i]->mutable_gpu_diff() + place;
        Dtype* const columns = this->is_1x1_ ? bottom_diff : columns_.mutable_gpu_data();
        const int stride = this->is_1x1_ ? this->bottom_dim_ : sizes.columns;
        for (int g = 0; g < this->group_; ++g) {
          CUBLAS_CHECK(Products(CUBLAS_OP_T, CUBLAS_OP_N, sizes.depth, sizes.places, sizes.outputs,
                                weights + this->weight_offset_ * g, 0,
                                diff + sizes.outputs * sizes.places * g, this->top_dim_, 0,
                                columns + sizes.depth * sizes.places * g, stride, images));
        }
        if (!this->is_1x1_) {
          caffe::col2im_gpu(
              columns, images * shape[0], shape[1], shape[2], this->kernel_shape_.cpu_data()[0],
              this->kernel_shape_.cpu_data()[1], this->pad_.cpu_data()[0], this->pad_.cpu_data()[1],
              this->stride_.cpu_data()[0], this->stride_.cpu_data()[1],
              this->dilation_.cpu_data()[0], this->dilation_.cpu_data()[1], bottom_diff);
        }
      }
    }
  }
}

template class GpuConvolution<float>;
template class GpuConvolution<double>;

}  // namespace caffe_ext

#endif  // CPU_ONLY
