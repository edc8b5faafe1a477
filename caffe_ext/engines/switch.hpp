// The run-time switch of the CPU engine.
#ifndef CAFFE_EXT_ENGINES_SWITCH_HPP_
#define CAFFE_EXT_ENGINES_SWITCH_HPP_

namespace caffe_ext {

/// Whether new layers and solver steps may use the engine: false where the environment says
/// CAFFE_ENGINE=plain when the process first asks, or after SetEngineEnabled(false).
bool EngineEnabled();

/// For tests and comparisons in one process; layers made before keep what they are.
void SetEngineEnabled(bool enabled);

/// Whether the engine's convolutions may go by way of transforms (FFT, Winograd): false where the
/// environment says CAFFE_ENGINE=direct, or after SetTransformsEnabled(false).
bool TransformsEnabled();
void SetTransformsEnabled(bool enabled);

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_SWITCH_HPP_
