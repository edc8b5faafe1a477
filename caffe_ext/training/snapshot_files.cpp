#include "training/snapshot_files.hpp"

#include <dirent.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "limits/file_kinds.hpp"
#include "training/hdf5_in_memory.hpp"
#include "training/whole_file.hpp"

namespace caffe_ext {

using caffe::ResumeState;
using caffe::SolverState;
using std::string;

namespace {

// Field 1000 of a SolverState, length-delimited.
const char kTag[] = "\xc2\x3e";

// The first part of a file; its length is always the same.
string FirstPart(const Checksum& body) {
  SolverState first;
  first.mutable_resume()->set_body_bytes(body.bytes);
  first.mutable_resume()->set_body_crc(body.crc);
  return first.SerializeAsString();
}

size_t FirstPartSize() { return FirstPart(Checksum{0, 0}).size(); }

bool Exists(const string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

// What is wrong with the bytes of a binary solverstate, or "".
string BinaryFault(const string& path) {
  const size_t size = FirstPartSize();
  string head(size, '\0');
  std::ifstream file(path.c_str(), std::ios::binary);
  if (!file) {
    return string("it cannot be opened: ") + std::strerror(errno);
  }
  file.read(&head[0], size);
  head.resize(file.gcount());
  if (head.empty()) {
    return "it is empty";
  }
  if (head.compare(0, 2, kTag) != 0) {
    return string();  // of a stock Caffe
  }
  SolverState first;
  if (head.size() < size || !first.ParseFromString(head)) {
    return "it is cut short";
  }
  const Checksum found = ChecksumOf(path, size);
  if (found.bytes != first.resume().body_bytes()) {
    return "it has " + std::to_string(size + found.bytes) + " bytes of " +
           std::to_string(size + first.resume().body_bytes());
  }
  if (found.crc != first.resume().body_crc()) {
    return "its bytes do not match their checksum";
  }
  return string();
}

string Parse(const string& path, SolverState* state) {
  const string fault = BinaryFault(path);
  if (!fault.empty()) {
    return fault;
  }
  std::ifstream file(path.c_str(), std::ios::binary);
  google::protobuf::io::IstreamInputStream stream(&file);
  google::protobuf::io::CodedInputStream coded(&stream);
  coded.SetTotalBytesLimit(INT_MAX);
  if (!state->ParseFromCodedStream(&coded) || !state->has_iter()) {
    return "it is not a solverstate, or is cut short";
  }
  if (state->has_resume() && !state->resume().has_body_crc()) {
    return "its first bytes are damaged";
  }
  return string();
}

string FolderOf(const string& path) {
  const size_t slash = path.rfind('/');
  return slash == string::npos ? string() : path.substr(0, slash + 1);
}

string NameOf(const string& path) { return path.substr(FolderOf(path).size()); }

string NetFault(const string& path, const ResumeState& resume) {
  if (!resume.has_net_crc()) {
    return string();
  }
  const Checksum found = ChecksumOf(path);
  if (found.bytes != resume.net_bytes()) {
    return "its weights " + path + " have " + std::to_string(found.bytes) + " bytes of " +
           std::to_string(resume.net_bytes());
  }
  return found.crc == resume.net_crc() ? string()
                                       : "its weights " + path + " do not match their checksum";
}

// Sets where the weights are; returns what is wrong with them, or "".
string LocateNet(const string& state_path, const string& learned_net, const ResumeState& resume,
                 string* found) {
  const string beside = FolderOf(state_path) + NameOf(learned_net);
  string first_fault;
  for (const string& path : {learned_net, beside}) {
    if (Exists(path)) {
      const string fault = NetFault(path, resume);
      if (fault.empty()) {
        *found = path;
        return string();
      }
      if (first_fault.empty()) {
        first_fault = fault;
      }
    }
  }
  return first_fault.empty() ? "its weights " + learned_net + " are missing" : first_fault;
}

// What is wrong with an HDF5 solverstate and its weights, or "". HDF5 itself tells a cut file.
string Hdf5Fault(const string& path, SolverState* state) {
  H5E_auto2_t report;
  void* data;
  H5Eget_auto2(H5E_DEFAULT, &report, &data);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  string fault, resume;
  if (file < 0) {
    fault = "it is not an HDF5 file, or is cut short";
  } else {
    try {
      resume = LoadBytes(file, kResumeDataset);
      const string learned_net = LoadText(file, "learned_net");
      state->set_learned_net(learned_net);
    } catch (const FileError& error) {
      fault = error.what();
    }
    H5Fclose(file);
  }
  H5Eset_auto2(H5E_DEFAULT, report, data);
  if (fault.empty() && !state->mutable_resume()->ParseFromString(resume)) {
    fault = "its dataset 'resume' is damaged";
  }
  return fault;
}

bool EndsWith(const string& text, const string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Whether a solverstate and its weights are whole.
bool IsWhole(const string& path) {
  try {
    SolverState state;
    const string fault = EndsWith(path, ".h5") ? Hdf5Fault(path, &state) : Parse(path, &state);
    string net;
    return fault.empty() && (!state.has_learned_net() ||
                             LocateNet(path, state.learned_net(), state.resume(), &net).empty());
  } catch (const FileError&) {
    return false;
  }
}

// The iteration in PREFIX_iter_N.solverstate, or -1; sets PREFIX_iter_ and what follows the number.
int64_t Iteration(const string& path, string* before, string* after) {
  const size_t at = path.rfind("_iter_");
  if (at == string::npos) {
    return -1;
  }
  const size_t begin = at + 6;
  const size_t end = path.find_first_not_of("0123456789", begin);
  if (end == begin || end == string::npos || end - begin > 18) {
    return -1;
  }
  *before = path.substr(0, begin);
  *after = path.substr(end);
  return std::strtoll(path.substr(begin, end - begin).c_str(), nullptr, 10);
}

// The newest whole snapshot of the same training before this one, or "".
string OneBefore(const string& path) {
  string prefix, suffix;
  const int64_t iteration = Iteration(path, &prefix, &suffix);
  const string folder = FolderOf(path);
  DIR* entries = iteration < 0 ? nullptr : opendir(folder.empty() ? "." : folder.c_str());
  if (!entries) {
    return string();
  }
  std::vector<std::pair<int64_t, string> > earlier;
  while (const dirent* entry = readdir(entries)) {
    const string other = folder + entry->d_name;
    string before, after;
    const int64_t number = Iteration(other, &before, &after);
    if (number >= 0 && number < iteration && before == prefix &&
        (after == ".solverstate" || after == ".solverstate.h5")) {
      earlier.push_back(std::make_pair(number, other));
    }
  }
  closedir(entries);
  std::sort(earlier.rbegin(), earlier.rend());
  for (const std::pair<int64_t, string>& candidate : earlier) {
    if (IsWhole(candidate.second)) {
      return candidate.second;
    }
  }
  return string();
}

}  // namespace

string NotWhole(const string& path, const string& fault) {
  const string other = NoSolverState(path);
  if (!other.empty()) {
    return other;
  }
  const string before = OneBefore(path);
  return path + ": training cannot be resumed from this snapshot: " + fault + ". " +
         (before.empty() ? "No earlier snapshot is intact; start again, or name another snapshot."
                         : "The newest intact one before it: -snapshot " + before);
}

void WriteSolverStateFile(const SolverState& state, const string& path) {
  WriteWhole(path, [&](int file) {
    const string place = FirstPart(Checksum{0, 0});
    WriteBytes(place.data(), place.size(), file);
    WriteMessage(state, file);
    const string first = FirstPart(ChecksumOf(file, path, place.size()));
    if (lseek(file, 0, SEEK_SET) != 0) {
      throw FileError(std::strerror(errno));
    }
    WriteBytes(first.data(), first.size(), file);
  });
}

void ReadSolverState(const string& path, SolverState* state) {
  const string fault = Parse(path, state);
  if (!fault.empty()) {
    throw FileError(NotWhole(path, fault));
  }
}

hid_t OpenSolverStateHdf5(const string& path) {
  SolverState state;
  const string fault = Hdf5Fault(path, &state);
  const hid_t file = fault.empty() ? H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT) : -1;
  if (file < 0) {
    throw FileError(NotWhole(path, fault.empty() ? "it cannot be opened" : fault));
  }
  return file;
}

void CheckHistorySize(const string& path, const string& type, int found, int wanted) {
  if (found == wanted) {
    return;
  }
  if (found < 1) {
    throw FileError(NotWhole(path, "it holds no history"));
  }
  const bool has_two = type == "Adam" || type == "AdaDelta";
  const char* const one = "SGD, Nesterov, AdaGrad or RMSProp";
  const char* const two = "Adam or AdaDelta";
  const string counts = "it holds " + std::to_string(found) +
                        " blobs of history, and a solver of "
                        "type " +
                        type + " keeps " + std::to_string(wanted) + " for this net";
  string fault = counts + ": the snapshot is of another net";
  if (has_two ? wanted == 2 * found : found == 2 * wanted) {
    fault = counts + ": the snapshot is of a solver of type " + (has_two ? one : two) +
            ". Set type to that in the solver, or start from its weights alone, with -weights";
  }
  throw FileError(path + ": training cannot be resumed from this snapshot: " + fault);
}

int CountHistory(hid_t file) {
  H5G_info_t info;
  const hid_t group = H5Gopen2(file, "history", H5P_DEFAULT);
  const bool known = group >= 0 && H5Gget_info(group, &info) >= 0;
  if (group >= 0) {
    H5Gclose(group);
  }
  return known ? static_cast<int>(info.nlinks) : -1;
}

string FindLearnedNet(const string& state_path, const string& learned_net,
                      const ResumeState& resume) {
  string found;
  const string fault = LocateNet(state_path, learned_net, resume, &found);
  if (!fault.empty()) {
    throw FileError(NotWhole(state_path, fault));
  }
  return found;
}

}  // namespace caffe_ext
