// open_loop COUNT DIRECTORY: opens all files in the directory for writing and closes them, again and again, each by
// two threads, once there are COUNT. For as long as it is let.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace fs = std::filesystem;

std::vector<std::string> FilesIn(const std::string& directory) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    files.push_back(entry->path());
  }
  return files;
}

[[noreturn]] void OpenForEver(const std::string& file) {
  while (true) {
    const int fd = open(file.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd >= 0) close(fd);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("open_loop: a count and a directory are needed\n", stderr);
    return 2;
  }
  const auto count = static_cast<size_t>(std::atoi(argv[1]));
  while (FilesIn(argv[2]).size() < count) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::vector<std::jthread> threads;
  for (const std::string& file : FilesIn(argv[2])) {
    for (int i = 0; i < 2; ++i) threads.emplace_back([file] { OpenForEver(file); });
  }
}
