// silent_fs DIRECTORY [-o OPTIONS]: a FUSE filesystem on DIRECTORY with files that are never read to the end.
//
// Serves until it is killed. It holds:
//   read      a read of it is never answered
//   direct-*  the same, and who opens it a second time gets FOPEN_DIRECT_IO
//   stat      after SIGUSR1 its attributes are not told either
//   dir       a directory of which the same holds, and in which nothing is ever found
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 18)
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <iostream>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace {

constexpr double kLong = 1e6;
constexpr fuse_ino_t kRead = 2;
constexpr fuse_ino_t kStat = 3;
constexpr fuse_ino_t kDirectory = 4;
constexpr fuse_ino_t kFirstDirect = 16;
constexpr std::string_view kDirectPrefix = "direct-";

std::atomic<bool> is_silent{false};
std::map<std::string, fuse_ino_t> direct_files;
std::set<fuse_ino_t> opened;

struct stat AttributesOf(fuse_ino_t node) {
  struct stat attributes {};
  const bool is_directory = node == FUSE_ROOT_ID || node == kDirectory;
  attributes.st_ino = node;
  attributes.st_mode = is_directory ? S_IFDIR | 0755 : S_IFREG | 0666;
  attributes.st_nlink = 1;
  attributes.st_size = is_directory ? 0 : 1 << 20;
  return attributes;
}

// What goes silent must be asked for each time.
double TimeoutOf(fuse_ino_t node) { return node == kStat || node == kDirectory ? 0 : kLong; }

void LookUp(fuse_req_t request, fuse_ino_t parent, const char* name) {
  const std::string_view text = name;
  fuse_entry_param entry{};
  if (parent == kDirectory) return;
  if (text == "read") entry.ino = kRead;
  if (text.starts_with(kDirectPrefix)) {
    entry.ino = direct_files.try_emplace(name, kFirstDirect + direct_files.size()).first->second;
  }
  if (text == "stat") entry.ino = kStat;
  if (text == "dir") entry.ino = kDirectory;
  entry.attr = AttributesOf(entry.ino);
  entry.entry_timeout = kLong;
  entry.attr_timeout = TimeoutOf(entry.ino);
  if (entry.ino == 0) {
    fuse_reply_err(request, ENOENT);
  } else {
    fuse_reply_entry(request, &entry);
  }
}

void GetAttributes(fuse_req_t request, fuse_ino_t node, fuse_file_info* /*file*/) {
  if (is_silent && TimeoutOf(node) == 0) return;
  const struct stat attributes = AttributesOf(node);
  fuse_reply_attr(request, &attributes, TimeoutOf(node));
}

void Open(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  const bool is_first = opened.insert(node).second;
  if (node >= kFirstDirect && !is_first) file->direct_io = 1;
  fuse_reply_open(request, file);
}

// The kernel waits for whom it has asked, and for as long as nobody answers.
void Read(fuse_req_t /*request*/, fuse_ino_t /*node*/, size_t /*size*/, off_t /*offset*/,
          fuse_file_info* /*file*/) {}

fuse_lowlevel_ops Operations() {
  fuse_lowlevel_ops operations{};
  operations.lookup = LookUp;
  operations.getattr = GetAttributes;
  operations.open = Open;
  operations.read = Read;
  return operations;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 4) {
    std::cerr << "usage: silent_fs DIRECTORY [-o OPTIONS]\n";
    return 2;
  }
  std::signal(SIGUSR1, [](int) { is_silent = true; });
  fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
  fuse_opt_add_arg(&arguments, "silent_fs");
  fuse_opt_add_arg(&arguments, "-oallow_other");
  if (argc == 4) {
    fuse_opt_add_arg(&arguments, argv[2]);
    fuse_opt_add_arg(&arguments, argv[3]);
  }
  const fuse_lowlevel_ops operations = Operations();
  fuse_session* const session =
      fuse_session_new(&arguments, &operations, sizeof(operations), nullptr);
  if (session == nullptr || fuse_session_mount(session, argv[1]) != 0) return 1;
  // A signal ends the loop's wait.
  while (fuse_session_loop(session) == -EINTR) {
  }
  return 0;
}
