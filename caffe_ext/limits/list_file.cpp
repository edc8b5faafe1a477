#include "limits/list_file.hpp"

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdlib>

#include "caffe/common.hpp"
#include "limits/images.hpp"
#include "limits/limits.hpp"

namespace caffe_ext {

namespace {

const char kBlanks[] = " \t\v\f";

std::string Trimmed(const std::string& line) {
  const size_t begin = line.find_first_not_of(kBlanks);
  return begin == std::string::npos
             ? std::string()
             : line.substr(begin, line.find_last_not_of(kBlanks) + 1 - begin);
}

// `path label`, whatever stands between them; "" if the line is something else.
std::string PathAndLabel(const std::string& line) {
  const size_t before_label = line.find_last_of(kBlanks);
  if (before_label == std::string::npos) {
    return std::string();
  }
  const std::string word = line.substr(before_label + 1);
  char* end;
  const double label = std::strtod(word.c_str(), &end);
  if (*end != '\0' || label != std::floor(label) || std::abs(label) > INT_MAX) {
    return std::string();
  }
  return Trimmed(line.substr(0, before_label)) + " " + std::to_string(static_cast<int>(label));
}

// The lines of a list. Lines end with \n, \r\n or, in files of old programs, \r.
std::string PlainLines(const std::string& name, const std::string& bytes, ListFile::Lines lines) {
  CHECK(bytes.find('\0') == std::string::npos)
      << name << ": it is no plain text (UTF-16?); save it as UTF-8";
  std::string plain;
  size_t begin = bytes.compare(0, 3, "\xEF\xBB\xBF") == 0 ? 3 : 0;
  for (size_t number = 1; begin < bytes.size(); ++number) {
    const size_t end = std::min(bytes.find_first_of("\r\n", begin), bytes.size());
    std::string line = Trimmed(bytes.substr(begin, end - begin));
    begin = end + (bytes.compare(end, 2, "\r\n") == 0 ? 2 : 1);
    if (line.empty()) {
      continue;
    }
    if (lines == ListFile::kPathsAndLabels) {
      const std::string path_and_label = PathAndLabel(line);
      CHECK(!path_and_label.empty()) << name << ", line " << number << ": '" << line
                                     << "' does not end with a label, an integer behind a blank";
      line = path_and_label;
    }
    plain += line + "\n";
  }
  CHECK(!plain.empty()) << name << ": it is empty";
  return plain;
}

std::string ReadList(const std::string& path, ListFile::Lines lines) {
  const std::string name = "list '" + path + "'";
  std::string bytes;
  const std::string fault = ReadFile(path, kMaxListBytes, &bytes);
  CHECK(fault.empty()) << name << ": " << fault;
  return PlainLines(name, bytes, lines);
}

}  // namespace

ListFile::ListFile(const std::string& path, Lines lines)
    : std::istringstream(ReadList(path, lines)) {}

}  // namespace caffe_ext
