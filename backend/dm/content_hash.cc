#include "backend/dm/content_hash.h"

#include <endian.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <vector>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{64} << 10;
constexpr char kReadingImage[] = "read an image to verify it";

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) {
      throw Error(ENOMEM, kReadingImage, "no SHA-256 in libcrypto");
    }
  }
  void Add(const void* data, size_t size) { EVP_DigestUpdate(context_.get(), data, size); }
  void Add(uint64_t number) {
    const uint64_t bytes = htole64(number);
    Add(&bytes, sizeof(bytes));
  }
  std::string Digits() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int size = 0;
    EVP_DigestFinal_ex(context_.get(), digest.data(), &size);
    std::string digits;
    for (unsigned int i = 0; i < size; ++i) digits += fmt::format("{:02x}", digest[i]);
    return digits;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
};

}  // namespace

std::string HashContent(int fd) {
  struct stat status {};
  CheckSyscall(fstat(fd, &status), kReadingImage);
  const auto size = static_cast<uint64_t>(status.st_size);
  Sha256 hash;
  hash.Add(size);
  std::vector<char> piece(kPieceBytes);
  for (uint64_t offset = 0; offset < size; offset += kPieceBytes) {
    const off_t data = lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // a hole up to the end
    offset = static_cast<uint64_t>(CheckSyscall(data, kReadingImage)) / kPieceBytes * kPieceBytes;
    const ssize_t got = CheckSyscall(
        pread(fd, piece.data(), piece.size(), static_cast<off_t>(offset)), kReadingImage);
    const auto end = piece.begin() + got;
    if (std::all_of(piece.begin(), end, [](char byte) { return byte == 0; })) continue;
    hash.Add(offset);
    hash.Add(piece.data(), static_cast<size_t>(got));
  }
  return hash.Digits();
}

}  // namespace ckptfs
