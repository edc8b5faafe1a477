// Memory set to zero, at once or when somebody asks for it.
#ifndef CAFFE_EXT_ENGINES_ZEROS_HPP_
#define CAFFE_EXT_ENGINES_ZEROS_HPP_

#include <stddef.h>

#include <boost/shared_ptr.hpp>

#include "engines/private_form.hpp"

namespace caffe_ext {

/// Sets memory to zero, as fast as the machine stores.
void Clear(void* memory, size_t bytes);

/// Zeros that are written when somebody asks for the plain memory.
boost::shared_ptr<PrivateForm> Zeros();

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_ZEROS_HPP_
