// What nothing refers to: found, told and removed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace ckptfs {

enum class GarbageKind {
  kVolume,
  kSidecar,
  kFile,  // half made
  kTemplate,
  kCatalog,  // set aside when it was damaged, or before a repair
};

// Something that ckptfs has made and that nothing refers to.
struct GarbageItem {
  GarbageKind kind = GarbageKind::kFile;
  std::string name;  // a volume's or template's id; a file's path below the store's directory
  std::string reason;
  uint64_t bytes = 0;      // that its removal frees
  int64_t changed_ns = 0;  // when it was last written, as far as that is known
  int64_t age_ns = 0;      // negative: dated after now
};

// What happened to one of them.
struct GarbageOutcome {
  GarbageItem item;
  std::string spared;        // why it stays; empty: it goes
  std::string error;         // why its removal failed
  bool was_removed = false;  // never in a dry run
};

struct GarbageRequest {
  bool dry_run = false;
  // Nobody has asked for this run: it spares set-aside catalogs, which are of use to people. It is quick, as
  // somebody may be waiting for space: without pauses between removals, and without the bytes of volumes.
  bool is_automatic = false;
};

struct GarbageTotal {
  size_t removed = 0;  // or, in a dry run, to be removed
  size_t failed = 0;
  uint64_t bytes = 0;  // of what was (or is to be) removed
};

using TellGarbage = std::function<bool(const GarbageOutcome&)>;

class StoreContext;
// Store::CollectGarbage, for operations (catalog/recovery/store_gc.cc). Afterwards the space of volumes comes
// back in the background: Backend::ReturnFreedBlocks waits for it.
GarbageTotal CollectGarbage(StoreContext& store, const GarbageRequest& request,
                            const TellGarbage& tell = {});

}  // namespace ckptfs
