// What is read from people one does not know, each as a function of bytes. libFuzzer calls them in
// one build (main.cpp), tests/cpp/test_hostile_input.cpp in the ordinary one.
#ifndef TESTS_FUZZ_TARGETS_HPP_
#define TESTS_FUZZ_TARGETS_HPP_

#include <cstddef>
#include <cstdint>
#include <string>

namespace fuzz {

// A refused input returns, or ends by a fatal message.

/// A net as text whose inputs are `input_shape`s and whose layers are ours, one by one: set-up,
/// forward, backward, in float (the engine's layers) and double (the plain ones).
void Layer(const std::string& input);
/// A net as text: the whole of it, for three passes.
void Net(const std::string& input);
/// A solver as text with its net inside: two steps.
void Solver(const std::string& input);
/// A record of an LMDB, as MultiLabelData reads it and as Caffe's Data does.
void Datum(const std::string& input);
/// The data file of an LMDB, as both read it.
void Lmdb(const std::string& input);
/// A list of images.
void List(const std::string& input);
/// Weights, a solver's state, or a mean image, in binary or HDF5: the first byte says which.
void Weights(const std::string& input);

/// By the name of its folder of seeds; NULL: there is none.
typedef void (*Target)(const std::string& input);
Target TargetOf(const std::string& name);

}  // namespace fuzz

#endif  // TESTS_FUZZ_TARGETS_HPP_
