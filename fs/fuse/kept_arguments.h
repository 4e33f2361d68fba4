// The arguments of a request, in a form that another thread can use later.
#pragma once

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)
#endif

#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <sys/stat.h>

#include <concepts>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <tuple>

namespace ckptfs {

// libfuse passes pointers into the buffer of the thread that has read the request. They are valid while that
// thread works on the request; then the next request may overwrite the buffer. So a request that waits for
// another thread is copied, and copies of these classes own their bytes. Only copying has a cost.

class ArgumentBytes {
 public:
  ArgumentBytes(const char* data, size_t size) : given_(data, size) {}
  ArgumentBytes(const ArgumentBytes& other) : own_(other.view()), is_own_(true) {}
  ArgumentBytes(ArgumentBytes&&) noexcept = default;
  ArgumentBytes& operator=(const ArgumentBytes&) = delete;
  ArgumentBytes& operator=(ArgumentBytes&&) = delete;
  ~ArgumentBytes() = default;

  std::string_view view() const noexcept { return is_own_ ? std::string_view(own_) : given_; }

 private:
  std::string_view given_;
  std::string own_;
  bool is_own_ = false;
};

class ArgumentText {
 public:
  explicit ArgumentText(const char* text) : bytes_(text, std::strlen(text)) {}

  const char* c_str() const noexcept { return bytes_.view().data(); }
  std::string_view view() const noexcept { return bytes_.view(); }

 private:
  ArgumentBytes bytes_;
};

// The data to be written. For a request that came by a ring nothing is copied: the data stays in place until
// the reply.
class ArgumentData {
 public:
  ArgumentData(fuse_req_t request, const fuse_bufvec& data)
      : data_(data), stays_(fuse_req_is_uring(request)) {}
  ArgumentData(const ArgumentData& other) : data_(other.data_), stays_(other.stays_) {
    if (stays_ || (data_.buf[0].flags & FUSE_BUF_IS_FD) != 0) return;
    own_.assign(static_cast<const char*>(other.Source().buf[0].mem) + data_.off,
                data_.buf[0].size - data_.off);
    data_.buf[0].size = own_.size();
    data_.off = 0;
  }
  ArgumentData(ArgumentData&&) noexcept = default;
  ArgumentData& operator=(const ArgumentData&) = delete;
  ArgumentData& operator=(ArgumentData&&) = delete;
  ~ArgumentData() = default;

  fuse_bufvec Source() const {
    fuse_bufvec source = data_;
    if (!own_.empty()) source.buf[0].mem = const_cast<char*>(own_.data());  // read only
    return source;
  }

 private:
  fuse_bufvec data_;
  bool stays_;
  std::string own_;
};

// The file of a request, if it has one.
struct AskedFile {
  bool is_given = false;
  fuse_file_info info{};
};

// Whether a write through that file must be synced.
inline bool IsSynchronous(const AskedFile& file) {
  return file.info.writepage == 0 && (file.info.flags & O_DSYNC) != 0;
}

// One argument. There are no overloads for other pointers, which would not outlive the request.
template <std::integral Number>
Number Keep(fuse_req_t /*request*/, Number value) {
  return value;
}
inline ArgumentText Keep(fuse_req_t /*request*/, const char* text) { return ArgumentText(text); }
inline AskedFile Keep(fuse_req_t /*request*/, fuse_file_info* file) {
  if (file == nullptr) return {};
  return {.is_given = true, .info = *file};
}
inline struct stat Keep(fuse_req_t /*request*/, struct stat* attributes) { return *attributes; }
inline ArgumentData Keep(fuse_req_t request, fuse_bufvec* data) { return {request, *data}; }

// All arguments.
template <typename... Arguments>
auto Decode(fuse_req_t request, Arguments... arguments) {
  return std::tuple<decltype(Keep(request, arguments))...>(Keep(request, arguments)...);
}
// For SETXATTR.
inline std::tuple<fuse_ino_t, ArgumentText, ArgumentBytes, int> Decode(fuse_req_t /*request*/,
                                                                       fuse_ino_t node,
                                                                       const char* name,
                                                                       const char* value,
                                                                       size_t size, int flags) {
  return {node, ArgumentText(name), ArgumentBytes(value, size), flags};
}
// For IOCTL.
inline std::tuple<fuse_ino_t, unsigned int, AskedFile, unsigned int, ArgumentBytes, size_t> Decode(
    fuse_req_t request, fuse_ino_t node, unsigned int command, void* /*argument*/,
    fuse_file_info* file, unsigned int flags, const void* input, size_t input_size,
    size_t output_size) {
  return {node,
          command,
          Keep(request, file),
          flags,
          ArgumentBytes(static_cast<const char*>(input), input_size),
          output_size};
}
// For BATCH_FORGET, which is never kept.
inline std::tuple<std::span<const fuse_forget_data>> Decode(fuse_req_t /*request*/, size_t count,
                                                            fuse_forget_data* forgets) {
  return {std::span<const fuse_forget_data>(forgets, count)};
}

}  // namespace ckptfs
