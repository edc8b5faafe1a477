// cuBLAS on the host's BLAS, which nothing instruments: so every extent is checked here.
#include <cblas.h>
#include <cublas_v2.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "memory.hpp"
#include "report.hpp"

struct cublasContext {
  cudaStream_t stream = nullptr;
  cublasMath_t math = CUBLAS_DEFAULT_MATH;
};

namespace cuda_on_host {
namespace {

// One call: holds the device, reports arguments that cuBLAS could not work with, and opens the
// memory to what is instrumented after all: the BLAS calls memset.
class Call {
 public:
  explicit Call(const char* name) : name_(name), lock_(DeviceMutex()) {}

  template <typename T>
  void Matrix(const char* what, const T* data, long rows, long columns, long leading) {
    if (rows > 0 && columns > 0) {
      if (leading < rows) {
        Report("%s: the leading dimension %ld of %s is less than its %ld rows", name_, leading,
               what, rows);
      }
      RequireDeviceMemory(name_, what, data, ((columns - 1) * leading + rows) * sizeof(T));
      access_.Open(data);
    }
  }
  template <typename T>
  void Vector(const char* what, const T* data, long count, long increment) {
    if (count > 0) {
      if (increment == 0) {
        Report("%s: the increment of %s is 0", name_, what);
      }
      RequireDeviceMemory(name_, what, data, ((count - 1) * labs(increment) + 1) * sizeof(T));
      access_.Open(data);
    }
  }
  void HostScalar(const char* what, const void* pointer) const {
    if (pointer == nullptr || PlaceOf(pointer) == Place::kDevice) {
      Report("%s: %s (%p) is no pointer to host memory", name_, what, pointer);
    }
  }

 private:
  const char* const name_;
  const std::lock_guard<std::recursive_mutex> lock_;
  DeviceAccess access_;
};

CBLAS_TRANSPOSE Transposed(cublasOperation_t operation) {
  return operation == CUBLAS_OP_N ? CblasNoTrans : CblasTrans;
}

void Gemm(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, float alpha, const float* a,
          int lda, const float* b, int ldb, float beta, float* c, int ldc) {
  cblas_sgemm(CblasColMajor, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void Gemm(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, double alpha,
          const double* a, int lda, const double* b, int ldb, double beta, double* c, int ldc) {
  cblas_dgemm(CblasColMajor, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void Gemv(CBLAS_TRANSPOSE trans, int m, int n, float alpha, const float* a, int lda, const float* x,
          int incx, float beta, float* y, int incy) {
  cblas_sgemv(CblasColMajor, trans, m, n, alpha, a, lda, x, incx, beta, y, incy);
}
void Gemv(CBLAS_TRANSPOSE trans, int m, int n, double alpha, const double* a, int lda,
          const double* x, int incx, double beta, double* y, int incy) {
  cblas_dgemv(CblasColMajor, trans, m, n, alpha, a, lda, x, incx, beta, y, incy);
}

template <typename T>
cublasStatus_t GemmBatches(const char* name, cublasHandle_t handle, cublasOperation_t trans_a,
                           cublasOperation_t trans_b, int m, int n, int k, const T* alpha,
                           const T* a, int lda, long long stride_a, const T* b, int ldb,
                           long long stride_b, const T* beta, T* c, int ldc, long long stride_c,
                           int batches) {
  if (handle == nullptr) {
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  if (m < 0 || n < 0 || k < 0 || batches < 0) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  Call call(name);
  call.HostScalar("alpha", alpha);
  call.HostScalar("beta", beta);
  const bool plain_a = trans_a == CUBLAS_OP_N, plain_b = trans_b == CUBLAS_OP_N;
  for (int i = 0; i < batches && m > 0 && n > 0; ++i, a += stride_a, b += stride_b, c += stride_c) {
    call.Matrix("A", a, plain_a ? m : k, plain_a ? k : m, lda);
    call.Matrix("B", b, plain_b ? k : n, plain_b ? n : k, ldb);
    call.Matrix("C", c, m, n, ldc);
    Gemm(Transposed(trans_a), Transposed(trans_b), m, n, k, *alpha, a, lda, b, ldb, *beta, c, ldc);
  }
  return CUBLAS_STATUS_SUCCESS;
}

template <typename T>
cublasStatus_t GemvChecked(const char* name, cublasHandle_t handle, cublasOperation_t trans, int m,
                           int n, const T* alpha, const T* a, int lda, const T* x, int incx,
                           const T* beta, T* y, int incy) {
  if (handle == nullptr) {
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  if (m < 0 || n < 0) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  Call call(name);
  call.HostScalar("alpha", alpha);
  call.HostScalar("beta", beta);
  const int x_count = trans == CUBLAS_OP_N ? n : m, y_count = trans == CUBLAS_OP_N ? m : n;
  call.Matrix("A", a, m, n, lda);
  call.Vector("x", x, x_count, incx);
  call.Vector("y", y, y_count, incy);
  if (*beta == 0) {
    // cuBLAS promises not to read y then; not every BLAS does.
    for (long i = 0; i < y_count; ++i) {
      y[i * labs(incy)] = 0;
    }
  }
  if (m > 0 && n > 0) {
    Gemv(Transposed(trans), m, n, *alpha, a, lda, x, incx, *beta, y, incy);
  }
  return CUBLAS_STATUS_SUCCESS;
}

// Not the host's BLAS: some set to 0 when alpha is 0, where a device multiplies a NaN.
template <typename T>
cublasStatus_t Scal(const char* name, cublasHandle_t handle, int n, const T* alpha, T* x,
                    int incx) {
  if (handle == nullptr) {
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  Call call(name);
  call.HostScalar("alpha", alpha);
  call.Vector("x", x, n, incx);
  for (long i = 0; i < n; ++i) {
    x[i * labs(incx)] *= *alpha;
  }
  return CUBLAS_STATUS_SUCCESS;
}

// What the simple calls have in common.
template <typename T>
cublasStatus_t CheckVectors(Call* call, cublasHandle_t handle, int n, const T* x, int incx,
                            const T* y, int incy) {
  if (handle == nullptr) {
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  call->Vector("x", x, n, incx);
  call->Vector("y", y, n, incy);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace
}  // namespace cuda_on_host

using cuda_on_host::Call;
using cuda_on_host::CheckVectors;

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  cuda_on_host::RequireStream("cublasSetStream", stream);
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetStream(cublasHandle_t handle, cudaStream_t* stream) {
  *stream = handle->stream;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetPointerMode(cublasHandle_t, cublasPointerMode_t mode) {
  return mode == CUBLAS_POINTER_MODE_HOST ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasGetPointerMode(cublasHandle_t, cublasPointerMode_t* mode) {
  *mode = CUBLAS_POINTER_MODE_HOST;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  handle->math = mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* mode) {
  *mode = handle->math;
  return CUBLAS_STATUS_SUCCESS;
}

// The same calls for float (S, s) and for double (D, d).
#define CUDA_ON_HOST_BLAS(T, S, s)                                                                 \
  cublasStatus_t cublas##S##gemm(cublasHandle_t handle, cublasOperation_t trans_a,                 \
                                 cublasOperation_t trans_b, int m, int n, int k, const T* alpha,   \
                                 const T* a, int lda, const T* b, int ldb, const T* beta, T* c,    \
                                 int ldc) {                                                        \
    return cuda_on_host::GemmBatches("cublas" #S "gemm", handle, trans_a, trans_b, m, n, k, alpha, \
                                     a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1);                    \
  }                                                                                                \
  cublasStatus_t cublas##S##gemmStridedBatched(                                                    \
      cublasHandle_t handle, cublasOperation_t trans_a, cublasOperation_t trans_b, int m, int n,   \
      int k, const T* alpha, const T* a, int lda, long long stride_a, const T* b, int ldb,         \
      long long stride_b, const T* beta, T* c, int ldc, long long stride_c, int batches) {         \
    return cuda_on_host::GemmBatches("cublas" #S "gemmStridedBatched", handle, trans_a, trans_b,   \
                                     m, n, k, alpha, a, lda, stride_a, b, ldb, stride_b, beta, c,  \
                                     ldc, stride_c, batches);                                      \
  }                                                                                                \
  cublasStatus_t cublas##S##gemv(cublasHandle_t handle, cublasOperation_t trans, int m, int n,     \
                                 const T* alpha, const T* a, int lda, const T* x, int incx,        \
                                 const T* beta, T* y, int incy) {                                  \
    return cuda_on_host::GemvChecked("cublas" #S "gemv", handle, trans, m, n, alpha, a, lda, x,    \
                                     incx, beta, y, incy);                                         \
  }                                                                                                \
  cublasStatus_t cublas##S##scal(cublasHandle_t handle, int n, const T* alpha, T* x, int incx) {   \
    return cuda_on_host::Scal("cublas" #S "scal", handle, n, alpha, x, incx);                      \
  }                                                                                                \
  cublasStatus_t cublas##S##axpy(cublasHandle_t handle, int n, const T* alpha, const T* x,         \
                                 int incx, T* y, int incy) {                                       \
    Call call("cublas" #S "axpy");                                                                 \
    call.HostScalar("alpha", alpha);                                                               \
    const cublasStatus_t status = CheckVectors<T>(&call, handle, n, x, incx, y, incy);             \
    if (status == CUBLAS_STATUS_SUCCESS) {                                                         \
      cblas_##s##axpy(n, *alpha, x, incx, y, incy);                                                \
    }                                                                                              \
    return status;                                                                                 \
  }                                                                                                \
  cublasStatus_t cublas##S##copy(cublasHandle_t handle, int n, const T* x, int incx, T* y,         \
                                 int incy) {                                                       \
    Call call("cublas" #S "copy");                                                                 \
    const cublasStatus_t status = CheckVectors<T>(&call, handle, n, x, incx, y, incy);             \
    if (status == CUBLAS_STATUS_SUCCESS) {                                                         \
      cblas_##s##copy(n, x, incx, y, incy);                                                        \
    }                                                                                              \
    return status;                                                                                 \
  }                                                                                                \
  cublasStatus_t cublas##S##dot(cublasHandle_t handle, int n, const T* x, int incx, const T* y,    \
                                int incy, T* result) {                                             \
    Call call("cublas" #S "dot");                                                                  \
    call.HostScalar("the result", result);                                                         \
    const cublasStatus_t status = CheckVectors<T>(&call, handle, n, x, incx, y, incy);             \
    if (status == CUBLAS_STATUS_SUCCESS) {                                                         \
      *result = cblas_##s##dot(n, x, incx, y, incy);                                               \
    }                                                                                              \
    return status;                                                                                 \
  }                                                                                                \
  cublasStatus_t cublas##S##asum(cublasHandle_t handle, int n, const T* x, int incx, T* result) {  \
    Call call("cublas" #S "asum");                                                                 \
    call.HostScalar("the result", result);                                                         \
    const cublasStatus_t status = CheckVectors<T>(&call, handle, n, x, incx, x, incx);             \
    if (status == CUBLAS_STATUS_SUCCESS) {                                                         \
      *result = cblas_##s##asum(n, x, incx);                                                       \
    }                                                                                              \
    return status;                                                                                 \
  }
CUDA_ON_HOST_BLAS(float, S, s)
CUDA_ON_HOST_BLAS(double, D, d)
#undef CUDA_ON_HOST_BLAS
