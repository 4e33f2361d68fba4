#include "tests/moment/model.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

namespace ckptfs::moment {
namespace {

bool IsBelow(const std::string& path, const std::string& directory) {
  return path.size() > directory.size() && path.starts_with(directory) &&
         path[directory.size()] == '/';
}

std::string Excerpt(const std::string& content, size_t offset) {
  std::string text = content.substr(offset, 16);
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text;
}

std::string DifferenceOfContents(const std::string& found, const std::string& expected) {
  const auto [a, b] = std::mismatch(found.begin(), found.end(), expected.begin(), expected.end());
  const auto offset = static_cast<size_t>(a - found.begin());
  return fmt::format("has {} bytes, expected {}; differs at {}: '{}', expected '{}'", found.size(),
                     expected.size(), offset, Excerpt(found, offset), Excerpt(expected, offset));
}

}  // namespace

void Model::Apply(uint64_t number, const Operation& operation) {
  const Operation& o = operation;
  switch (o.kind) {
    case Kind::kOpen:
      ApplyOpen(o);
      return;
    case Kind::kClose: {
      const uint64_t file = handles_.at(o.handle);
      handles_.erase(o.handle);
      --files_.at(file).handles;
      ForgetIfUnused(file);
      return;
    }
    case Kind::kWrite:
      Write(ByHandle(o.handle), static_cast<size_t>(o.offset), Content(writer_, number, o.size));
      return;
    case Kind::kAppend: {
      File& file = ByHandle(o.handle);
      Write(file, file.entry.content.size(), Content(writer_, number, o.size));
      return;
    }
    case Kind::kTruncate:
      ByHandle(o.handle).entry.content.resize(o.size, '\0');
      return;
    case Kind::kStore:
      std::memcpy(ByHandle(o.handle).entry.content.data() + o.offset, &number, sizeof number);
      return;
    case Kind::kMap:
      ByHandle(o.handle).mapped = true;
      return;
    case Kind::kSync:
    case Kind::kUnmap:
      return;
    case Kind::kChmod:
    case Kind::kSetXattr:
    case Kind::kSetTime:
      ApplyToAttributes(number, o);
      return;
    default:
      ApplyToNames(o);
  }
}

void Model::ApplyOpen(const Operation& operation) {
  if ((operation.flags & O_CREAT) != 0) {
    const uint64_t file = ++last_file_;
    files_[file].entry.mode = S_IFREG | kFileMode;
    AddName(operation.path, file);
  }
  const uint64_t file = names_.at(operation.path);
  ++files_.at(file).handles;
  handles_[operation.handle] = file;
}

void Model::ApplyToNames(const Operation& operation) {
  const std::string& path = operation.path;
  const std::string& other = operation.other;
  switch (operation.kind) {
    case Kind::kRename:
      if (names_.contains(other)) RemoveName(other);
      Move(path, other);
      return;
    case Kind::kExchange: {
      const std::string aside = "\x01";  // no name of a writer's
      Move(path, aside);
      Move(other, path);
      Move(aside, other);
      return;
    }
    case Kind::kLink:
      AddName(other, names_.at(path));
      return;
    case Kind::kUnlink:
    case Kind::kRmdir:
      RemoveName(path);
      return;
    default: {
      const uint64_t file = ++last_file_;
      Entry& entry = files_[file].entry;
      entry.mode = operation.kind == Kind::kMkdir ? S_IFDIR | kDirectoryMode : S_IFLNK | 0777;
      entry.content = other;
      AddName(path, file);
    }
  }
}

void Model::ApplyToAttributes(uint64_t number, const Operation& operation) {
  File& file = ByPath(operation.path);
  if (operation.kind == Kind::kChmod) {
    file.entry.mode = (file.entry.mode & S_IFMT) | operation.mode;
  } else if (operation.kind == Kind::kSetXattr) {
    file.entry.xattr = std::to_string(number);
  } else {
    file.entry.mtime_s = static_cast<time_t>(number);
    file.time_is_known = true;
  }
}

void Model::Write(File& file, size_t offset, const std::string& content) {
  std::string& bytes = file.entry.content;
  if (bytes.size() < offset + content.size()) bytes.resize(offset + content.size(), '\0');
  bytes.replace(offset, content.size(), content);
  file.time_is_known = false;
}

void Model::AddName(const std::string& path, uint64_t file) {
  names_[path] = file;
  ++files_.at(file).entry.links;
}

void Model::RemoveName(const std::string& path) {
  const uint64_t file = names_.at(path);
  names_.erase(path);
  --files_.at(file).entry.links;
  ForgetIfUnused(file);
}

void Model::ForgetIfUnused(uint64_t file) {
  const File& unused = files_.at(file);
  if (unused.handles == 0 && unused.entry.links == 0) files_.erase(file);
}

void Model::Move(const std::string& from, const std::string& to) {
  for (const std::string& name : NamesBelow(from)) {
    auto node = names_.extract(name);
    node.key() = to + name.substr(from.size());
    names_.insert(std::move(node));
  }
}

std::set<std::string> Model::NamesBelow(const std::string& path) const {
  std::set<std::string> found;
  for (const auto& [name, file] : names_) {
    if (name == path || IsBelow(name, path)) found.insert(name);
  }
  return found;
}

std::set<std::string> Model::NamesOf(uint64_t file) const {
  std::set<std::string> found;
  for (const auto& [name, number] : names_) {
    if (number == file) found.insert(name);
  }
  return found;
}

std::set<std::string> Model::Concerned(const Operation& operation) const {
  std::set<std::string> concerned;
  if (const auto handle = handles_.find(operation.handle); handle != handles_.end()) {
    concerned = NamesOf(handle->second);
  }
  for (const std::string* path : {&operation.path, &operation.other}) {
    if (path->empty()) continue;
    concerned.merge(NamesBelow(*path));
    // Another name of the file shows another number of links.
    if (const auto named = names_.find(*path); named != names_.end()) {
      concerned.merge(NamesOf(named->second));
    }
  }
  return concerned;
}

std::optional<std::string> Model::Difference(const Tree& found, const std::string& path) const {
  const auto here = names_.find(path);
  const auto there = found.find(path);
  if (here == names_.end() && there == found.end()) return std::nullopt;
  if (there == found.end()) return "is not there";
  if (here == names_.end()) return "is there";
  const File& file = files_.at(here->second);
  const Entry& expected = file.entry;
  const Entry& got = there->second;
  if (S_ISLNK(expected.mode) ? !S_ISLNK(got.mode) : got.mode != expected.mode) {
    return fmt::format("has mode {:o}, expected {:o}", got.mode, expected.mode);
  }
  if (S_ISDIR(expected.mode)) return std::nullopt;
  if (got.links != expected.links) {
    return fmt::format("has {} names, expected {}", got.links, expected.links);
  }
  if (got.xattr != expected.xattr) {
    return fmt::format("has the attribute '{}', expected '{}'", got.xattr, expected.xattr);
  }
  if (file.time_is_known && got.mtime_s != expected.mtime_s) {
    return fmt::format("has the time {}, expected {}", got.mtime_s, expected.mtime_s);
  }
  const bool same =
      file.mapped ? got.content.size() == expected.content.size() : got.content == expected.content;
  if (same) return std::nullopt;
  return DifferenceOfContents(got.content, expected.content);
}

std::set<std::string> Model::AllPaths(const Tree& found) const {
  std::set<std::string> paths;
  for (const auto& [name, file] : names_) paths.insert(name);
  for (const auto& [name, entry] : found) paths.insert(name);
  return paths;
}

const std::string* Model::MappedContent(const std::string& path) const {
  const auto named = names_.find(path);
  if (named == names_.end()) return nullptr;
  const File& file = files_.at(named->second);
  return file.mapped ? &file.entry.content : nullptr;
}

}  // namespace ckptfs::moment
