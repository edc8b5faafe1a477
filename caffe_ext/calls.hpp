// What patched files of Caffe call: the build includes this in front of each of them
// (caffe.cmake), behind Caffe's own headers.
#ifndef CAFFE_EXT_CALLS_HPP_
#define CAFFE_EXT_CALLS_HPP_

#include "compat/device_attribute.hpp"
#include "engines/solver_update.hpp"
#include "limits/check_files.hpp"
#include "limits/check_net.hpp"
#include "limits/ending.hpp"
#include "limits/file_kinds.hpp"
#include "limits/host_memory.hpp"
#include "limits/images.hpp"
#include "limits/limits.hpp"
#include "limits/list_file.hpp"
#include "limits/lmdb_pages.hpp"
#include "limits/upgrade_nets.hpp"
#include "training/hdf5_in_memory.hpp"
#include "training/watch.hpp"
#include "training/whole_file.hpp"

#endif  // CAFFE_EXT_CALLS_HPP_
