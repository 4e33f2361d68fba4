#include "tools/ckpt/client.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/base/error.h"
#include "catalog/trees/names.h"
#include "fs/control/control_protocol.h"
#include "fs/control/control_wire.h"
#include "tools/ckpt/output.h"

namespace ckptfs::cli {
namespace {

constexpr size_t kReadBytes = size_t{256} << 10;

UniqueFd OpenControl(int directory_fd, const std::string& what, Access access) {
  const int mode = access == Access::kChange ? O_RDWR : O_RDONLY;
  UniqueFd fd(
      openat(directory_fd, std::string(kControlName).c_str(), mode | O_NOFOLLOW | O_CLOEXEC));
  if (fd.valid()) return fd;
  switch (errno) {
    case EACCES:
    case EPERM:
      throw Error(EACCES, fmt::format("{} {}", mode == O_RDWR ? "change" : "read", what),
                  fmt::format("you may not {} it", mode == O_RDWR ? "write" : "read"),
                  "Ask its owner, or root");
    case EROFS:
      throw Error(EROFS, "change " + what, "it is mounted read-only");
    case ENOTCONN:
      throw Error(ENOTCONN, "reach " + what, "the daemon of this mount is gone",
                  "Mount it again: nothing that was written is lost");
    default:
      ThrowErrno("reach " + what);
  }
}

void Send(int fd, const std::string& request, const std::string& what) {
  for (size_t at = 0; at < request.size(); at += kMaxChunkBytes) {
    std::string piece = request.substr(at, kMaxChunkBytes);
    CheckSyscall(ioctl(fd, ControlAppend(piece.size()), piece.data()), "ask about " + what);
  }
  CheckSyscall(ioctl(fd, kControlRun), "ask about " + what);
}

// Splits the answer into lines and passes its parts on; keeps the result.
class AnswerReader {
 public:
  explicit AnswerReader(const AnswerHandlers& handlers) : handlers_(handlers) {}

  void Add(std::string_view data) {
    while (!data.empty()) {
      const size_t newline = data.find('\n');
      line_ += data.substr(0, newline);
      if (newline == std::string_view::npos) return;
      data.remove_prefix(newline + 1);
      if (!line_.empty()) TakeLine();
      line_.clear();
    }
  }

  Json Result() && {
    if (!ended_) {
      throw Error(EIO, "read the daemon's answer", "it ended too early",
                  "The daemon's log may say why");
    }
    return std::move(result_);
  }

 private:
  void TakeLine() {
    // Only a daemon of another version sends deeper JSON than wire::Parse allows.
    Json line = Json::parse(line_, nullptr, false);
    if (!line.is_object()) throw Error(EPROTO, "read the daemon's answer", "it is no JSON object");
    if (line.contains(wire::kError)) throw wire::ToError(line[wire::kError]);
    if (line.contains(wire::kItems) && handlers_.items) handlers_.items(line[wire::kItems]);
    if (line.contains(wire::kProgress) && handlers_.progress) {
      handlers_.progress(line[wire::kProgress]);
    }
    if (line.contains(wire::kHealth) && line[wire::kHealth].is_string()) {
      HealthHeard() = line[wire::kHealth].get<std::string>();
    }
    if (line.contains(wire::kResult)) {
      result_ = std::move(line[wire::kResult]);
      ended_ = true;
    }
  }

  const AnswerHandlers& handlers_;
  std::string line_;
  Json result_;
  bool ended_ = false;
};

// It has been done all the same: the exit status stays 0.
void NoteWarnings(const Json& result) {
  const auto warnings = result.is_object() ? result.find(wire::kWarnings) : result.end();
  if (!result.is_object() || warnings == result.end()) return;
  for (const Json& warning : *warnings) Note(warning.get<std::string>());
}

}  // namespace

std::string& HealthHeard() {
  static std::string heard;
  return heard;
}

Json MakeRequest(const char* command, Json args) {
  return Json{{wire::kCommand, command}, {wire::kArgs, std::move(args)}};
}

void AddOpenFile(Json& args, int fd) {
  struct stat info {};
  CheckSyscall(fstat(fd, &info), "look at what is open");
  args["fd"] = static_cast<uint64_t>(fd);
  args["device"] = uint64_t{info.st_dev};
  args["inode"] = uint64_t{info.st_ino};
}

Json Ask(int directory_fd, const std::string& what, Access access, const Json& request,
         const AnswerHandlers& handlers) {
  const UniqueFd fd = OpenControl(directory_fd, what, access);
  Send(fd.get(), request.dump(), what);
  AnswerReader answer(handlers);
  std::vector<char> buffer(kReadBytes);
  for (;;) {
    const ssize_t got = read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    CheckSyscall(got, "read the daemon's answer");
    if (got == 0) break;
    answer.Add({buffer.data(), static_cast<size_t>(got)});
  }
  Json result = std::move(answer).Result();
  if (access == Access::kChange) NoteWarnings(result);
  return result;
}

}  // namespace ckptfs::cli
