// Every layer of the CPU engine against the plain layer of the same type.
#include "engine_fixture.hpp"

#ifdef USE_ONEDNN

#include <omp.h>

#include "caffe/layers/conv_layer.hpp"
#include "engines/blocked_tensor.hpp"
#include "engines/convolution.hpp"
#include "engines/few_images_product.hpp"
#include "engines/inner_product.hpp"
#include "engines/lrn.hpp"
#include "engines/onednn.hpp"
#include "engines/pooling.hpp"
#include "engines/region.hpp"
#include "engines/relu.hpp"

namespace caffe {

// How a bottom's data and a top's diff come to the layer.
enum Form { kPlainForm, kBlockedForm };

class EngineLayerTest : public EngineTest {
 protected:
  // A blob with these values that nobody has looked at, in the given form.
  static shared_ptr<Blob<float> > MakeBlob(const vector<int>& shape, const vector<float>& data,
                                           const vector<float>& diff, Form form) {
    shared_ptr<Blob<float> > blob(new Blob<float>(shape));
    if (form == kBlockedForm && shape.size() == 4 && blob->count() > 0) {
      const int block = caffe_ext::onednn::ChannelBlock();
      const vector<float>* values[] = {&data, &diff};
      for (int part = 0; part < 2; ++part) {
        caffe_ext::BlockedPtr tensor(
            new caffe_ext::BlockedTensor(shape[0], shape[1], shape[2], shape[3], block));
        tensor->ReadPlain(values[part]->data());
        (part == 0 ? blob->data() : blob->diff())->set_private_form(tensor);
      }
    } else {
      std::copy(data.begin(), data.end(), blob->mutable_cpu_data());
      std::copy(diff.begin(), diff.end(), blob->mutable_cpu_diff());
    }
    return blob;
  }

  vector<float> Random(int count) {
    vector<float> values(count);
    Fill(count, values.data());
    return values;
  }

  static void CopyBlobs(const Layer<float>& from, Layer<float>* to) {
    Layer<float>& source = const_cast<Layer<float>&>(from);
    ASSERT_EQ(source.blobs().size(), to->blobs().size());
    for (int i = 0; i < to->blobs().size(); ++i) {
      to->blobs()[i]->CopyFrom(*source.blobs()[i], false);
      to->blobs()[i]->CopyFrom(*source.blobs()[i], true);
    }
  }

  // One layer with the engine and one without, through the same shapes one after the other:
  // forward, then backward on top of gradients that are there already.
  void Compare(const string& text, const vector<vector<int> >& shapes, bool in_place = false,
               bool propagate_down = true) {
    for (const Form form : {kPlainForm, kBlockedForm}) {
      SCOPED_TRACE(text + (form == kPlainForm ? " (plain)" : " (blocked)"));
      CompareForm(text, shapes, in_place, propagate_down, form);
      if (HasFatalFailure()) {
        return;
      }
    }
  }

  void CompareForm(const string& text, const vector<vector<int> >& shapes, bool in_place,
                   bool propagate_down, Form form) {
    const LayerParameter param = ParseLayer(text);
    shared_ptr<Layer<float> > layers[2];
    Blob<float> terms[2];  // second tops, whose diff holds their loss_weight from the set-up on
    const auto top_of = [&](int engine, const shared_ptr<Blob<float> >& first) {
      vector<Blob<float>*> top(1, first.get());
      if (param.region_param().group_sparsity() > 0) {
        top.push_back(&terms[engine]);
      }
      return top;
    };
    for (const vector<int>& shape : shapes) {
      const int count = Blob<float>(shape).count();
      const vector<float> data = Random(count), nothing(count, 0);
      shared_ptr<Blob<float> > bottoms[2], tops[2];
      for (int engine = 0; engine < 2; ++engine) {
        shared_ptr<Layer<float> >& layer = layers[engine];
        // The plain layer sees plain blobs only.
        bottoms[engine] = MakeBlob(shape, data, nothing, engine ? form : kPlainForm);
        tops[engine] = in_place ? bottoms[engine] : make_shared();
        const vector<Blob<float>*> bottom(1, bottoms[engine].get());
        const vector<Blob<float>*> top = top_of(engine, tops[engine]);
        if (!layer) {
          layer = Create(param, engine);
          layer->SetUp(bottom, top);
          if (engine == 0) {
            for (int i = 0; i < layer->blobs().size(); ++i) {
              Fill(layer->blobs()[i]->count(), layer->blobs()[i]->mutable_cpu_data());
              Fill(layer->blobs()[i]->count(), layer->blobs()[i]->mutable_cpu_diff());
              // Running statistics and the factor are no free values.
              for (int j = 0; param.type() == "Region" && j < layer->blobs()[i]->count(); ++j) {
                float* value = layer->blobs()[i]->mutable_cpu_data() + j;
                *value = layer->blobs()[i]->num_axes() == 4 ? *value * .3f : std::abs(*value) + .5f;
              }
            }
          } else {
            CopyBlobs(*layers[0], layer.get());
          }
        } else {
          layer->Reshape(bottom, top);
        }
      }
      for (int engine = 0; engine < 2; ++engine) {
        layers[engine]->Forward({bottoms[engine].get()}, top_of(engine, tops[engine]));
      }
      const vector<float> top_diff = Random(tops[0]->count());
      ASSERT_EQ(tops[1]->shape(), tops[0]->shape());
      for (int engine = 0; engine < 2; ++engine) {
        const vector<Blob<float>*> bottom(1, bottoms[engine].get());
        const vector<Blob<float>*> top = top_of(engine, tops[engine]);
        SetDiff(top_diff, engine ? form : kPlainForm, tops[engine].get());
        layers[engine]->Backward(top, vector<bool>(1, propagate_down), bottom);
      }
      ExpectClose(tops[1]->cpu_data(), tops[0]->cpu_data(), tops[0]->count(), "top");
      if (terms[0].count() > 0) {
        ExpectClose(terms[1].cpu_data(), terms[0].cpu_data(), terms[0].count(), "second top");
      }
      if (propagate_down) {
        ExpectClose(bottoms[1]->cpu_diff(), bottoms[0]->cpu_diff(), count, "bottom diff");
      }
      for (int i = 0; i < layers[0]->blobs().size(); ++i) {
        const Blob<float>& expected = *layers[0]->blobs()[i];
        const Blob<float>& actual = *layers[1]->blobs()[i];
        ExpectClose(actual.cpu_data(), expected.cpu_data(), expected.count(), "blob");
        ExpectClose(actual.cpu_diff(), expected.cpu_diff(), expected.count(), "blob diff");
      }
    }
  }

  static shared_ptr<Blob<float> > make_shared() {
    return shared_ptr<Blob<float> >(new Blob<float>());
  }

  static void SetDiff(const vector<float>& diff, Form form, Blob<float>* blob) {
    if (form == kBlockedForm && blob->num_axes() == 4 && blob->count() > 0 &&
        !blob->diff()->plain_seen()) {
      caffe_ext::BlockedPtr tensor(new caffe_ext::BlockedTensor(blob->shape(0), blob->shape(1),
                                                                blob->shape(2), blob->shape(3),
                                                                caffe_ext::onednn::ChannelBlock()));
      tensor->ReadPlain(diff.data());
      blob->diff()->set_private_form(tensor);
    } else {
      std::copy(diff.begin(), diff.end(), blob->mutable_cpu_diff());
    }
  }

  template <typename EngineLayer>
  static bool IsEngine(const string& text) {
    return dynamic_cast<EngineLayer*>(Create(ParseLayer(text), true).get()) != NULL;
  }
};

static string Convolution(const string& options) {
  return "type: 'Convolution' convolution_param { " + options + " }";
}
static string Pooling(const string& options) {
  return "type: 'Pooling' pooling_param { " + options + " }";
}
static string Region(const string& options) {
  return "type: 'Region' region_param { " + options + " }";
}

TEST_F(EngineLayerTest, TestTheFactoryChooses) {
  EXPECT_TRUE(IsEngine<caffe_ext::EngineConvolution>(Convolution("num_output: 4 kernel_size: 3")));
  EXPECT_TRUE(IsEngine<caffe_ext::EngineReLU>("type: 'ReLU'"));
  EXPECT_TRUE(IsEngine<caffe_ext::EnginePooling>(Pooling("pool: MAX kernel_size: 2")));
  EXPECT_TRUE(IsEngine<caffe_ext::EngineLRN>("type: 'LRN'"));
  EXPECT_TRUE(IsEngine<caffe_ext::EngineInnerProduct>("type: 'InnerProduct'"));
  EXPECT_TRUE(IsEngine<caffe_ext::EngineRegion>(Region("")));
  EXPECT_FALSE(IsEngine<caffe_ext::EngineConvolution>(
      Convolution("num_output: 4 kernel_size: 3 engine: CAFFE")));
  EXPECT_FALSE(IsEngine<caffe_ext::EngineReLU>("type: 'ReLU' relu_param { engine: CAFFE }"));
  const LayerParameter param = ParseLayer(Convolution("num_output: 4 kernel_size: 3"));
  const shared_ptr<Layer<float> > off = Create(param, false);
  EXPECT_EQ(dynamic_cast<caffe_ext::EngineConvolution*>(off.get()), nullptr);
  EXPECT_STREQ(off->type(), "Convolution");
  EXPECT_STREQ(Create(param, true)->type(), "Convolution");
  const shared_ptr<Layer<double> > in_double = LayerRegistry<double>::CreateLayer(param);
  EXPECT_NE(dynamic_cast<ConvolutionLayer<double>*>(in_double.get()), nullptr);
}

// A net for the GPU needs the layers that have kernels.
TEST_F(EngineLayerTest, TestTheFactoryMakesPlainLayersForTheGPU) {
  Caffe::set_mode(Caffe::GPU);
  const bool convolution =
      IsEngine<caffe_ext::EngineConvolution>(Convolution("num_output: 4 kernel_size: 3"));
  const bool region = IsEngine<caffe_ext::EngineRegion>(Region(""));
  Caffe::set_mode(Caffe::CPU);
  EXPECT_FALSE(convolution);
  EXPECT_FALSE(region);
}

TEST_F(EngineLayerTest, TestBlockedTensorRoundTrip) {
  for (const int block : {8, 16}) {
    for (const int channels : {1, 3, 8, 17, 33}) {
      caffe_ext::BlockedTensor tensor(2, channels, 3, 5, block);
      const vector<float> values = Random(2 * channels * 15);
      tensor.ReadPlain(values.data());
      vector<float> back(values.size());
      tensor.WritePlain(back.data(), back.size() * sizeof(float));
      EXPECT_EQ(back, values);
      // Where one value of the second image lies, and that the block is filled up with zeros.
      const int c = channels - 1;
      const size_t at = (((1 * tensor.blocks() + c / block) * 3 + 2) * 5 + 4) * block + c % block;
      EXPECT_EQ(tensor.data()[at], values[((1 * channels + c) * 3 + 2) * 5 + 4]);
      if ((c + 1) % block != 0) {
        EXPECT_EQ(tensor.data()[at + 1], 0);
      }
    }
  }
}

TEST_F(EngineLayerTest, TestConvolution) {
  const char* const cases[] = {
      "num_output: 32 kernel_size: 3 pad: 1",
      "num_output: 5 kernel_size: 3",
      "num_output: 17 kernel_h: 5 kernel_w: 2 stride_h: 3 stride_w: 1 pad_h: 2 pad_w: 0",
      "num_output: 16 kernel_size: 1 stride: 2",
      "num_output: 33 kernel_size: 3 bias_term: false",
      "num_output: 8 kernel_size: 2 stride: 3",
      "num_output: 6 kernel_size: 3 dilation: 2",
  };
  for (const char* const options : cases) {
    for (const int channels : {1, 3, 5, 16, 33}) {
      Compare(Convolution(options), {{2, channels, 13, 11}});
    }
  }
}

TEST_F(EngineLayerTest, TestConvolutionThroughShapes) {
  Compare(Convolution("num_output: 20 kernel_size: 3 stride: 2 pad: 1"),
          {{3, 18, 9, 12}, {1, 18, 9, 12}, {5, 18, 14, 7}, {3, 18, 9, 12}});
}

TEST_F(EngineLayerTest, TestConvolutionInGroups) {
  Compare(Convolution("num_output: 32 kernel_size: 3 pad: 1 group: 2"), {{2, 32, 8, 9}});
  Compare(Convolution("num_output: 64 kernel_size: 5 pad: 2 group: 2"), {{3, 32, 8, 9}});
  Compare(Convolution("num_output: 6 kernel_size: 3 group: 3"), {{2, 9, 8, 9}});
}

TEST_F(EngineLayerTest, TestConvolutionLearnsOnlyWhatItMay) {
  Compare(Convolution("num_output: 16 kernel_size: 3"), {{2, 16, 8, 9}}, false, false);
  const LayerParameter param = ParseLayer(Convolution("num_output: 16 kernel_size: 3"));
  for (const bool weight : {false, true}) {
    const shared_ptr<Layer<float> > layer = Create(param, true);
    Blob<float> bottom(2, 16, 8, 9), top;
    FillBlob(&bottom);
    layer->SetUp({&bottom}, {&top});
    layer->Forward({&bottom}, {&top});
    Fill(top.count(), top.mutable_cpu_diff());
    layer->set_param_propagate_down(0, weight);
    layer->set_param_propagate_down(1, !weight);
    layer->Backward({&top}, {true}, {&bottom});
    EXPECT_EQ(layer->blobs()[0]->asum_diff() > 0, weight);
    EXPECT_EQ(layer->blobs()[1]->asum_diff() > 0, !weight);
  }
}

TEST_F(EngineLayerTest, TestReLU) {
  for (const bool in_place : {false, true}) {
    Compare("type: 'ReLU'", {{2, 5, 3, 7}, {1, 33, 4, 2}}, in_place);
    Compare("type: 'ReLU' relu_param { negative_slope: .3 }", {{2, 17, 3, 7}}, in_place);
    Compare("type: 'ReLU'", {{4, 9}}, in_place);
  }
}

// Where all of a window is negative, in place, with a second pooling that takes what the first
// left.
TEST_F(EngineLayerTest, TestReLUThenPooling) {
  const vector<float> data = Random(2 * 17 * 9 * 8);
  vector<float> diffs[2], values[2];
  for (int engine = 0; engine < 2; ++engine) {
    const shared_ptr<Blob<float> > maps = MakeBlob({2, 17, 9, 8}, data, vector<float>(data.size()),
                                                   engine ? kBlockedForm : kPlainForm);
    Blob<float> pooled, twice;
    const shared_ptr<Layer<float> > relu = Create(ParseLayer("type: 'ReLU'"), engine);
    const shared_ptr<Layer<float> > pool =
        Create(ParseLayer(Pooling("pool: MAX kernel_size: 2")), engine);
    const shared_ptr<Layer<float> > mean =
        Create(ParseLayer(Pooling("pool: AVE kernel_size: 2")), engine);
    relu->SetUp({maps.get()}, {maps.get()});
    pool->SetUp({maps.get()}, {&pooled});
    mean->SetUp({&pooled}, {&twice});
    relu->Forward({maps.get()}, {maps.get()});
    pool->Forward({maps.get()}, {&pooled});
    mean->Forward({&pooled}, {&twice});
    for (int i = 0; i < twice.count(); ++i) {
      twice.mutable_cpu_diff()[i] = i % 5 - 2;
    }
    mean->Backward({&twice}, {true}, {&pooled});
    pool->Backward({&pooled}, {true}, {maps.get()});
    relu->Backward({maps.get()}, {true}, {maps.get()});
    diffs[engine].assign(maps->cpu_diff(), maps->cpu_diff() + maps->count());
    for (const Blob<float>* const blob : {&twice, &pooled, maps.get()}) {
      values[engine].insert(values[engine].end(), blob->cpu_data(),
                            blob->cpu_data() + blob->count());
    }
  }
  ExpectClose(values[1].data(), values[0].data(), values[0].size(), "values");
  ExpectClose(diffs[1].data(), diffs[0].data(), diffs[0].size(), "diffs");
}

TEST_F(EngineLayerTest, TestPooling) {
  const char* const cases[] = {
      "kernel_size: 2 stride: 2",
      "kernel_size: 3 stride: 2",
      "kernel_size: 3 stride: 2 pad: 1",
      "kernel_h: 2 kernel_w: 3 stride_h: 1 stride_w: 3",
      "global_pooling: true",
  };
  for (const char* const options : cases) {
    for (const char* const method : {"pool: MAX ", "pool: AVE "}) {
      for (const int channels : {3, 16, 33}) {
        Compare(Pooling(string(method) + options), {{2, channels, 9, 12}, {3, channels, 8, 7}});
      }
    }
  }
}

// A stride that leaves pixels out; only where the last window begins inside the image, for
// upstream's own code reads and writes outside it where it does not.
TEST_F(EngineLayerTest, TestPoolingOfSomePixels) {
  Compare(Pooling("pool: MAX kernel_size: 2 stride: 3"), {{2, 16, 8, 11}});
  Compare(Pooling("pool: AVE kernel_size: 2 stride: 3"), {{2, 16, 8, 11}});
}

// After a ReLU many of a window's values are equal: the first one takes the gradient in Caffe.
TEST_F(EngineLayerTest, TestMaxPoolingOfTies) {
  const LayerParameter param = ParseLayer(Pooling("pool: MAX kernel_size: 3 stride: 2"));
  Blob<float> bottom(2, 16, 9, 9), tops[2];
  for (int i = 0; i < bottom.count(); ++i) {
    bottom.mutable_cpu_data()[i] = generator_() % 3;
  }
  vector<float> diffs[2];
  vector<float> top_diff;
  for (int engine = 0; engine < 2; ++engine) {
    const shared_ptr<Layer<float> > layer = Create(param, engine);
    layer->SetUp({&bottom}, {&tops[engine]});
    layer->Forward({&bottom}, {&tops[engine]});
    top_diff = engine ? top_diff : Random(tops[0].count());
    std::copy(top_diff.begin(), top_diff.end(), tops[engine].mutable_cpu_diff());
    layer->Backward({&tops[engine]}, {true}, {&bottom});
    diffs[engine].assign(bottom.cpu_diff(), bottom.cpu_diff() + bottom.count());
  }
  ExpectClose(diffs[1].data(), diffs[0].data(), bottom.count(), "bottom diff");
}

TEST_F(EngineLayerTest, TestLRN) {
  for (const char* const options :
       {"local_size: 5 alpha: 0.1 beta: 0.75", "local_size: 3 alpha: 1 beta: 0.75",
        "local_size: 5 alpha: 0.5 beta: 0.5 k: 2",
        "local_size: 3 alpha: 1 beta: 0.75 norm_region: WITHIN_CHANNEL"}) {
    for (const int channels : {3, 16, 32, 48, 33}) {
      Compare(string("type: 'LRN' lrn_param { ") + options + " }",
              {{2, channels, 7, 6}, {3, channels, 5, 5}});
    }
  }
}

// Gradients in a test phase, which keeps nothing for them.
TEST_F(EngineLayerTest, TestGradientsInTheTestPhase) {
  const vector<vector<int> > shapes = {{2, 16, 7, 6}, {3, 16, 5, 8}};
  Compare("phase: TEST type: 'LRN' lrn_param { local_size: 5 alpha: 0.1 beta: 0.75 }", shapes);
  Compare("phase: TEST " + Pooling("pool: MAX kernel_size: 3 stride: 2"), shapes);
  Compare("phase: TEST " + Pooling("pool: AVE kernel_size: 3 stride: 2"), shapes);
}

TEST_F(EngineLayerTest, TestInnerProduct) {
  Compare("type: 'InnerProduct' inner_product_param { num_output: 17 }",
          {{3, 5, 2, 3}, {1, 5, 2, 3}, {4, 5, 2, 3}});
  Compare("type: 'InnerProduct' inner_product_param { num_output: 8 bias_term: false }", {{2, 30}});
  Compare("type: 'InnerProduct' inner_product_param { num_output: 8 transpose: true }", {{2, 30}});
  // Batches of fewer images than a register holds, of several registers, and too many for those;
  // more inputs than are summed at a time.
  for (const int images : {1, 8, 9, 16, 33, 64, 65}) {
    Compare("type: 'InnerProduct' inner_product_param { num_output: 19 }", {{images, 37}});
  }
  Compare("type: 'InnerProduct' inner_product_param { num_output: 9 }", {{3, 4100}});
  // More outputs than are summed, and than are shared out, at a time.
  for (const int images : {2, 13, 32, 64}) {
    Compare("type: 'InnerProduct' inner_product_param { num_output: 150 }", {{images, 1100}});
  }
}

// By rows of weights up to 8 images, by images above; in chunks of 2,048 inputs, and with outputs
// and inputs that fill no vector.
TEST_F(EngineLayerTest, TestInnerProductOfAnImageDoesNotDependOnTheOthers) {
  if (!caffe_ext::FewImagesProductServes()) return;
  const int most = 20, threads = omp_get_max_threads();
  for (const int inputs : {1, 7, 16, 37, 2053, 4100}) {
    for (const int outputs : {1, 5, 16, 43}) {
      vector<float> x(most * inputs), w(outputs * inputs), bias(outputs), all(most * outputs);
      for (vector<float>* values : {&x, &w, &bias}) Fill(values->size(), values->data());
      vector<float> scratch;
      caffe_ext::FewImagesProduct(most, inputs, outputs, x.data(), w.data(), bias.data(),
                                  all.data(), &scratch);
      for (int images = 1; images <= most; ++images) {
        const int first = most - images;
        vector<float> some(images * outputs, NAN);
        omp_set_num_threads(1 + images % 3);
        caffe_ext::FewImagesProduct(images, inputs, outputs, &x[first * inputs], w.data(),
                                    bias.data(), some.data(), &scratch);
        ASSERT_EQ(some, vector<float>(all.begin() + first * outputs, all.end()))
            << images << " images, " << inputs << " inputs, " << outputs << " outputs";
      }
    }
  }
  omp_set_num_threads(threads);
}

// The gradient is written over zeros that are known, and added to everything else.
TEST_F(EngineLayerTest, TestInnerProductAddsUp) {
  const LayerParameter param =
      ParseLayer("type: 'InnerProduct' inner_product_param { num_output: 6 }");
  const shared_ptr<Layer<float> > layer = Create(param, true);
  Blob<float> bottom(vector<int>{3, 5}), top;
  FillBlob(&bottom);
  layer->SetUp({&bottom}, {&top});
  FillBlob(layer->blobs()[0].get());
  layer->Forward({&bottom}, {&top});
  Fill(top.count(), top.mutable_cpu_diff());
  vector<double> expected(30, 0);
  for (int n = 0; n < 3; ++n) {
    for (int i = 0; i < 30; ++i) {
      expected[i] += double(top.cpu_diff()[n * 6 + i / 5]) * bottom.cpu_data()[n * 5 + i % 5];
    }
  }
  layer->blobs()[0]->diff()->set_zero();
  EXPECT_TRUE(layer->blobs()[0]->diff()->known_zero());
  for (const int times : {1, 2}) {
    layer->Backward({&top}, {true}, {&bottom});
    for (int i = 0; i < 30; ++i) {
      EXPECT_NEAR(layer->blobs()[0]->cpu_diff()[i], times * expected[i], 1e-5);
    }
  }
  // A view may write at any time, so zeros are never certain again; a view of the weights may not.
  layer->blobs()[0]->diff()->set_has_view(layer->blobs()[0]->cpu_data());
  layer->blobs()[0]->diff()->set_zero();
  EXPECT_TRUE(layer->blobs()[0]->diff()->known_zero());
  layer->blobs()[0]->diff()->set_has_view(layer->blobs()[0]->cpu_diff());
  layer->blobs()[0]->diff()->set_zero();
  EXPECT_FALSE(layer->blobs()[0]->diff()->known_zero());
}

TEST_F(EngineLayerTest, TestRegion) {
  const char* const cases[] = {
      "grid_h: 2 grid_w: 3",
      "grid_h: 3 grid_w: 2 kernel_size: 5 affine: true",
      "grid_h: 2 grid_w: 2 bias_term: false",
      "grid_h: 2 grid_w: 2 batch_norm: false",
      "grid_h: 1 grid_w: 4 identity: false num_output: 7",
      "grid_h: 2 grid_w: 2 use_global_stats: true affine: true",
      "grid_h: 4 grid_w: 4 kernel_size: 1",
      "grid_h: 2 grid_w: 3 group_sparsity: 20",
  };
  for (const char* const options : cases) {
    for (const int channels : {3, 16, 33}) {
      Compare(Region(options), {{3, channels, 13, 15}, {1, channels, 13, 15}});
    }
  }
  Compare(Region("grid_h: 2 grid_w: 2"), {{2, 8, 9, 10}}, false, false);
  Compare(Region("grid_h: 2 grid_w: 2 group_sparsity: 20"), {{2, 8, 9, 10}}, false, false);
}

// So many images that a patch is worked on in several groups, the last one smaller.
TEST_F(EngineLayerTest, TestRegionInGroupsOfImages) {
  Compare(Region("grid_h: 2 grid_w: 3 affine: true"), {{11, 32, 41, 50}, {7, 32, 41, 50}});
}

// An empty batch, and any number of threads.
TEST_F(EngineLayerTest, TestEmptyBatch) {
  for (const string& text : {Convolution("num_output: 4 kernel_size: 3"),
                             Region("grid_h: 2 grid_w: 2"), string("type: 'ReLU'")}) {
    const shared_ptr<Layer<float> > layer = Create(ParseLayer(text), true);
    Blob<float> bottom(2, 16, 8, 8), top;
    FillBlob(&bottom);
    layer->SetUp({&bottom}, {&top});
    layer->Forward({&bottom}, {&top});
    bottom.Reshape(0, 16, 8, 8);
    layer->Reshape({&bottom}, {&top});
    layer->Forward({&bottom}, {&top});
    layer->Backward({&top}, {true}, {&bottom});
    EXPECT_EQ(top.shape(0), 0);
  }
}

TEST_F(EngineLayerTest, TestNumberOfThreadsMayChange) {
  const int before = omp_get_max_threads();
  for (const string& text :
       {Convolution("num_output: 16 kernel_size: 3"), Region("grid_h: 2 grid_w: 2")}) {
    const shared_ptr<Layer<float> > layer = Create(ParseLayer(text), true);
    Blob<float> bottom(4, 16, 12, 12), top;
    FillBlob(&bottom);
    layer->SetUp({&bottom}, {&top});
    FillBlob(layer->blobs()[0].get());
    vector<float> first;
    for (const int threads : {2, 1, 3}) {
      omp_set_num_threads(threads);
      layer->blobs()[0]->diff()->set_zero();
      layer->Forward({&bottom}, {&top});
      std::copy(bottom.cpu_data(), bottom.cpu_data() + top.count(), top.mutable_cpu_diff());
      layer->Backward({&top}, {true}, {&bottom});
      const float* diff = layer->blobs()[0]->cpu_diff();
      if (first.empty()) {
        first.assign(diff, diff + layer->blobs()[0]->count());
      }
      ExpectClose(diff, first.data(), first.size(), "weight diff");
    }
  }
  omp_set_num_threads(before);
}

// By whole words: "lrn_jit:avx512_core" holds neither "ref" nor "gemm:", but a name may.
TEST(ImplementationTest, OnlyKernelsOfTheTableAreUsed) {
  for (const char* name :
       {"jit:avx512_core", "jit:avx2", "jit:sse41", "jit_1x1:avx2", "jit_dw:avx2",
        "brgconv:avx512_core", "brgconv_1x1:avx512_core", "lrn_jit:avx2"}) {
    EXPECT_TRUE(caffe_ext::onednn::IsOptimized(string(name))) << name;
  }
  for (const char* name : {"ref:any", "lrn_ref:any", "gemm:jit", "x64:gemm:jit", "simple_nchw:any",
                           "reference:any", "", "jit_that_is_new:avx10"}) {
    EXPECT_FALSE(caffe_ext::onednn::IsOptimized(string(name))) << name;
  }
}

}  // namespace caffe

#endif  // USE_ONEDNN
