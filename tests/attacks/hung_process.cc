// hung_process maps|exec|mapper SILENT FILE: a process of which /proc can tell nothing.
//
// SILENT is a file direct-* of silent_fs, and nobody else's. A process opens FILE for writing, hands it on to a child, closes it, prints
// its number and the child's, and hangs soon; nothing ends it but SIGKILL, and that perhaps not before
// silent_fs ends.
//   maps   It holds the lock of its memory map for writing, as mmap(2) of SILENT waits for a page that another
//          thread is reading in for ever. To read its maps waits for that lock.
//   exec   It is in execve(2), and waits for the lock of the memory map that it shares with a process of the
//          kind above. Meanwhile it holds its exec_update_lock: to open its maps waits for that.
//   mapper As the first, but it has no child, and FILE mapped.
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>
#include <thread>

namespace {

constexpr size_t kPage = 4096;
constexpr auto kAMoment = std::chrono::milliseconds(500);

std::string file;  // FILE

[[noreturn]] void Fail(const char* what) {
  std::perror(what);
  _exit(1);
}

int OpenFile() {
  const int fd = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) Fail(file.c_str());
  return fd;
}

// The process itself has it no longer then: where it is has to be searched for.
void HandFileOn() {
  const int fd = OpenFile();
  const pid_t heir = fork();
  if (heir == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "heir");
    while (true) pause();
  }
  close(fd);
  std::printf("%d %d\n", getpid(), heir);
  std::fflush(stdout);
}

void MapFile() {
  const int fd = OpenFile();
  void* const page = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) Fail("map the file");
  close(fd);
  std::printf("%d 0\n", getpid());
  std::fflush(stdout);
}

// Never returns: the lock of the memory map is held from its last call on.
[[noreturn]] void HoldMapLock(const char* silent) {
  const int cached = open(silent, O_RDONLY);
  if (cached < 0) Fail(silent);
  void* const page = mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, cached, 0);
  // What is lowest is what /proc/PID/maps tells first.
  void* const lowest_place = reinterpret_cast<void*>(0x10000);
  void* const lowest =
      mmap(lowest_place, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  const int direct = open(silent, O_RDONLY);
  if (page == MAP_FAILED || lowest == MAP_FAILED || direct < 0) Fail("prepare");
  std::thread([page] {
    [[maybe_unused]] const char read = *static_cast<volatile char*>(page);
  }).detach();
  std::this_thread::sleep_for(kAMoment);
  if (mmap(lowest, kPage, PROT_READ, MAP_PRIVATE | MAP_FIXED, direct, 0) == MAP_FAILED)
    Fail(silent);
  _exit(1);
}

std::atomic<bool> handed_on{false};

// Shares its memory with its parent, which is about to hold the lock of that.
int ExecLater(void* /*nothing*/) {
  HandFileOn();
  handed_on = true;
  usleep(2'000'000);
  execl("/bin/sleep", "sleep", "60", nullptr);
  _exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: hung_process maps|exec|mapper SILENT FILE\n", stderr);
    return 2;
  }
  file = argv[3];
  const std::string_view kind = argv[1];
  if (kind == "exec") {
    alignas(16) static std::array<char, 1 << 16> stack;
    const int flags = CLONE_VM | SIGCHLD;
    if (clone(ExecLater, stack.data() + stack.size(), flags, nullptr) < 0) Fail("clone");
    // What the child touches for the first time with the lock held, it waits for.
    while (!handed_on) usleep(10'000);
  } else if (kind == "mapper") {
    MapFile();
  } else {
    HandFileOn();
  }
  HoldMapLock(argv[2]);
}
