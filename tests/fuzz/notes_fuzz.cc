// What stands in small files of a store: sidecars, the store's own, the marks and headers of device-mapper.
// The first byte says which; the rest is the file.
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "backend/base/error.h"
#include "backend/base/text.h"
#include "backend/dm/thin_state.h"
#include "backend/dm/volume_file.h"
#include "catalog/sidecar/sidecar.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

// What people are told: of a bearable length.
constexpr size_t kLineBytesMax = 1000;

void Require(bool holds) {
  if (!holds) std::abort();
}

// What is read is what would be written, and the other way round.
void FuzzSidecar(std::string_view text) {
  const Sidecar read = ParseSidecar(text);
  const std::string written = SerializeSidecar(read);
  const Sidecar again = ParseSidecar(written);
  Require(again.SameRow(read) && again.generation == read.generation);
  Require(SerializeSidecar(again) == written);
}

void FuzzStoreFile(std::string_view text) {
  static const TestDirectory directory;
  WriteFileAt(directory.fd(), "store.json", std::string(text));
  const MetaDirectory meta(directory.fd());
  const auto file = meta.ReadStore();
  if (file) meta.WriteStore(*file);
  Require(!file || meta.ReadStore()->mount_root.mode == file->mount_root.mode);
}

UniqueFd InMemory(std::string_view text) {
  UniqueFd file(CheckSyscall(memfd_create("note", MFD_CLOEXEC), "make a file in memory"));
  CheckSyscall(write(file.get(), text.data(), text.size()), "write a file in memory");
  return file;
}

void Fuzz(uint8_t kind, std::string_view text) {
  switch (kind) {
    case 'h':
      ReadVolumeHeader(InMemory(text).get());
      break;
    case 't':
      ReadThinState(InMemory(text).get());
      break;
    case 'f':
      FuzzStoreFile(text);
      break;
    default:
      FuzzSidecar(text);
  }
}

}  // namespace
}  // namespace ckptfs

extern "C" int LLVMFuzzerInitialize(int* /*count*/, char*** /*arguments*/) {
  spdlog::set_level(spdlog::level::off);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ckptfs;  // NOLINT: of one function
  if (size == 0) return 0;
  try {
    Fuzz(data[0], {reinterpret_cast<const char*>(data) + 1, size - 1});
  } catch (const Error& error) {
    Require(error.errno_value() == EUCLEAN);
    const std::string line = error.what();
    Require(line.size() <= kLineBytesMax && PlainText(line) == line);
  }
  return 0;
}
