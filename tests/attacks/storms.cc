// storms: what one user does in his workspace as fast as he can, until he is killed; and, by `checkpoints`,
// how long those of another one take meanwhile.
//
// A storm makes ready what it needs, says "ready" on stdout, and goes on. What a full disk or a limit
// refuses it tries again: those are not what is looked at.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "backend/base/error.h"
#include "backend/base/proc_path.h"
#include "backend/base/unique_fd.h"

namespace ckptfs::storms {
namespace {

constexpr off_t kMiB = off_t{1} << 20;
constexpr off_t kBlock = 4096;

struct Request {
  std::string directory;  // of the storm; for `checkpoints`: the workspace
  std::string snapshots;
  std::string prefix = "s";
  int count = 1;  // threads, files or checkpoints
  int mib = 64;
};

UniqueFd Open(const std::string& path, int flags) {
  return UniqueFd(CheckSyscall(open(path.c_str(), flags | O_CLOEXEC, 0644), "open " + path));
}

void Fill(const UniqueFd& fd, off_t bytes) {
  const std::string block(kMiB, 'f');
  for (off_t at = 0; at < bytes; at += kMiB) {
    CheckSyscall(pwrite(fd.get(), block.data(), block.size(), at), "fill a file");
  }
}

void MakeNodatacow(const UniqueFd& fd) {
  int flags = FS_NOCOW_FL;
  CheckSyscall(ioctl(fd.get(), FS_IOC_SETFLAGS, &flags), "chattr +C");
}

void Ready() {
  fmt::print("ready\n");
  std::fflush(stdout);
}

// Over and over; what fails is tried again a little later.
[[noreturn]] void Forever(const std::function<void()>& act) {
  while (true) {
    try {
      act();
    } catch (const std::exception& error) {
      fmt::print(stderr, "{}\n", error.what());
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
}

// `make` makes what one thread does, by its number; when all are ready they begin.
void OnThreads(int count, const std::function<std::function<void()>(int)>& make) {
  std::vector<std::function<void()>> acts;
  acts.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) acts.push_back(make(i));
  Ready();
  std::vector<std::jthread> threads;
  threads.reserve(acts.size());
  for (const auto& act : acts) threads.emplace_back([act] { Forever(act); });
}

using SharedFd = std::shared_ptr<UniqueFd>;
SharedFd OpenShared(const std::string& path, int flags) {
  return std::make_shared<UniqueFd>(Open(path, flags));
}

void Copy(const UniqueFd& from, off_t from_offset, const UniqueFd& to, off_t to_offset,
          off_t size) {
  while (size > 0) {
    const ssize_t copied = CheckSyscall(copy_file_range(from.get(), &from_offset, to.get(),
                                                        &to_offset, static_cast<size_t>(size), 0),
                                        "copy between files");
    if (copied == 0) return;
    size -= copied;
  }
}

// Not at the borders of blocks: so data is copied, and not shared.
void CopyStorm(const Request& request) {
  const SharedFd from = OpenShared(request.directory + "/from", O_CREAT | O_RDWR);
  Fill(*from, 5 * kMiB);
  OnThreads(request.count, [&](int i) -> std::function<void()> {
    const SharedFd to = OpenShared(fmt::format("{}/to-{}", request.directory, i), O_CREAT | O_RDWR);
    return [from, to] {
      Copy(*from, 1, *to, 3, 4 * kMiB);
      CheckSyscall(ftruncate(to->get(), 0), "truncate");
    };
  });
}

// Of a file without checksums into one that has them nothing can be shared.
void LargeCopies(const Request& request) {
  const SharedFd from = OpenShared(request.directory + "/large", O_CREAT | O_RDWR);
  MakeNodatacow(*from);
  Fill(*from, request.mib * kMiB);
  OnThreads(request.count, [&](int i) -> std::function<void()> {
    const SharedFd to =
        OpenShared(fmt::format("{}/copy-{}", request.directory, i), O_CREAT | O_RDWR);
    return [from, to, size = request.mib * kMiB] {
      Copy(*from, 0, *to, 0, size);
      CheckSyscall(ftruncate(to->get(), 0), "truncate");
    };
  });
}

// Files of very many parts: shared, cut off, removed.
void Fragments(const Request& request) {
  const SharedFd from = OpenShared(request.directory + "/parts", O_CREAT | O_RDWR);
  const std::string block(kBlock, 'p');
  for (off_t at = 0; at < request.mib * kMiB; at += 2 * kBlock) {
    CheckSyscall(pwrite(from->get(), block.data(), block.size(), at), "write every other block");
  }
  CheckSyscall(fsync(from->get()), "sync");
  OnThreads(request.count, [&](int i) -> std::function<void()> {
    const std::string name = fmt::format("{}/parts-{}", request.directory, i);
    return [from, name, size = request.mib * kMiB] {
      for (const bool by_name : {false, true}) {
        UniqueFd to = Open(name, O_CREAT | O_RDWR);
        Copy(*from, 0, to, 0, size);
        if (!by_name) CheckSyscall(ftruncate(to.get(), 0), "truncate");
        to.Reset();
        if (by_name) CheckSyscall(unlink(name.c_str()), "remove");
      }
    };
  });
}

void FsyncStorm(const Request& request) {
  OnThreads(request.count, [&](int i) -> std::function<void()> {
    const SharedFd fd =
        OpenShared(fmt::format("{}/fsync-{}", request.directory, i), O_CREAT | O_RDWR);
    return [fd] {
      CheckSyscall(pwrite(fd->get(), "x", 1, 0), "write");
      CheckSyscall(fsync(fd->get()), "sync");
    };
  });
}

// Each fsync has much to write.
void LargeFsyncs(const Request& request) {
  OnThreads(request.count, [&](int i) -> std::function<void()> {
    const SharedFd fd =
        OpenShared(fmt::format("{}/dirty-{}", request.directory, i), O_CREAT | O_RDWR);
    return [fd, size = request.mib * kMiB] {
      Fill(*fd, size);
      CheckSyscall(fsync(fd->get()), "sync");
    };
  });
}

void Writes(const Request& request) {
  OnThreads(request.count, [&](int i) -> std::function<void()> {
    const SharedFd fd =
        OpenShared(fmt::format("{}/write-{}", request.directory, i), O_CREAT | O_RDWR);
    return [fd, size = request.mib * kMiB] { Fill(*fd, size); };
  });
}

void Names(const Request& request) {
  OnThreads(request.count, [&](int i) -> std::function<void()> {
    const std::string name = fmt::format("{}/name-{}", request.directory, i);
    return [name] {
      Open(name, O_CREAT | O_EXCL | O_WRONLY);
      CheckSyscall(rename(name.c_str(), (name + "-new").c_str()), "rename");
      CheckSyscall(unlink((name + "-new").c_str()), "remove");
    };
  });
}

void Mappings(const Request& request) {
  OnThreads(request.count, [&](int i) -> std::function<void()> {
    const UniqueFd fd = Open(fmt::format("{}/mapped-{}", request.directory, i), O_CREAT | O_RDWR);
    const auto size = static_cast<size_t>(request.mib * kMiB);
    CheckSyscall(ftruncate(fd.get(), static_cast<off_t>(size)), "size a file");
    void* const memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (memory == MAP_FAILED) ThrowErrno("map a file");
    return [memory = static_cast<volatile char*>(memory), size] {
      for (size_t at = 0; at < size; at += static_cast<size_t>(kBlock)) {
        memory[at] = static_cast<char>(memory[at] + 1);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    };
  });
}

// Holds `count` files open, and opens and closes one more.
void Opens(const Request& request) {
  std::vector<UniqueFd> held;
  try {
    for (int i = 0; i < request.count; ++i) {
      held.push_back(Open(fmt::format("{}/held-{}", request.directory, i), O_CREAT | O_WRONLY));
    }
  } catch (const Error& error) {
    fmt::print(stderr, "{} files: {}\n", held.size(), error.what());
  }
  OnThreads(1, [&](int) -> std::function<void()> {
    const std::string name = request.directory + "/opened";
    return [name] { Open(name, O_CREAT | O_WRONLY); };
  });
}

// A file that cannot be linked any more, and checkpoints, which have to have its data.
void Unlinked(const Request& request) {
  const std::string name = request.directory + "/unlinked";
  Open(name, O_CREAT | O_RDWR);
  const UniqueFd path = Open(name, O_PATH);
  CheckSyscall(unlink(name.c_str()), "remove");
  const UniqueFd held = Open(ProcPath(path.get()).c_str(), O_RDWR);
  MakeNodatacow(held);
  Fill(held, request.mib * kMiB);
  const std::string snapshot = request.snapshots + "/" + request.prefix;
  OnThreads(1, [&](int) -> std::function<void()> {
    return [snapshot] {
      CheckSyscall(mkdir(snapshot.c_str(), 0755), "checkpoint");
      CheckSyscall(rmdir(snapshot.c_str()), "delete");
    };
  });
}

// Prints what each took, in µs. A file changes before each.
void Checkpoints(const Request& request) {
  const UniqueFd file = Open(request.directory + "/changing", O_CREAT | O_WRONLY);
  for (int i = 0; i < request.count; ++i) {
    CheckSyscall(pwrite(file.get(), &i, sizeof(i), 0), "write");
    const std::string name = fmt::format("{}/{}-{}", request.snapshots, request.prefix, i);
    const auto begin = std::chrono::steady_clock::now();
    CheckSyscall(mkdir(name.c_str(), 0755), "checkpoint");
    const auto took = std::chrono::steady_clock::now() - begin;
    fmt::print("{}\n", std::chrono::duration_cast<std::chrono::microseconds>(took).count());
  }
}

}  // namespace

int Main(int argc, char** argv) {
  const std::map<std::string, void (*)(const Request&)> kinds = {
      {"copies", CopyStorm},  {"large-copies", LargeCopies}, {"fragments", Fragments},
      {"fsyncs", FsyncStorm}, {"large-fsyncs", LargeFsyncs}, {"writes", Writes},
      {"names", Names},       {"mappings", Mappings},        {"opens", Opens},
      {"unlinked", Unlinked}, {"checkpoints", Checkpoints},
  };
  Request request;
  std::string kind;
  CLI::App app("What one user can do to the others");
  app.add_option("kind", kind)->required();
  app.add_option("directory", request.directory, "Where; of checkpoints, the workspace")
      ->required();
  app.add_option("--snapshots", request.snapshots, "The list of the workspace's snapshots");
  app.add_option("--prefix", request.prefix, "Of snapshots' names");
  app.add_option("--count", request.count, "Threads, files or checkpoints");
  app.add_option("--mib", request.mib, "Size of a file");
  CLI11_PARSE(app, argc, argv);
  try {
    kinds.at(kind)(request);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "storms: {}\n", error.what());
    return 1;
  }
}

}  // namespace ckptfs::storms

int main(int argc, char** argv) { return ckptfs::storms::Main(argc, argv); }
