#ifndef CAFFE_EXT_TRAINING_GENERATOR_HPP_
#define CAFFE_EXT_TRAINING_GENERATOR_HPP_

#include <locale>
#include <sstream>
#include <string>

#include "caffe/util/rng.hpp"

namespace caffe_ext {

/// The state of a generator of random numbers as text, and back; false where the text is none.
inline std::string GeneratorState(const caffe::rng_t& generator) {
  std::ostringstream text;
  text.imbue(std::locale::classic());
  text << generator;
  return text.str();
}

inline bool SetGeneratorState(const std::string& state, caffe::rng_t* generator) {
  // Boost skips white space behind the last number, which at the end of a text is a fault.
  std::istringstream text(state + " ");
  text.imbue(std::locale::classic());
  caffe::rng_t read;
  text >> read;
  if (text.fail()) {
    return false;
  }
  *generator = read;
  return true;
}

}  // namespace caffe_ext

#endif  // CAFFE_EXT_TRAINING_GENERATOR_HPP_
