// Hostile input is tried in a process of its own, which may end in any way.
#ifndef TESTS_CPP_IN_A_CHILD_HPP_
#define TESTS_CPP_IN_A_CHILD_HPP_

#include <fcntl.h>
#include <omp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include "../fuzz/support.hpp"
#include "../fuzz/targets.hpp"
#include "multi_label_data_fixture.hpp"
#include "training/errors.hpp"

namespace caffe {

inline string FileBytes(const string& path) {
  std::ifstream file(path.c_str(), std::ios::binary);
  return string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

// What became of a process of its own.
struct Ended {
  bool by_itself;
  int status;  // or the signal
  string message;
};

// Runs it as a program would. A fork serves: no thread has been started here before.
inline Ended InAChild(const std::function<void()>& run) {
  const string said = fuzz::File("stderr", "");
  const pid_t child = fork();
  if (child == 0) {
    const int file = open(said.c_str(), O_WRONLY);
    if (file < 0 || dup2(file, STDERR_FILENO) < 0) {
      _exit(3);
    }
    setenv("CAFFE_MEMORY_MB", "32", 1);
    omp_set_num_threads(1);
    google::InstallFailureFunction(+[]() { _exit(1); });
    std::set_terminate(+[]() { _exit(2); });
    FLAGS_logtostderr = true;
    run();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  const bool exited = WIFEXITED(status);
  return {exited, exited ? WEXITSTATUS(status) : WTERMSIG(status), FileBytes(said)};
}

inline Ended RunTarget(const string& target, const string& input) {
  return InAChild([&]() {
    try {
      fuzz::TargetOf(target)(input);
    } catch (const std::runtime_error& error) {
      // As tools/caffe.cpp ends with a snapshot or a loss that is no good.
      const bool refused = dynamic_cast<const caffe_ext::FileError*>(&error) ||
                           dynamic_cast<const caffe_ext::LossError*>(&error);
      LOG(ERROR) << error.what();
      _exit(refused ? 1 : 2);
    }
  });
}

inline bool Says(const string& message, const string& pattern) {
  return ::testing::internal::RE::PartialMatch(message, pattern.c_str());
}

}  // namespace caffe

#endif  // TESTS_CPP_IN_A_CHILD_HPP_
