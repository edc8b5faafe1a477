#ifndef DRML_FUZZ_GLOG_LOGGING_H_
#define DRML_FUZZ_GLOG_LOGGING_H_

// In glog's place in the fuzzers: a fatal message is an exception, as a refused input must not
// end the process. Other messages go nowhere. glog cannot t

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace google {

struct FatalError : std::runtime_error {
  explicit FatalError(const std::string& message) : std::runtime_error(message) {}
};

class FatalMessage {
 public:
  FatalMessage() {}
  explicit FatalMessage(const char* condition) { text_ << "Check failed: " << condition << " "; }
  ~FatalMessage() noexcept(false) { throw FatalError(text_.str()); }
  std::ostream& stream() { return text_; }

 private:
  std::ostringstream text_;
};

// Formats nothing.
struct NoMessage {
  template <typename T>
  NoMessage& operator<<(const T&) {
    return *this;
  }
  NoMessage& operator<<(std::ostream& (*)(std::ostream&)) { return *this; }
};

struct LogMessage {
  LogMessage(const char*, int) {}
  NoMessage stream() { return NoMessage(); }
};

// Both ends of a conditional are void then.
struct Voidify {
  void operator&(std::ostream&) {}
  void operator&(NoMessage&) {}
  void operator&(NoMessage&&) {}
};

template <typename T>
T& NotNull(T& pointer, const char* condition) {
  if (pointer == nullptr) {
    throw FatalError(condition);
  }
  return pointer;
}
template <typename T>
T* NotNull(T* const& pointer, const char* condition) {
  if (pointer == nullptr) {
    throw FatalError(condition);
  }
  return pointer;
}

inline void InitGoogleLogging(const char*) {}
inline void InstallFailureSignalHandler() {}
inline void InstallFailureFunction(void (*)()) {}

}  // namespace google

#define LOG(severity) DRML_LOG_##severity
#define DRML_LOG_INFO google::NoMessage()
#define DRML_LOG_WARNING google::NoMessage()
#define DRML_LOG_ERROR google::NoMessage()
#define DRML_LOG_FATAL google::FatalMessage().stream()
#define LOG_IF(severity, condition) !(condition) ? (void)0 : google::Voidify() & LOG(severity)
#define LOG_FIRST_N(severity, n) LOG(severity)
#define LOG_EVERY_N(severity, n) LOG(severity)
#define DLOG(severity) LOG(severity)

#define CHECK(condition) \
  (condition) ? (void)0 : google::Voidify() & google::FatalMessage(#condition).stream()
#define CHECK_EQ(a, b) CHECK((a) == (b))
#define CHECK_NE(a, b) CHECK((a) != (b))
#define CHECK_LT(a, b) CHECK((a) < (b))
#define CHECK_LE(a, b) CHECK((a) <= (b))
#define CHECK_GT(a, b) CHECK((a) > (b))
#define CHECK_GE(a, b) CHECK((a) >= (b))
#define CHECK_NOTNULL(pointer) google::NotNull((pointer), #pointer " is NULL")
#ifdef NDEBUG
#define DCHECK(condition) \
  while (false) CHECK(condition)
#else
#define DCHECK(condition) CHECK(condition)
#endif
#define DCHECK_EQ(a, b) DCHECK((a) == (b))
#define DCHECK_LT(a, b) DCHECK((a) < (b))
#define DCHECK_GE(a, b) DCHECK((a) >= (b))

#endif  // DRML_FUZZ_GLOG_LOGGING_H_
