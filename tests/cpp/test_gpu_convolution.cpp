// Convolutions of the GPU in groups of images against upstream's, which take one image after
// another.
#ifndef CPU_ONLY

#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "caffe/layers/conv_layer.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "engines/gpu_convolution.hpp"
#include "engines/switch.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "values.hpp"
#ifdef CUDA_ON_HOST
#include "cuda_on_host/control.hpp"
#endif

namespace caffe {

template <typename Dtype>
class GPUConvolutionTest : public GPUDeviceTest<Dtype> {
 protected:
  typedef caffe_ext::GpuConvolution<Dtype> Batched;

  GPUConvolutionTest() : column_bytes_(Batched::ColumnBytes()) {}
  ~GPUConvolutionTest() { Batched::ColumnBytes() = column_bytes_; }

  static LayerParameter Param(const string& text) {
    LayerParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(
        "name: 'conv' type: 'Convolution' convolution_param { " + text + " }", &param));
    return param;
  }

  static void Fill(int seed, int count, Dtype* values) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    for (int i = 0; i < count; ++i) {
      values[i] = normal(random);
    }
  }

  // What two passes leave behind, over two bottoms; gradients of parameters add up.
  static vector<vector<Dtype> > Run(Layer<Dtype>* layer, const vector<int>& shape,
                                    const vector<bool>& propagate_down, bool weight_learned) {
    Blob<Dtype> bottoms[2], tops[2];
    const vector<Blob<Dtype>*> bottom{&bottoms[0], &bottoms[1]}, top{&tops[0], &tops[1]};
    for (int i = 0; i < 2; ++i) {
      bottoms[i].Reshape(shape);
      Fill(i, bottoms[i].count(), bottoms[i].mutable_cpu_data());
    }
    layer->SetUp(bottom, top);
    for (size_t i = 0; i < layer->blobs().size(); ++i) {
      Blob<Dtype>* const blob = layer->blobs()[i].get();
      Fill(10 + i, blob->count(), blob->mutable_cpu_data());
      Fill(20 + i, blob->count(), blob->mutable_cpu_diff());
    }
    layer->set_param_propagate_down(0, weight_learned);
    vector<vector<Dtype> > found;
    const auto add = [&found](int count, const Dtype* values) {
      found.push_back(vector<Dtype>(values, values + count));
    };
    for (int pass = 0; pass < 2; ++pass) {
      layer->Forward(bottom, top);
      for (int i = 0; i < 2; ++i) {
        add(tops[i].count(), tops[i].cpu_data());
        Fill(30 + i + pass, tops[i].count(), tops[i].mutable_cpu_diff());
      }
      layer->Backward(top, propagate_down, bottom);
      for (int i = 0; i < 2; ++i) {
        if (propagate_down[i]) {
          add(bottoms[i].count(), bottoms[i].cpu_diff());
        }
      }
      for (const shared_ptr<Blob<Dtype> >& blob : layer->blobs()) {
        add(blob->count(), blob->cpu_diff());
      }
    }
    return found;
  }

  static void Compare(const string& text, const vector<int>& shape,
                      const vector<bool>& propagate_down = {true, true},
                      bool weight_learned = true) {
    SCOPED_TRACE(text);
    const LayerParameter param = Param(text);
    ConvolutionLayer<Dtype> upstream(param);
    Batched batched(param);
    const auto expected = Run(&upstream, shape, propagate_down, weight_learned);
    const auto found = Run(&batched, shape, propagate_down, weight_learned);
    ASSERT_EQ(expected.size(), found.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      SCOPED_TRACE(i);
      ASSERT_EQ(expected[i].size(), found[i].size());
      ExpectNear(expected[i].size(), expected[i].data(), found[i].data(), 5 * Tolerance<Dtype>(),
                 "the values");
    }
    Batched again(param);
    EXPECT_TRUE(Run(&again, shape, propagate_down, weight_learned) == found) << "two runs differ";
  }

 private:
  const size_t column_bytes_;
};

TYPED_TEST_CASE(GPUConvolutionTest, TestDtypes);

TYPED_TEST(GPUConvolutionTest, TestDrawnLayersAndGroupsOfImages) {
  std::mt19937 random(20160626);
  const auto draw = [&random](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  for (int i = 0; i < 30; ++i) {
    const int group = draw(1, 3), images = draw(2, 7);
    const int kernel_h = draw(1, 4), kernel_w = draw(1, 4), dilation = draw(1, 2);
    std::ostringstream text;
    text << "num_output: " << group * draw(1, 4) << " group: " << group << " kernel_h: " << kernel_h
         << " kernel_w: " << kernel_w << " stride_h: " << draw(1, 3) << " stride_w: " << draw(1, 3)
         << " pad_h: " << draw(0, 2) << " pad_w: " << draw(0, 2) << " dilation: " << dilation
         << " bias_term: " << (draw(0, 1) ? "true" : "false");
    const vector<int> shape{images, group * draw(1, 4), draw(7, 12), draw(7, 14)};
    // From one image at a time, by groups of which the last is smaller, to all at once.
    TestFixture::Batched::ColumnBytes() = size_t(1) << draw(8, 20);
    this->Compare(text.str(), shape, {draw(0, 3) > 0, draw(0, 1) > 0}, draw(0, 3) > 0);
  }
}

// Products that read the images themselves, in groups that the gradients' memory limits.
TYPED_TEST(GPUConvolutionTest, TestOneByOne) {
  for (const size_t bytes : {size_t(400), size_t(1) << 20}) {
    TestFixture::Batched::ColumnBytes() = bytes;
    this->Compare("num_output: 6 kernel_size: 1 group: 2", {5, 8, 3, 4});
  }
}

// One image and three axes are upstream's.
TYPED_TEST(GPUConvolutionTest, TestOthersAreUpstreams) {
  this->Compare("num_output: 2 kernel_size: 3", {1, 3, 6, 5});
  this->Compare("num_output: 2 kernel_size: 2", {3, 2, 4, 5, 3});
}

TYPED_TEST(GPUConvolutionTest, TestTheFactoryMakesIt) {
  typedef caffe_ext::GpuConvolution<TypeParam> Batched;
  const auto made = [this](const string& text) {
    return dynamic_cast<Batched*>(LayerRegistry<TypeParam>::CreateLayer(this->Param(text)).get()) !=
           NULL;
  };
  EXPECT_TRUE(made("num_output: 2 kernel_size: 3"));
  EXPECT_FALSE(made("num_output: 2 kernel_size: 3 engine: CAFFE"));
  caffe_ext::SetEngineEnabled(false);
  EXPECT_FALSE(made("num_output: 2 kernel_size: 3"));
  caffe_ext::SetEngineEnabled(true);
  Caffe::set_mode(Caffe::CPU);
  EXPECT_FALSE(made("num_output: 2 kernel_size: 3"));
  Caffe::set_mode(Caffe::GPU);
}

#ifdef CUDA_ON_HOST
TYPED_TEST(GPUConvolutionTest, TestNoMoreLaunchesForMoreImages) {
  TestFixture::Batched::ColumnBytes() = size_t(1) << 20;
  const LayerParameter param = this->Param("num_output: 4 kernel_size: 3");
  vector<size_t> launches;
  for (const int images : {2, 8}) {
    typename TestFixture::Batched layer(param);
    const size_t before = cuda_on_host::counters().launches;
    this->Run(&layer, {images, 3, 6, 7}, {true, true}, true);
    launches.push_back(cuda_on_host::counters().launches - before);
  }
  EXPECT_EQ(launches[0], launches[1]);
}
#endif

}  // namespace caffe

#endif  // CPU_ONLY
