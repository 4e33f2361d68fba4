// Unique ids.
#pragma once

#include <compare>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace ckptfs {

// A random (version 4) UUID in its canonical form: 36 lower-case characters. A value type.
class Uuid {
 public:
  Uuid() = default;  // empty: no UUID
  static Uuid Generate();
  // Empty optional if `text` is not a UUID in canonical lower-case form.
  static std::optional<Uuid> Parse(std::string_view text);

  const std::string& str() const noexcept { return text_; }
  const char* c_str() const noexcept { return text_.c_str(); }
  bool empty() const noexcept { return text_.empty(); }
  // clang-tidy 14 takes the implied comparison with 0 for one with a null pointer.
  auto operator<=>(const Uuid&) const = default;  // NOLINT(modernize-use-nullptr)

 private:
  explicit Uuid(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// A volume is one copy-on-write tree; its UUID is the name of its directory on the private filesystem.
using VolumeId = Uuid;

}  // namespace ckptfs

template <>
struct std::hash<ckptfs::Uuid> {
  std::size_t operator()(const ckptfs::Uuid& uuid) const noexcept {
    return std::hash<std::string>{}(uuid.str());
  }
};
