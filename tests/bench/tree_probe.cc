// Times operations on a tree of files where the start of a program, or Python, would distort it.
//
// usage: tree_probe create DIR FILES BYTES   make FILES files of BYTES bytes, 100 a directory
//        tree_probe stat DIR PASSES          lstat every file and directory
//        tree_probe readdir DIR PASSES       read every directory
//        tree_probe open DIR PASSES          open, read and close every file
//
// Prints the seconds that each pass took, one a line. What the last three work on is listed before
// the first pass, so that all passes are warm where the kernel keeps names.

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

constexpr int kFilesPerDirectory = 100;

[[noreturn]] void Fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

struct Tree {
  std::vector<std::string> files;
  std::vector<std::string> directories;
};

// Paths relative to `root`, which becomes the working directory.
Tree ListTree(const std::string& root) {
  if (chdir(root.c_str()) != 0) Fail(root);
  Tree tree;
  tree.directories.emplace_back(".");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(".")) {
    const bool is_directory = entry.is_directory() && !entry.is_symlink();
    if (is_directory) tree.directories.push_back(entry.path());
    if (entry.is_regular_file() && !entry.is_symlink()) tree.files.push_back(entry.path());
  }
  return tree;
}

void TimePasses(int passes, const std::function<void()>& pass) {
  for (int i = 0; i < passes; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    pass();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    std::printf("%.9f\n", elapsed.count());
  }
}

void CreateFile(const std::string& path, const std::string& content) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) Fail(path);
  if (write(fd, content.data(), content.size()) != static_cast<ssize_t>(content.size())) Fail(path);
  if (close(fd) != 0) Fail(path);
}

void CreateTree(const std::string& root, int files, size_t bytes) {
  std::string content;
  while (content.size() < bytes)
    content += "What is in a file of a benchmark is of no importance.\n";
  content.resize(bytes);
  std::string directory;
  for (int i = 0; i < files; ++i) {
    if (i % kFilesPerDirectory == 0) {
      directory = root + "/d" + std::to_string(i / kFilesPerDirectory);
      if (mkdir(directory.c_str(), 0755) != 0) Fail(directory);
    }
    CreateFile(directory + "/f" + std::to_string(i), content);
  }
}

void StatAll(const Tree& tree) {
  struct stat stat {};
  for (const auto* paths : {&tree.files, &tree.directories}) {
    for (const std::string& path : *paths) {
      if (lstat(path.c_str(), &stat) != 0) Fail(path);
    }
  }
}

void ReadDirectories(const Tree& tree) {
  for (const std::string& path : tree.directories) {
    DIR* directory = opendir(path.c_str());
    if (directory == nullptr) Fail(path);
    while (readdir(directory) != nullptr) {
    }
    closedir(directory);
  }
}

void ReadFiles(const Tree& tree) {
  static std::array<char, 65536> buffer;
  for (const std::string& path : tree.files) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) Fail(path);
    ssize_t size = 0;
    while ((size = read(fd, buffer.data(), buffer.size())) > 0) {
    }
    if (size < 0 || close(fd) != 0) Fail(path);
  }
}

int Run(const std::vector<std::string>& words) {
  const std::string_view verb = words.empty() ? "" : std::string_view(words[0]);
  if (verb == "create" && words.size() == 4) {
    TimePasses(1, [&] { CreateTree(words[1], std::stoi(words[2]), std::stoul(words[3])); });
    return 0;
  }
  if (words.size() == 3 && (verb == "stat" || verb == "readdir" || verb == "open")) {
    const Tree tree = ListTree(words[1]);
    const auto pass = verb == "stat" ? StatAll : verb == "readdir" ? ReadDirectories : ReadFiles;
    TimePasses(std::stoi(words[2]), [&] { pass(tree); });
    return 0;
  }
  std::fputs("usage: tree_probe create DIR FILES BYTES | stat|readdir|open DIR PASSES\n", stderr);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tree_probe: %s\n", error.what());
    return 1;
  }
}
