# Where data parallelism reaches into `caffe train`: see parallel/training.hpp.
caffe_include(tools/caffe.cpp caffe/util/signal_handler.h parallel/training.hpp)
caffe_substitute(tools/caffe.cpp
  "int train() {"
  "int train() {
  caffe_ext::ParallelTraining parallel;")
caffe_substitute(tools/caffe.cpp
  "  if (gpus.size() == 0) {"
  "  parallel.ChooseGpu(&gpus);
  if (gpus.size() == 0) {")
caffe_substitute(tools/caffe.cpp
  "  shared_ptr<caffe::Solver<float> >
      solver("
  "  parallel.Configure(&solver_param);
  shared_ptr<caffe::Solver<float> >
      solver(")
caffe_substitute(tools/caffe.cpp
  "    solver->Restore(FLAGS_snapshot.c_str());"
  "    if (parallel.root()) {
      solver->Restore(FLAGS_snapshot.c_str());
    }")
caffe_substitute(tools/caffe.cpp
  "    solver->Solve();"
  "    parallel.Solve(solver.get(), signal_handler.GetActionFunction());")
