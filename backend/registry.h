// The backends that there are, by name.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/interface/backend.h"

namespace ckptfs {

struct BackendChoice {
  std::string type;       // "btrfs-loop"
  std::string selection;  // how it was chosen, for people: "auto: /var/lib/ckptfs is on ext4"
};

// What `requested` ("auto" or a type) means for this store directory. Throws EINVAL for an unknown
// type, and for one that this place cannot give, with the reason.
BackendChoice ChooseBackend(int store_fd, const std::string& requested);

// Makes the backend's own things in an empty or new store directory (image, directories). Leaves
// nothing behind when it throws or is killed that a second call would not clear; refuses (EEXIST)
// where a backend has been made already. Durable on return.
void CreateBackend(int store_fd, const std::string& type, const BackendOptions& options);

// Takes away what CreateBackend has made, whole or not, of a store that nobody has been served from: there
// is nothing in it yet. It must not be open. What is not such a thing stays. Of what lies outside of the store
// only that is touched which `options` name. Failures are logged.
void RemoveBackends(int store_fd, const BackendOptions& options) noexcept;

// True if a backend of some type was made in this store directory; its type if so. Used when the
// catalog is lost.
std::optional<std::string> DetectBackend(int store_fd);

// Opens what CreateBackend made. Creates nothing. Throws Error with the reason and the mend when
// it is missing, damaged or of another kind.
std::unique_ptr<Backend> OpenBackend(int store_fd, const std::string& type,
                                     const BackendOptions& options);

// The types that -o backend= takes besides "auto".
std::vector<std::string> BackendTypes();

}  // namespace ckptfs
