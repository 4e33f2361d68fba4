#include "fs/asking_thread.h"

#include <chrono>
#include <fstream>
#include <string>
#include <thread>

namespace ckptfs {

// Right after it has asked it may still be on its way to sleep, which is told as "running".
SystemCall SystemCallOf(pid_t thread) {
  constexpr int kLooks = 50;
  constexpr std::chrono::microseconds kPause{200};
  const std::string path = "/proc/" + std::to_string(thread) + "/syscall";
  for (int look = 0; look < kLooks; ++look) {
    std::ifstream file(path);
    SystemCall call;
    if (file >> call.number) {
      for (unsigned long& argument : call.arguments) file >> std::hex >> argument;
      return call;
    }
    if (!file.is_open()) break;
    std::this_thread::sleep_for(kPause);
  }
  return {};
}

}  // namespace ckptfs
