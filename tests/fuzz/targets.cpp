#include "targets.hpp"

#include <map>

namespace fuzz {

Target TargetOf(const std::string& name) {
  static const std::map<std::string, Target> targets = {
      {"layer", Layer}, {"net", Net},   {"solver", Solver},  {"datum", Datum},
      {"lmdb", Lmdb},   {"list", List}, {"weights", Weights}};
  const auto found = targets.find(name);
  return found == targets.end() ? nullptr : found->second;
}

}  // namespace fuzz
