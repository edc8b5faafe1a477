// The part of a SyncedMemory that only the engine's layers use.
#ifndef CAFFE_EXT_ENGINES_PRIVATE_MEMORY_HPP_
#define CAFFE_EXT_ENGINES_PRIVATE_MEMORY_HPP_

#include <boost/shared_ptr.hpp>

#include "engines/private_form.hpp"

namespace caffe_ext {

/**
 * @brief Base of SyncedMemory (patches/20-private-memory.patch): a private form of its values
 * (private_form.hpp), and whether they are zero for certain.
 */
class PrivateMemory {
 public:
  /// Lets a form stand in for the plain values. Only allowed while !plain_seen().
  void set_private_form(const boost::shared_ptr<PrivateForm>& form);
  const boost::shared_ptr<PrivateForm>& private_form() const { return private_form_; }
  /// Whether somebody has asked for the plain values.
  bool plain_seen() const { return plain_seen_; }

  /// Sets the values to zero; known_zero() until somebody asks for them, unless a NumPy view of
  /// them exists.
  void set_zero();
  bool known_zero() const { return known_zero_ && !has_view_; }
  /// Somebody outside has a view of this address, of these values or of others.
  void set_has_view(const void* plain);

 protected:
  PrivateMemory() {}
  ~PrivateMemory() {}
  /// Somebody asks for the plain values: writes them where there is a form, and drops it.
  void Reveal();
  void DropPrivateForm() { private_form_.reset(); }

 private:
  boost::shared_ptr<PrivateForm> private_form_;
  bool plain_seen_ = false, known_zero_ = false, has_view_ = false;
};

}  // namespace caffe_ext

#endif  // CAFFE_EXT_ENGINES_PRIVATE_MEMORY_HPP_
