// Whether something like mpirun started this process.
#ifndef CAFFE_EXT_PARALLEL_LAUNCHER_HPP_
#define CAFFE_EXT_PARALLEL_LAUNCHER_HPP_

#include <stdlib.h>

#include <algorithm>

namespace caffe_ext {

/// How many processes were started together: 1 where no launcher says anything.
inline int LaunchedProcesses() {
  // Open MPI's mpirun; MPICH's and Intel's, and srun with PMI; srun with PMIx, one step at a time.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    if (const char* value = getenv(name)) {
      return std::max(atoi(value), 1);
    }
  }
  const char* tasks = getenv("SLURM_STEP_NUM_TASKS");
  return getenv("PMIX_RANK") && tasks ? std::max(atoi(tasks), 1) : 1;
}

}  // namespace caffe_ext

#endif  // CAFFE_EXT_PARALLEL_LAUNCHER_HPP_
