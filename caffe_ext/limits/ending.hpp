// How a process ends that cannot go on.
#ifndef CAFFE_EXT_LIMITS_ENDING_HPP_
#define CAFFE_EXT_LIMITS_ENDING_HPP_

namespace caffe_ext {

/**
 * @brief From here on a fatal message ends the process with status 1, where glog would abort and
 * leave a core file. To be called after InitGoogleLogging, which has its own idea.
 *
 * It cannot become an exception: glog's destructors, from which it would have to be thrown, are
 * noexcept.
 */
void EndOnFatalMessages();

/// The same for an exception that nobody catches, memory that ran out among them. For programs: in
/// an interpreter others may want to know.
void EndOnExceptions();

}  // namespace caffe_ext

// Files of Caffe that call google::InitGoogleLogging are compiled with one of these names in its
// place (caffe.cmake): it, and then the above.
namespace google {
/// For a program: both.
void InitCaffeProgram(const char* program);
/// For pycaffe: EndOnFatalMessages.
void InitCaffeModule(const char* program);
}  // namespace google

#endif  // CAFFE_EXT_LIMITS_ENDING_HPP_
