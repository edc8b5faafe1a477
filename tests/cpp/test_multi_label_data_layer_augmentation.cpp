// Random changes of training images: what each does to the pixels, against loops over the pixels in
// double precision; how they are drawn; and which images a layer changes.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "../../src/layers/augmentation.hpp"
#include "../../src/layers/record_order.hpp"
#include "multi_label_data_fixture.hpp"

namespace caffe {

namespace {

using caffe_ext::Change;

typedef vector<double> Pixels;  // height x width x 3

double Clipped(double value) { return std::min(255.0, std::max(0.0, value)); }

double Grey(const double* bgr) { return .114 * bgr[0] + .587 * bgr[1] + .299 * bgr[2]; }

// The steps of the header one after the other.
Pixels WithColours(const cv::Mat& image, const Change& change) {
  Pixels pixels;
  for (int y = 0; y < image.rows; ++y) {
    for (int x = 0; x < image.cols; ++x) {
      for (int c = 0; c < 3; ++c) {
        pixels.push_back(image.at<cv::Vec3b>(y, x)[c] * change.brightness);
      }
    }
  }
  double mean = 0;
  for (size_t i = 0; i < pixels.size(); i += 3) {
    mean += Grey(&pixels[i]) / (pixels.size() / 3);
  }
  const double angle = change.hue * std::acos(-1.0) / 180;
  for (size_t i = 0; i < pixels.size(); i += 3) {
    double* p = &pixels[i];
    for (int c = 0; c < 3; ++c) {
      p[c] = mean + change.contrast * (p[c] - mean);
    }
    const double grey = Grey(p);
    for (int c = 0; c < 3; ++c) {
      p[c] = grey + change.saturation * (p[c] - grey);
    }
    const double blue = (p[0] - grey) / 1.772, red = (p[2] - grey) / 1.402;
    p[0] = grey + 1.772 * (blue * std::cos(angle) - red * std::sin(angle));
    p[2] = grey + 1.402 * (blue * std::sin(angle) + red * std::cos(angle));
    p[1] = (grey - .114 * p[0] - .299 * p[2]) / .587;
    for (int c = 0; c < 3; ++c) {
      p[c] = Clipped(p[c]);
    }
  }
  return pixels;
}

// dcb|abcd|cba
int Mirrored(int at, int size) {
  if (size == 1) {
    return 0;
  }
  const int period = 2 * (size - 1);
  at = ((at % period) + period) % period;
  return at < size ? at : period - at;
}

// What lies at (x, y) before the turn is found by the turn back.
Pixels Turned(const Pixels& pixels, int height, int width, const Change& change) {
  const double angle = change.rotation * std::acos(-1.0) / 180;
  const double middle_y = (height - 1) / 2.0, middle_x = (width - 1) / 2.0;
  Pixels turned;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double dy = (y - middle_y) / change.scale, dx = (x - middle_x) / change.scale;
      // y points down, so this turns the image counter-clockwise.
      const double from_x = middle_x + std::cos(angle) * dx - std::sin(angle) * dy;
      const double from_y = middle_y + std::sin(angle) * dx + std::cos(angle) * dy;
      const int x0 = std::floor(from_x), y0 = std::floor(from_y);
      const double right = from_x - x0, below = from_y - y0;
      for (int c = 0; c < 3; ++c) {
        const auto at = [&](int row, int column) {
          return pixels[(Mirrored(row, height) * width + Mirrored(column, width)) * 3 + c];
        };
        turned.push_back((1 - below) * ((1 - right) * at(y0, x0) + right * at(y0, x0 + 1)) +
                         below * ((1 - right) * at(y0 + 1, x0) + right * at(y0 + 1, x0 + 1)));
      }
    }
  }
  return turned;
}

Pixels Expected(const cv::Mat& image, const Change& change) {
  return Turned(WithColours(image, change), image.rows, image.cols, change);
}

// Slow changes from pixel to pixel, as OpenCV interpolates between 32 places within one.
cv::Mat SmoothImage(int height, int width, int record = 0) {
  cv::Mat image(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.at<cv::Vec3b>(y, x) =
          cv::Vec3b(static_cast<uchar>(40 + 5 * y + 3 * record), static_cast<uchar>(60 + 4 * x),
                    static_cast<uchar>(150 + 3 * x - 2 * y));
    }
  }
  return image;
}

// The largest difference between an image and what it should be.
double Difference(const cv::Mat& image, const Pixels& expected) {
  CHECK_EQ(image.type(), CV_8UC3);
  CHECK_EQ(image.total() * 3, expected.size());
  double largest = 0;
  for (int i = 0; i < static_cast<int>(expected.size()); ++i) {
    const int pixel = i / 3;
    const uchar value = image.at<cv::Vec3b>(pixel / image.cols, pixel % image.cols)[i % 3];
    largest = std::max(largest, std::abs(value - expected[i]));
  }
  return largest;
}

cv::Mat Changed(const cv::Mat& image, const Change& change) {
  cv::Mat changed = image.clone(), scratch;
  caffe_ext::ApplyChange(change, &changed, &scratch);
  return changed;
}

Change Colours(double brightness, double contrast, double saturation, double hue) {
  Change change;
  change.brightness = brightness;
  change.contrast = contrast;
  change.saturation = saturation;
  change.hue = hue;
  return change;
}

Change Place(double rotation, double scale) {
  Change change;
  change.rotation = rotation;
  change.scale = scale;
  return change;
}

AugmentationParameter Augmentation(const string& text) {
  AugmentationParameter param;
  CHECK(google::protobuf::TextFormat::ParseFromString(text, &param)) << text;
  return param;
}

}  // namespace

TEST(AugmentationTest, ColoursAgainstLoops) {
  const vector<Change> changes = {
      Colours(1.3, 1, 1, 0),   Colours(.6, 1, 1, 0),      Colours(0, 1, 1, 0),
      Colours(1, 1.5, 1, 0),   Colours(1, 0, 1, 0),       Colours(1, 1, 0, 0),
      Colours(1, 1, 1.7, 0),   Colours(1, 1, 1, 25),      Colours(1, 1, 1, -90),
      Colours(1, 1, 1, 180),   Colours(1.2, .7, 1.3, -8), Colours(.8, 1.4, .5, 40),
      Colours(2, 2, 2, -180.0)};
  for (const Change& change : changes) {
    // Noise has every colour, and clips at both ends.
    for (const cv::Mat& image : {Image(3, 9, 14), SmoothImage(7, 5)}) {
      EXPECT_LE(Difference(Changed(image, change), Expected(image, change)), 1.5)
          << change.brightness << " " << change.contrast << " " << change.saturation << " "
          << change.hue;
    }
  }
}

// What the names promise, whatever the formula.
TEST(AugmentationTest, ColoursInWords) {
  const cv::Mat image = Image(1, 6, 11);
  cv::Mat grey(6, 11, CV_8UC3);
  for (int i = 0; i < 66; ++i) {
    grey.at<cv::Vec3b>(i / 11, i % 11) = cv::Vec3b::all(static_cast<uchar>(3 * i + 20));
  }
  // Grey has no colour to turn or to strengthen.
  EXPECT_LE(cv::norm(Changed(grey, Colours(1, 1, 1.8, 77)), grey, cv::NORM_INF), 1);
  // Without saturation all channels are one, and without contrast all pixels.
  const cv::Mat pale = Changed(image, Colours(1, 1, 0, 0));
  const cv::Mat flat = Changed(grey, Colours(1, 0, 1, 0));
  for (int i = 0; i < 66; ++i) {
    const cv::Vec3b pixel = pale.at<cv::Vec3b>(i / 11, i % 11);
    EXPECT_LE(std::abs(pixel[0] - pixel[1]) + std::abs(pixel[1] - pixel[2]), 2);
    EXPECT_EQ(flat.at<cv::Vec3b>(i / 11, i % 11), flat.at<cv::Vec3b>(0, 0));
  }
}

TEST(AugmentationTest, PlaceAgainstLoops) {
  const vector<Change> changes = {Place(10, 1), Place(-33, 1),  Place(0, 1.25), Place(0, .6),
                                  Place(90, 1), Place(-180, 1), Place(7, 1.1),  Place(-12, .85)};
  // Even, odd, and as flat as an image can be.
  for (const cv::Mat& image : {SmoothImage(12, 20), SmoothImage(15, 9), SmoothImage(1, 6)}) {
    for (const Change& change : changes) {
      EXPECT_LE(Difference(Changed(image, change), Expected(image, change)), 2)
          << image.rows << " x " << image.cols << ": " << change.rotation << " " << change.scale;
    }
  }
}

// A quarter turn of a square needs no interpolation: where each pixel goes can be told by hand.
TEST(AugmentationTest, AQuarterTurnIsCounterClockwise) {
  const cv::Mat image = Image(2, 5, 5), turned = Changed(image, Place(90, 1));
  for (int y = 0; y < 5; ++y) {
    for (int x = 0; x < 5; ++x) {
      EXPECT_EQ(turned.at<cv::Vec3b>(y, x), image.at<cv::Vec3b>(x, 4 - y)) << y << " " << x;
    }
  }
}

TEST(AugmentationTest, NothingIsChangedWhereNothingIsAsked) {
  const cv::Mat image = Image(4, 7, 6);
  EXPECT_EQ(cv::norm(Changed(image, Change()), image, cv::NORM_INF), 0);
  EXPECT_FALSE(caffe_ext::Augments(AugmentationParameter()));
  EXPECT_FALSE(caffe_ext::Augments(Augmentation("hue: 0 scale: 0")));
  EXPECT_TRUE(caffe_ext::Augments(Augmentation("scale: 0.01")));
  const Change change = caffe_ext::DrawChange(AugmentationParameter(), 5);
  EXPECT_EQ(cv::norm(Changed(image, change), image, cv::NORM_INF), 0);
}

// Uniform within the bounds, each by itself; the number of one does not depend on the others.
TEST(AugmentationTest, Draws) {
  const AugmentationParameter param = Augmentation(
      "brightness: 0.25 contrast: 0.5 saturation: 1 hue: 20 rotation: 180 scale: 0.125");
  const int kDraws = 4000;
  vector<vector<double> > shares(6);
  for (int i = 0; i < kDraws; ++i) {
    const uint64_t stream = caffe_ext::Draw(11, i);
    const Change change = caffe_ext::DrawChange(param, stream);
    const double values[] = {(change.brightness - 1) / .25, (change.contrast - 1) / .5,
                             change.saturation - 1,         change.hue / 20,
                             change.rotation / 180,         (change.scale - 1) / .125};
    for (int k = 0; k < 6; ++k) {
      EXPECT_LE(std::abs(values[k]), 1);
      shares[k].push_back(values[k]);
    }
    EXPECT_EQ(caffe_ext::DrawChange(Augmentation("rotation: 180"), stream).rotation,
              change.rotation);
  }
  for (int k = 0; k < 6; ++k) {
    // Of a uniform number in [-1, 1]: mean 0, mean square 1/3, a tenth in each tenth (5 sigma).
    double mean = 0, square = 0;
    vector<int> tenths(10);
    for (double share : shares[k]) {
      mean += share / kDraws;
      square += share * share / kDraws;
      ++tenths[std::min(9, static_cast<int>(5 * (share + 1)))];
    }
    EXPECT_NEAR(mean, 0, 5 * std::sqrt(1 / 3.0 / kDraws)) << k;
    EXPECT_NEAR(square, 1 / 3.0, 5 * std::sqrt(4 / 45.0 / kDraws)) << k;
    for (int count : tenths) {
      EXPECT_NEAR(count, kDraws / 10, 5 * std::sqrt(kDraws / 10)) << k;
    }
    for (int other = 0; other < k; ++other) {
      double product = 0;
      for (int i = 0; i < kDraws; ++i) {
        product += shares[k][i] * shares[other][i] / kDraws;
      }
      EXPECT_NEAR(product, 0, 5 / 3.0 / std::sqrt(kDraws)) << k << " " << other;
    }
  }
}

// --- The layer.

const char kAugmented[] =
    "multi_label_data_param { augmentation { brightness: 0.3 contrast: 0.2 saturation: 0.4 hue: 15 "
    "rotation: 25 scale: 0.2 } } ";

template <typename TypeParam>
class MultiLabelDataAugmentationTest : public MultiLabelDataLayerTest<TypeParam> {};

TYPED_TEST_CASE(MultiLabelDataAugmentationTest, TestDtypesAndDevices);

TYPED_TEST(MultiLabelDataAugmentationTest, ImagesAgainstLoops) {
  typedef typename TypeParam::Dtype Dtype;
  Entries entries, raw_entries;
  for (int i = 0; i < kRecords; ++i) {
    const cv::Mat image = SmoothImage(kHeight, kWidth, i);
    entries.push_back({Key(i), MakeDatum(image, Labels(i)).SerializeAsString()});
    raw_entries.push_back({Key(i), MakeRawDatum(image, Labels(i)).SerializeAsString()});
  }
  WriteLmdb(this->dir_ / "smooth", entries);
  WriteLmdb(this->dir_ / "raw", raw_entries);
  const auto mean = [](int c, int y, int x) { return 10.0 * c + y + 0.5 * x; };
  WriteMean(this->dir_ / "mean.binaryproto", kHeight, kWidth, mean);
  const string text = string(kAugmented) + "transform_param { scale: 0.5 mean_file: '" +
                      (this->dir_ / "mean.binaryproto") + "' }";
  const LayerParameter param = MakeParam(this->dir_ / "smooth", TRAIN, 7, text);

  LayerState state;
  {
    Caffe::set_random_seed(1701);
    Blob<Dtype> data, labels;
    MultiLabelDataLayer<Dtype> layer(param);
    layer.SetUp({}, {&data, &labels});
    ASSERT_TRUE(layer.SaveState(&state));
  }
  const vector<Sample<Dtype> > samples = RunLayer<Dtype>(param, 8);
  for (size_t p = 0; p < samples.size(); ++p) {
    // Position p of the run with this seed.
    const Change change =
        caffe_ext::DrawChange(param.multi_label_data_param().augmentation(),
                              caffe_ext::Draw(caffe_ext::Draw(state.seed(), 2), p));
    const Pixels pixels = Expected(SmoothImage(kHeight, kWidth, samples[p].record), change);
    double largest = 0;
    for (int i = 0; i < 3 * kHeight * kWidth; ++i) {
      const int c = i / (kHeight * kWidth), pixel = i % (kHeight * kWidth);
      const double expected =
          (pixels[3 * pixel + c] - mean(c, pixel / kWidth, pixel % kWidth)) * .5;
      largest = std::max(largest, std::abs(samples[p].data[i] - expected));
    }
    EXPECT_LE(largest, 1.5) << p;
    // The image as it was is not that.
    EXPECT_FALSE(Near(samples[p].data, Transformed(SmoothImage(kHeight, kWidth, samples[p].record),
                                                   {0, 0, false}, kHeight, kWidth, mean, .5)));
  }
  EXPECT_TRUE(samples == RunLayer<Dtype>(MakeParam(this->dir_ / "raw", TRAIN, 7, text), 8));
}

TYPED_TEST(MultiLabelDataAugmentationTest, NeitherThreadsNorBatchesMatter) {
  typedef typename TypeParam::Dtype Dtype;
  const string text = string(kAugmented) + kCropMirror;
  const vector<Sample<Dtype> > samples =
      RunLayer<Dtype>(MakeParam(this->source_, TRAIN, 12, text), 5);
  for (int threads : {1, 2, 5}) {
    LayerParameter param = MakeParam(this->source_, TRAIN, 10, text);
    param.mutable_multi_label_data_param()->set_threads(threads);
    param.mutable_multi_label_data_param()->set_prefetch(2);
    EXPECT_TRUE(samples == RunLayer<Dtype>(param, 6)) << threads;
  }
  EXPECT_FALSE(samples == RunLayer<Dtype>(MakeParam(this->source_, TRAIN, 12, text), 5, 3));
}

// A run that goes on from a snapshot sees the images that it would have seen.
TYPED_TEST(MultiLabelDataAugmentationTest, GoesOnExactly) {
  typedef typename TypeParam::Dtype Dtype;
  const LayerParameter param = MakeParam(this->source_, TRAIN, 4, string(kAugmented) + kCropMirror);
  const vector<Sample<Dtype> > whole = RunLayer<Dtype>(param, 9);
  LayerState state;
  Blob<Dtype> data, labels;
  const vector<Blob<Dtype>*> bottom, top = {&data, &labels};
  {
    Caffe::set_random_seed(1701);
    MultiLabelDataLayer<Dtype> layer(param);
    layer.SetUp(bottom, top);
    for (int batch = 0; batch < 7; ++batch) {
      layer.Forward(bottom, top);
    }
    ASSERT_TRUE(layer.SaveState(&state));
  }
  Caffe::set_random_seed(5);
  MultiLabelDataLayer<Dtype> layer(param);
  layer.SetUp(bottom, top);
  ASSERT_EQ(layer.RestoreState(state), "");
  for (int batch = 7; batch < 9; ++batch) {
    layer.Forward(bottom, top);
    for (int i = 0; i < 4; ++i) {
      const Dtype* image = data.cpu_data() + i * data.count(1);
      EXPECT_TRUE(whole[4 * batch + i].data == vector<Dtype>(image, image + data.count(1)));
    }
  }
}

// Order, crops, mirrors and labels stay those of the run without it.
TYPED_TEST(MultiLabelDataAugmentationTest, LeavesTheRestOfTheRunAsItIs) {
  typedef typename TypeParam::Dtype Dtype;
  const vector<Sample<Dtype> > plain =
      RunLayer<Dtype>(MakeParam(this->source_, TRAIN, kRecords, kCropMirror), 3);
  // Half as bright at the least, so that a pixel tells which one it was.
  const vector<Sample<Dtype> > bright =
      RunLayer<Dtype>(MakeParam(this->source_, TRAIN, kRecords,
                                string(kCropMirror) +
                                    "multi_label_data_param { augmentation { brightness: 0.5 } }"),
                      3);
  ASSERT_EQ(plain.size(), bright.size());
  double darkest = 2, brightest = 0;
  for (size_t p = 0; p < plain.size(); ++p) {
    EXPECT_EQ(plain[p].record, bright[p].record);
    EXPECT_TRUE(plain[p].labels == bright[p].labels);
    // One factor for all pixels that are not clipped.
    double low = 0, high = 2;
    for (size_t i = 0; i < plain[p].data.size(); ++i) {
      const double before = plain[p].data[i], after = bright[p].data[i];
      if (after < 255 && before > 0) {
        low = std::max(low, (after - 1) / before);
        high = std::min(high, (after + 1) / before);
      }
    }
    EXPECT_LE(low, high) << p;
    darkest = std::min(darkest, high);
    brightest = std::max(brightest, low);
  }
  EXPECT_LT(darkest, .7);
  EXPECT_GT(brightest, 1.3);
}

TYPED_TEST(MultiLabelDataAugmentationTest, NoneInTest) {
  typedef typename TypeParam::Dtype Dtype;
  EXPECT_TRUE(RunLayer<Dtype>(MakeParam(this->source_, TEST, 9, kAugmented), 3) ==
              RunLayer<Dtype>(MakeParam(this->source_, TEST, 9), 3));
}

TEST(MultiLabelDataAugmentationDeathTest, ValuesThatNoImageCanHave) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  TempDir dir;
  WriteLmdb(dir / "lmdb", MakeEntries(2));
  EXPECT_DEATH(RunLayer<float>(MakeParam(dir / "lmdb", TRAIN, 2,
                                         "multi_label_data_param { augmentation { hue: nan } }"),
                               1),
               "layer 'faces': augmentation.hue is nan; it may be 0 to 180");
}

}  // namespace caffe
