/* Ends with how OpenBLAS computes in parallel: 0 not at all, 1 with threads of its own, 2 with OpenMP. It does not link with
   another BLAS. */
int openblas_get_parallel(void);

int main(void) { return openblas_get_parallel(); }
