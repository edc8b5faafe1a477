#include "image_list.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <opencv2/imgproc/imgproc.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "limits/images.hpp"
#include "limits/limits.hpp"

namespace caffe_ext {

using caffe::MultiLabelDataParameter;
using std::string;

namespace {

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Where the words of a line begin and end.
struct Word {
  size_t begin, end;
};

std::vector<Word> WordsOf(const string& text) {
  std::vector<Word> words;
  words.reserve(32);
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    while (end < text.size() && !IsSpace(text[end])) {
      ++end;
    }
    if (end > at) {
      words.push_back({at, end});
    }
    at = end + 1;
  }
  return words;
}

template <typename T>
string ToString(const T& value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

}  // namespace

ImageList::ImageList(const MultiLabelDataParameter& param)
    : param_(param), num_labels_(param.num_labels()) {
  if (param.source().empty()) {
    throw std::runtime_error(
        "no list of images; set source to a text file of lines `path l1 .. lK`");
  }
  const string fault = FileFault(param.source(), kMaxListBytes);
  std::ifstream file(param.source().c_str());
  if (!fault.empty() || !file) {
    throw std::runtime_error(name() + " cannot be opened: " +
                             (fault.empty() ? std::strerror(errno) : fault) + "; correct source");
  }
  size_t number = 0;
  for (string text; std::getline(file, text);) {
    ++number;
    // Editors and Excel put a byte order mark before the first path.
    if (number == 1 && text.compare(0, 3, "\xEF\xBB\xBF") == 0) {
      text.erase(0, 3);
    }
    ReadLine(number, text);
  }
  if (file.bad()) {
    throw std::runtime_error(name() + " cannot be read: " + std::strerror(errno));
  }
  if (ends_.empty()) {
    throw std::runtime_error(name() + " is empty; it needs lines `path l1 .. lK`");
  }
  // They grew by doubling.
  paths_.shrink_to_fit();
  ends_.shrink_to_fit();
  labels_.shrink_to_fit();
  CheckKind();
  FindImages();
}

void ImageList::Fail(size_t number, const string& fault) const {
  throw std::runtime_error(name() + ", line " + ToString(number) + ": " + fault);
}

void ImageList::ReadLine(size_t number, const string& text) {
  const std::vector<Word> words = WordsOf(text);
  if (words.empty()) {
    empty_.push_back(size());
    return;
  }
  if (num_labels_ == 0) {
    num_labels_ = words.size() - 1;
    if (num_labels_ > static_cast<size_t>(kMaxLabels)) {
      Fail(number, ToString(num_labels_) + " labels; a line may have " + ToString(kMaxLabels));
    }
    if (num_labels_ == 0) {
      Fail(number, "no labels behind the path '" + text + "'");
    }
  }
  const auto word = [&](size_t i) {
    return text.substr(words[i].begin, words[i].end - words[i].begin);
  };
  int ignored;
  if (words.size() <= num_labels_) {
    // A first word that is a label means that the path is missing, not a label.
    Fail(number, IsLabel(word(0), &ignored)
                     ? "no path before the labels"
                     : ToString(words.size() - 1) + " labels instead of " + ToString(num_labels_) +
                           (param_.num_labels() != 0 ? " (num_labels)" : " (the first line's)"));
  }
  const size_t first = words.size() - num_labels_;
  for (size_t i = first; i < words.size(); ++i) {
    labels_.push_back(LabelOf(word(i), number));
  }
  paths_.append(text, words[0].begin, words[first - 1].end - words[0].begin);
  ends_.push_back(paths_.size());
}

void ImageList::FindImages() const {
  const int64_t records = size();
  int64_t missing = records;
#pragma omp parallel for schedule(static, 64) reduction(min : missing)
  for (int64_t i = 0; i < records; ++i) {
    if (i < missing && access(Path(i).c_str(), R_OK) != 0) {
      missing = i;
    }
  }
  if (missing == records) {
    return;
  }
  const string path = Path(missing);
  access(path.c_str(), R_OK);  // for errno in this thread
  string fault = "image '" + path + "' cannot be read: " + std::strerror(errno);
  const std::vector<Word> words = WordsOf(path);
  int ignored;
  if (words.size() > 1 && IsLabel(path.substr(words.back().begin), &ignored)) {
    fault += " (are there more than " + ToString(num_labels_) + " labels?)";
  }
  Fail(LineNumber(missing), fault);
}

string ImageList::Path(size_t record) const {
  const uint64_t begin = record == 0 ? 0 : ends_[record - 1];
  return param_.root_folder() + paths_.substr(begin, ends_[record] - begin);
}

size_t ImageList::LineNumber(size_t record) const {
  return record + 1 + (std::upper_bound(empty_.begin(), empty_.end(), record) - empty_.begin());
}

bool ImageList::IsLabel(const string& word, int* value) const {
  if (word == "0" || word == "1" || word == "-1") {
    *value = word == "0" ? 0 : word == "1" ? 1 : -1;
    return true;
  }
  char* end;
  const double number = std::strtod(word.c_str(), &end);
  if (*end != '\0' || (number != 0 && number != 1 && number != -1)) {
    return false;
  }
  *value = static_cast<int>(number);
  return true;
}

int ImageList::LabelOf(const string& word, size_t number) const {
  int value;
  const bool is_label = IsLabel(word, &value);
  if (param_.label_values() == MultiLabelDataParameter::ZERO_ONE) {
    if (!is_label || value == -1) {
      Fail(number, "label '" + word +
                       "'; with label_values: ZERO_ONE labels are 0 (absent) and 1 "
                       "(present)");
    }
    return value == 0 ? -1 : 1;
  }
  if (!is_label) {
    Fail(number,
         "label '" + word + "'; labels are -1 (absent), 0 (unknown) and 1 (present)" +
             (param_.num_labels() == 0 ? " (where paths have spaces, set num_labels)" : ""));
  }
  return value;
}

void ImageList::CheckKind() const {
  const bool any_zero = std::count(labels_.begin(), labels_.end(), 0) > 0;
  const bool any_absent = std::count(labels_.begin(), labels_.end(), -1) > 0;
  if (!param_.has_label_values() && any_zero && !any_absent) {
    throw std::runtime_error(
        name() +
        " has labels 0 and none that is -1, as SigmoidCrossEntropyLoss takes them; here 0 means "
        "unknown and -1 absent. Write -1 for absent, or tell a MultiLabelImageData layer what they "
        "are: label_values: ZERO_ONE (0 is absent), or label_values: SIGNED (0 is unknown; the "
        "loss "
        "then needs loss_param { ignore_label: 0 })");
  }
}

string ImageList::Name(size_t record) const {
  return "image '" + Path(record) + "' (" + name() + ", line " + ToString(LineNumber(record)) + ")";
}

string ImageList::Read(size_t record, LabelledImage* sample) const {
  const signed char* labels = labels_.data() + record * num_labels_;
  sample->labels.assign(labels, labels + num_labels_);
  string fault = ReadFile(Path(record), kMaxImageBytes, &sample->bytes);
  if (!fault.empty()) {
    return "it cannot be read: " + fault;
  }
  fault = DecodeImage(sample->bytes, &sample->image);
  if (fault.empty() && param_.new_height() > 0) {
    cv::Mat resized;
    cv::resize(sample->image, resized, cv::Size(param_.new_width(), param_.new_height()));
    sample->image = resized;
  }
  return fault;
}

}  // namespace caffe_ext
