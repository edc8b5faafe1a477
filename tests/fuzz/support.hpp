// What the targets share.
#ifndef TESTS_FUZZ_SUPPORT_HPP_
#define TESTS_FUZZ_SUPPORT_HPP_

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"

namespace fuzz {

/// Parses text, without a word where it is none.
inline bool Parse(const std::string& text, google::protobuf::Message* message) {
  struct Silent : google::protobuf::io::ErrorCollector {
    void AddError(int, int, const std::string&) {}
  } silent;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&silent);
  return parser.ParseFromString(text, message);
}

/// A folder of this process, which stays until it ends.
inline const std::string& Folder() {
  struct Made {
    Made() {
      const char* above = std::getenv("TMPDIR");
      path = std::string(above ? above : "/tmp") + "/drml_fuzz.XXXXXX";
      if (!mkdtemp(&path[0])) {
        std::abort();
      }
      process = getpid();
    }
    ~Made() {
      if (process == getpid()) {
        (void)std::system(("rm -rf '" + path + "'").c_str());
      }
    }
    std::string path;
    pid_t process;
  };
  static const Made made;
  return made.path;
}

/// Writes a file there and returns its path.
inline std::string File(const std::string& name, const std::string& bytes) {
  const std::string path = Folder() + "/" + name;
  std::ofstream(path.c_str(), std::ios::binary) << bytes;
  return path;
}

}  // namespace fuzz

#endif  // TESTS_FUZZ_SUPPORT_HPP_
