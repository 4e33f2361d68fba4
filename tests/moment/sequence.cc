#include "tests/moment/sequence.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <stdexcept>

namespace ckptfs::moment {
namespace {

// Handles that stay open; others are for one episode.
enum Handle {
  kScratch,
  kAppended,
  kOddAppended,
  kData,
  kJournal,
  kLarge,
  kTruncated,
  kMapped,
  kHandles
};

constexpr size_t kPageBytes = 4096;
constexpr size_t kMappedBytes = 16 * kPageBytes;
constexpr size_t kLargeBytes = size_t{8} << 20;
constexpr size_t kLargeBytesMixed = size_t{1} << 20;
constexpr size_t kAppendedBytesMax = size_t{128} << 10;

}  // namespace

struct Sequence::NamedCase {
  const char* name;
  std::vector<Episode> episodes;
};

const std::vector<Sequence::NamedCase>& Sequence::AllCases() {
  static const std::vector<NamedCase> cases = {
      {"replace", {&Sequence::Replace}},
      {"appends", {&Sequence::Appends}},
      {"odd-appends", {&Sequence::OddAppends}},
      {"two-files", {&Sequence::TwoFiles}},
      {"two-offsets", {&Sequence::TwoOffsets}},
      {"truncate", {&Sequence::Truncations}},
      {"mapped", {&Sequence::Stores}},
      {"names",
       {&Sequence::Links, &Sequence::Directories, &Sequence::Attributes, &Sequence::Unlinked}},
      {"mixed",
       {&Sequence::Replace, &Sequence::Replace, &Sequence::Appends, &Sequence::OddAppends,
        &Sequence::TwoFiles, &Sequence::TwoOffsets, &Sequence::Truncations, &Sequence::Stores,
        &Sequence::Links, &Sequence::Directories, &Sequence::Attributes, &Sequence::Unlinked}},
  };
  return cases;
}

std::vector<std::string> Sequence::Cases() {
  std::vector<std::string> names;
  for (const NamedCase& known : AllCases()) names.emplace_back(known.name);
  return names;
}

Sequence::Sequence(const std::string& case_name, uint64_t seed, int writer)
    : random_(seed * 1000003 + static_cast<uint64_t>(writer)), sizes_(kHandles, 0) {
  for (const NamedCase& known : AllCases()) {
    if (known.name == case_name) episodes_ = known.episodes;
  }
  if (episodes_.empty()) throw std::invalid_argument("there is no case " + case_name);
  large_bytes_ = episodes_.size() == 1 ? kLargeBytes : kLargeBytesMixed;
}

Operation Sequence::Next() {
  while (planned_.empty()) (this->*episodes_[Draw(0, episodes_.size() - 1)])();
  Operation next = std::move(planned_.front());
  planned_.pop_front();
  return next;
}

// Not std::uniform_int_distribution: what that draws differs between libraries.
uint64_t Sequence::Draw(uint64_t from, uint64_t to) { return from + random_() % (to - from + 1); }

bool Sequence::OpenOnce(int handle, const std::string& name, int flags, size_t size) {
  if (!open_.insert(handle).second) return false;
  Add({.kind = Kind::kOpen, .path = name, .handle = handle, .flags = flags | O_CREAT | O_EXCL});
  if (size > 0) Add({.kind = Kind::kTruncate, .handle = handle, .size = size});
  return true;
}

void Sequence::Replace() {
  const uint64_t which = Draw(0, 7);
  const std::string name = fmt::format("r{}", which);
  const std::string fresh = fmt::format("r{}.tmp", which);
  Add({.kind = Kind::kOpen,
       .path = fresh,
       .handle = kScratch,
       .flags = O_CREAT | O_EXCL | O_WRONLY});
  off_t end = 0;
  for (uint64_t i = Draw(1, 3); i > 0; --i) {
    const size_t size = Draw(1, 12000);
    Add({.kind = Kind::kWrite, .handle = kScratch, .offset = end, .size = size});
    end += static_cast<off_t>(size);
  }
  Add({.kind = Kind::kClose, .handle = kScratch});
  Add({.kind = Kind::kRename, .path = fresh, .other = name});
  replaced_.insert(name);
}

void Sequence::AppendTo(const std::string& name, int handle, size_t at_most, size_t size_min,
                        size_t size_max) {
  OpenOnce(handle, name, O_WRONLY | O_APPEND, 0);
  for (uint64_t i = Draw(1, at_most); i > 0; --i) {
    const size_t size = Draw(size_min, size_max);
    Add({.kind = Kind::kAppend, .handle = handle, .size = size});
    sizes_[handle] += size;
    if (sizes_[handle] < kAppendedBytesMax) continue;
    // A log that is rotated: every other time the file is emptied, else a new one takes its place.
    if (Draw(0, 1) == 0) {
      Add({.kind = Kind::kTruncate, .handle = handle, .size = 0});
    } else {
      Add({.kind = Kind::kClose, .handle = handle});
      Add({.kind = Kind::kRename, .path = name, .other = name + ".old"});
      open_.erase(handle);
      OpenOnce(handle, name, O_WRONLY | O_APPEND, 0);
    }
    sizes_[handle] = 0;
  }
}

void Sequence::Appends() { AppendTo("appended", kAppended, 100, 50, 300); }

void Sequence::OddAppends() { AppendTo("odd", kOddAppended, 20, 1, 9001); }

void Sequence::TwoFiles() {
  constexpr size_t kSlots = 16;
  OpenOnce(kData, "data", O_WRONLY, kSlots * kPageBytes);
  OpenOnce(kJournal, "journal", O_WRONLY | O_APPEND, 0);
  for (uint64_t i = Draw(5, 40); i > 0; --i) {
    Add({.kind = Kind::kWrite,
         .handle = kData,
         .offset = static_cast<off_t>(Draw(0, kSlots - 1) * kPageBytes),
         .size = kPageBytes});
    Add({.kind = Kind::kAppend, .handle = kJournal, .size = 100});
    sizes_[kJournal] += 100;
    if (sizes_[kJournal] < kAppendedBytesMax) continue;
    Add({.kind = Kind::kTruncate, .handle = kJournal, .size = 0});
    sizes_[kJournal] = 0;
  }
}

void Sequence::TwoOffsets() {
  OpenOnce(kLarge, "large", O_WRONLY, large_bytes_);
  for (uint64_t i = Draw(5, 40); i > 0; --i) {
    const size_t size = Draw(100, 2 * kPageBytes);
    const auto low = static_cast<off_t>(Draw(0, kPageBytes));
    const auto high = static_cast<off_t>(large_bytes_ - Draw(size, 4 * kPageBytes));
    Add({.kind = Kind::kWrite, .handle = kLarge, .offset = low, .size = size});
    Add({.kind = Kind::kWrite, .handle = kLarge, .offset = high, .size = size});
  }
}

void Sequence::Truncations() {
  OpenOnce(kTruncated, "truncated", O_RDWR, 0);
  for (uint64_t i = Draw(1, 5); i > 0; --i) {
    const size_t written = Draw(1, 20000);
    const auto offset = static_cast<off_t>(Draw(0, 5000));
    Add({.kind = Kind::kWrite, .handle = kTruncated, .offset = offset, .size = written});
    Add({.kind = Kind::kTruncate, .handle = kTruncated, .size = Draw(0, 20000)});
  }
}

void Sequence::Stores() {
  if (OpenOnce(kMapped, "mapped", O_RDWR, kMappedBytes)) {
    Add({.kind = Kind::kMap, .handle = kMapped});
  }
  for (uint64_t i = Draw(1, 30); i > 0; --i) {
    const auto word = static_cast<off_t>(Draw(0, kMappedBytes / sizeof(uint64_t) - 1));
    Add({.kind = Kind::kStore, .handle = kMapped, .offset = word * off_t{sizeof(uint64_t)}});
  }
  switch (Draw(0, 7)) {
    case 0:
      Add({.kind = Kind::kSync, .handle = kMapped});
      break;
    case 1:  // closed without a word to anybody, and opened anew
      Add({.kind = Kind::kUnmap, .handle = kMapped});
      Add({.kind = Kind::kClose, .handle = kMapped});
      Add({.kind = Kind::kOpen, .path = "mapped", .handle = kMapped, .flags = O_RDWR});
      Add({.kind = Kind::kMap, .handle = kMapped});
      break;
    default:
      break;
  }
}

void Sequence::Links() {
  if (made_.insert("linked").second) {
    Add({.kind = Kind::kOpen,
         .path = "linked",
         .handle = kScratch,
         .flags = O_CREAT | O_EXCL | O_WRONLY});
    Add({.kind = Kind::kWrite, .handle = kScratch, .offset = 0, .size = 5000});
    Add({.kind = Kind::kClose, .handle = kScratch});
  }
  const std::string name = fmt::format("link{}", Draw(0, 5));
  if (links_.insert(name).second) {
    Add({.kind = Kind::kLink, .path = "linked", .other = name});
  } else {
    Add({.kind = Kind::kUnlink, .path = name});
    links_.erase(name);
  }
  // What is replaced has had other names, or has none any more.
  if (!replaced_.empty() && Draw(0, 1) == 0) {
    const std::string replaced = *replaced_.begin();
    Add({.kind = Kind::kLink, .path = replaced, .other = "kept"});
    Add({.kind = Kind::kUnlink, .path = "kept"});
  }
  const std::string symlink = fmt::format("symlink{}", Draw(0, 3));
  if (!made_.insert(symlink).second) Add({.kind = Kind::kUnlink, .path = symlink});
  Add({.kind = Kind::kSymlink, .path = symlink, .other = fmt::format("to{}", Draw(0, 1000000))});
}

void Sequence::Directories() {
  const uint64_t which = Draw(0, 3);
  const std::string before = fmt::format("d{}", which);
  const std::string after = fmt::format("e{}", which);
  Add({.kind = Kind::kMkdir, .path = before});
  Add({.kind = Kind::kMkdir, .path = before + "/below"});
  Add({.kind = Kind::kOpen,
       .path = before + "/below/file",
       .handle = kScratch,
       .flags = O_CREAT | O_EXCL | O_WRONLY});
  Add({.kind = Kind::kWrite, .handle = kScratch, .offset = 0, .size = Draw(1, 9000)});
  Add({.kind = Kind::kRename, .path = before, .other = after});
  Add({.kind = Kind::kWrite, .handle = kScratch, .offset = 9000, .size = 100});
  Add({.kind = Kind::kClose, .handle = kScratch});
  Add({.kind = Kind::kMkdir, .path = before});
  Add({.kind = Kind::kExchange, .path = before, .other = after});
  Add({.kind = Kind::kRename, .path = before + "/below", .other = after + "/moved"});
  Add({.kind = Kind::kUnlink, .path = after + "/moved/file"});
  Add({.kind = Kind::kRmdir, .path = after + "/moved"});
  Add({.kind = Kind::kRmdir, .path = after});
  Add({.kind = Kind::kRmdir, .path = before});
}

void Sequence::Attributes() {
  if (made_.insert("attributes").second) {
    Add({.kind = Kind::kOpen,
         .path = "attributes",
         .handle = kScratch,
         .flags = O_CREAT | O_EXCL | O_WRONLY});
    Add({.kind = Kind::kClose, .handle = kScratch});
  }
  for (uint64_t i = Draw(1, 5); i > 0; --i) {
    Add({.kind = Kind::kChmod,
         .path = "attributes",
         .mode = static_cast<mode_t>(0600 + Draw(0, 0177))});
    Add({.kind = Kind::kSetXattr, .path = "attributes"});
    Add({.kind = Kind::kSetTime, .path = "attributes"});
  }
}

void Sequence::Unlinked() {
  Add({.kind = Kind::kOpen,
       .path = "nameless",
       .handle = kScratch,
       .flags = O_CREAT | O_EXCL | O_RDWR});
  Add({.kind = Kind::kWrite, .handle = kScratch, .offset = 0, .size = Draw(1, 9000)});
  Add({.kind = Kind::kUnlink, .path = "nameless"});
  Add({.kind = Kind::kWrite, .handle = kScratch, .offset = 0, .size = Draw(1, 9000)});
  Add({.kind = Kind::kClose, .handle = kScratch});
}

}  // namespace ckptfs::moment
