#ifndef CAFFE_EXT_TRAINING_TEST_PASS_HPP_
#define CAFFE_EXT_TRAINING_TEST_PASS_HPP_

#include "caffe/net.hpp"

namespace caffe_ext {

/**
 * Begins a solver's test pass over the data of `net`, and returns how many batches it has:
 * `test_iter`, or all of the data set where that is 0. Data layers that know their records
 * (MultiLabelData and MultiLabelImageData) begin at the first one in every pass; Caffe's own go on
 * where the last pass stopped. Ends the program where test_iter is 0 and no layer knows its
 * records.
 */
template <typename Dtype>
int BeginTestPass(const caffe::Net<Dtype>& net, int test_iter);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_TRAINING_TEST_PASS_HPP_
