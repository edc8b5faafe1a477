#ifndef DRML_LAYERS_MULTI_LABEL_TERMS_HPP_
#define DRML_LAYERS_MULTI_LABEL_TERMS_HPP_

#include <cmath>

#ifdef __CUDACC__
#define DRML_HOST_DEVICE __host__ __device__
#else
#define DRML_HOST_DEVICE
#endif

namespace caffe_ext {

/// What a GPU found wrong with the labels: the first bad one's place in its blob (-1: none) and
/// value.
struct BadLabel {
  int index;
  double value;
};

/// 1 / (1 + exp(-x)); the exponent is never positive, so nothing overflows.
DRML_HOST_DEVICE inline double Sigmoid(double x) {
  const double e = std::exp(-std::fabs(x));
  return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

/// log(1 + exp(x)) = -log(sigmoid(-x)), for any x.
DRML_HOST_DEVICE inline double Softplus(double x) {
  return (x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x)));
}

/// What one score x and its label (1, -1, 0: unknown) add to the cross-entropy and its gradient;
/// weight is that of a positive label.
struct OccurrenceTerms {
  static const char* LabelsAre() { return "labels are -1 (absent), 0 (unknown) or 1 (present)"; }
  /// Written so that a NaN is none, too.
  DRML_HOST_DEVICE static bool IsLabel(double value) {
    return value == 1 || value == -1 || value == 0;
  }
  DRML_HOST_DEVICE static bool IsKnown(double label) { return label != 0; }
  DRML_HOST_DEVICE double Loss(double x, double label, double weight) const {
    return label > 0 ? weight * Softplus(-x) : label < 0 ? Softplus(x) : 0;
  }
  /// Its derivative by x; for a positive label p - 1 without the cancellation at large scores.
  DRML_HOST_DEVICE double Gradient(double x, double label, double weight) const {
    return label > 0 ? -weight * Sigmoid(-x) : label < 0 ? Sigmoid(x) : 0;
  }
};

/// What one estimate x and its label (from 0 to 5, 9: unknown) add to the Euclidean loss and its
/// gradient.
struct IntensityTerms {
  /// The distance from which the term grows linearly; 0: nowhere.
  double delta;

  static const char* LabelsAre() {
    return "labels are numbers from 0 (absent) to 5, or 9 (unknown)";
  }
  /// Written so that a NaN is none, too.
  DRML_HOST_DEVICE static bool IsLabel(double value) {
    return (value >= 0 && value <= 5) || !IsKnown(value);
  }
  DRML_HOST_DEVICE static bool IsKnown(double label) { return label != 9; }
  DRML_HOST_DEVICE double Loss(double x, double label, double weight) const {
    if (!IsKnown(label)) {
      return 0;
    }
    const double distance = std::fabs(x - label);
    return weight * (delta > 0 && distance > delta ? delta * (distance - delta / 2)
                                                   : distance * distance / 2);
  }
  /// Its derivative by x; a NaN stays one.
  DRML_HOST_DEVICE double Gradient(double x, double label, double weight) const {
    if (!IsKnown(label)) {
      return 0;
    }
    const double difference = x - label;
    const bool linear = delta > 0 && std::fabs(difference) > delta;
    return weight * (!linear ? difference : difference > 0 ? delta : -delta);
  }
};

/// What a prediction turns out to be, in the order in which counts of them are given.
enum Outcome { kTruePositive, kFalsePositive, kFalseNegative, kTrueNegative };
const int kOutcomes = 4;

/// For a score and a known label (1 or -1). The probability is rounded as that of a Sigmoid layer,
/// so that counts are those of the probabilities that a net puts out.
template <typename Dtype>
DRML_HOST_DEVICE inline Outcome OutcomeOf(Dtype x, Dtype label, double threshold) {
  const bool predicted = static_cast<Dtype>(Sigmoid(x)) >= threshold;
  if (label > 0) {
    return predicted ? kTruePositive : kFalseNegative;
  }
  return predicted ? kFalsePositive : kTrueNegative;
}

/// What is summed of the scores of a class, in the order in which the sums are given: of its
/// samples with label 1 the scores and their squares, and the same of those with label -1.
enum Moment { kPositiveScores, kPositiveSquares, kNegativeScores, kNegativeSquares };
const int kMoments = 4;

/// What a score and its label (1, -1, 0: unknown) add to one of the sums.
DRML_HOST_DEVICE inline double MomentTerm(int moment, double x, double label) {
  const bool counts = moment < kNegativeScores ? label > 0 : label < 0;
  const bool squared = moment == kPositiveSquares || moment == kNegativeSquares;
  return !counts ? 0 : squared ? x * x : x;
}

}  // namespace caffe_ext

#undef DRML_HOST_DEVICE

#endif  // DRML_LAYERS_MULTI_LABEL_TERMS_HPP_
