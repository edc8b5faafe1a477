// One pass of Adam (Kingma and Ba, ICLR 2015) over a parameter blob, on all cores.
#ifndef CAFFE_EXT_ENGINES_ADAM_HPP_
#define CAFFE_EXT_ENGINES_ADAM_HPP_

namespace caffe_ext {

// For each of n elements, with gradient g in diff:
//   m <- beta1 m + (1 - beta1) g
//   v <- beta2 v + (1 - beta2) g^2
//   diff <- rate m / (sqrt(v) + eps)
// `rate` holds the bias correction. Upstream makes eight passes on one thread; this makes one. Each
// element is computed by itself, so the number of threads changes nothing.
template <typename Dtype>
void AdamUpdate(int n, Dtype beta1, Dtype beta2, Dtype eps, Dtype rate, Dtype* m, Dtype* v,
                Dtype* diff);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_ADAM_HPP_
