#ifndef DRML_FUZZ_OMP_H_
#define DRML_FUZZ_OMP_H_

// The fuzzers run on one thread: a fatal message is an exception there, which could not leave a
// parallel region.
inline int omp_get_max_threads() { return 1; }
inline int omp_get_thread_num() { return 0; }
inline void omp_set_num_threads(int) {}

#endif  // DRML_FUZZ_OMP_H_
