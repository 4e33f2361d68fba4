// The available backends, by name.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/interface/backend.h"

namespace ckptfs {

struct BackendChoice {
  std::string type;       // "btrfs-loop"
  std::string selection;  // why it was chosen: "auto: /var/lib/ckptfs is on ext4"
};

// Resolves `requested` ("auto" or a type) for this store directory. Throws EINVAL for an unknown type, and
// for one that is not possible here, with the reason.
BackendChoice ChooseBackend(int store_fd, const std::string& requested);

// Creates the backend's own files (image, directories) in an empty or new store directory. If it throws or is
// killed, a second call clears the remains. Refuses (EEXIST) if a backend has already been created. Durable
// on return.
void CreateBackend(int store_fd, const std::string& type, const BackendOptions& options);

// Removes what CreateBackend has created, complete or not, for a store that was never served: it has no
// content yet. The store must not be open. Other files stay. Outside of the store, only what `options` name
// is touched. Failures are logged.
void RemoveBackends(int store_fd, const BackendOptions& options) noexcept;

// The type of the backend created in this store directory; empty if there is none. Used when the catalog is
// lost.
std::optional<std::string> DetectBackend(int store_fd);

// Opens what CreateBackend made. Creates nothing. Throws Error with the reason and the remedy if it is
// missing, damaged or of another type.
std::unique_ptr<Backend> OpenBackend(int store_fd, const std::string& type,
                                     const BackendOptions& options);

// The types that -o backend= accepts besides "auto".
std::vector<std::string> BackendTypes();

}  // namespace ckptfs
