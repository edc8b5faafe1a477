// Empty: the mathematics that kernels use are in cuda_on_host/device.hpp.
