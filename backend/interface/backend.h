// How copy-on-write volumes are kept: the one interface of all backends.
#pragma once

#include <fmt/format.h>
#include <sys/types.h>

#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/error.h"
#include "backend/base/own_names.h"
#include "backend/base/right_of_way.h"
#include "backend/base/unique_fd.h"
#include "backend/base/uuid.h"
#include "backend/base/work_limits.h"
#include "backend/interface/templates.h"
#include "backend/mount/access_times.h"

namespace ckptfs {

// What tells one file of a volume from every other that this volume ever had: inode numbers are
// reused over time, the pair is not. Stable across Snapshot and Clone: the copy of a file in
// another volume has the same FileId.
struct FileId {
  uint64_t inode = 0;
  uint32_t generation = 0;
  bool operator==(const FileId&) const = default;
};

// A volume that is open for use. Files in it are reached by inode number, without a path walk and
// without a descriptor per known file. Shared by reference; the volume can be destroyed in the
// backend while this lives (its files then end when the last descriptor is closed). All functions
// may be called by any thread at any time.
class Volume {
 public:
  virtual ~Volume() = default;
  Volume(const Volume&) = delete;
  Volume& operator=(const Volume&) = delete;

  const VolumeId& id() const noexcept { return id_; }

  // A directory descriptor (O_RDONLY, not O_PATH) of the volume's root. Valid as long as this is, also
  // when a revival has brought another one.
  virtual int root_fd() const noexcept = 0;
  virtual uint64_t root_inode() const noexcept = 0;

  // Opens the file with that inode number. `flags` are open(2)'s, O_PATH included; O_CLOEXEC is
  // implied. Generation 0 matches any. Throws Error: ESTALE if there is no such file (any more),
  // or what open(2) gives.
  virtual UniqueFd OpenInode(FileId file, int flags) const = 0;

  // Whether a file that is made may get the inode number of one that has gone, while this is open.
  virtual bool ReusesInodeNumbers() const noexcept { return false; }

  // The identity of `name` in the directory `dir_fd` of this volume, symlinks not followed; of
  // `dir_fd` itself if `name` is empty. Throws Error as name_to_handle_at(2) does, and EXDEV if
  // the name leads out of this volume (a nested subvolume, a mount).
  virtual FileId Identify(int dir_fd, const char* name) const = 0;

  // One of the names of that inode, as a path relative to the root, without a leading slash. Empty
  // if it has none, or if this kind of volume cannot tell without a search. In a writable volume a
  // name that was removed a moment ago may still be told.
  virtual std::string PathOf(uint64_t /*inode*/) const { return {}; }

  // Whether it can be read, perhaps, but takes no change, as there was no room for one; until its revival
  // (Backend::OnRevival).
  virtual bool HasStopped() const noexcept { return false; }

 protected:
  explicit Volume(VolumeId id) : id_(std::move(id)) {}

 private:
  VolumeId id_;
};

struct VolumeListing {
  VolumeId id;
  bool read_only = false;
};

struct VolumeUsage {
  uint64_t referenced_bytes = 0;  // what the volume's files take up, shared or not
  uint64_t exclusive_bytes = 0;   // what destroying the volume would give back
};

// What an administrator should see to.
struct BackendHealth {
  std::vector<std::string> warnings;  // one sentence each, with what to do
  std::vector<VolumeId> stopped;      // Volume::HasStopped
};

struct SpaceInfo {
  uint64_t total_bytes = 0;
  uint64_t used_bytes = 0;
  uint64_t free_bytes = 0;  // what can still be written, with the host's limits counted in
};

enum class DiffKind { kAdded, kRemoved, kModified, kRenamed };

// One line of a comparison of two volumes. Paths are relative to the volume's root, without a
// leading or trailing slash, and may hold any byte but NUL.
struct DiffEntry {
  DiffKind kind = DiffKind::kModified;
  std::string path;      // in the newer volume (for kRemoved: in the older)
  std::string old_path;  // for kRenamed only
  bool is_directory = false;
};

class DiffList;  // backend/compare/diff_list.h

// How much of what differs is wanted: all, or to know whether something does.
enum class Extent { kAll, kFirst };

struct BackendCapabilities {
  bool clone_is_constant_time = false;
  bool nested_volumes_possible = false;  // a nested subvolume can exist and is not snapshotted
  bool meta_needs_fsync = false;         // see meta_fd
  bool snapshots_tell_paths = true;      // Volume::PathOf works in a volume that was just made
  // How many volumes that nobody has a file open in may be kept open at a time: one that is open costs
  // little or much.
  size_t open_volumes_max = 256;
};

// Keeps volumes. Knows neither names nor the catalog. All functions may be called by any thread;
// those that change one volume must not race against each other on that same volume: the Store
// sees to that. "Durable" means: survives a power cut. Errors are thrown as Error.
class Backend {
 public:
  virtual ~Backend() = default;

  // As recorded in the catalog and given in -o backend=.
  virtual std::string_view type() const noexcept = 0;
  virtual BackendCapabilities capabilities() const noexcept = 0;

  // Of those for whose snapshot somebody waits.
  RightOfWay& right_of_way() noexcept { return right_of_way_; }

  // The directory for sidecars, inside what the backend keeps, so that a lost catalog can be
  // rebuilt from the backend alone. A file there whose data has been handed to the disk with
  // WriteOutData (backend/base/write_out.h; fsync(2) where the capabilities say so) is durable once a
  // later Snapshot, Clone, CreateEmpty, Seal or WaitDurable has returned. So are its directory entry and
  // its extended attributes.
  virtual int meta_fd() const noexcept = 0;

  // Null where volumes are not made from templates.
  virtual TemplateKeeper* templates() noexcept { return nullptr; }

  // A new writable volume whose root is an empty directory (mode 0755, owner root). Durable on
  // return. EEXIST if the id is taken.
  virtual void CreateEmpty(const VolumeId& id) = 0;
  // The same with the content of a template (kDefaultTemplate is what CreateEmpty takes). Only where
  // there are templates.
  virtual void CreateFrom(const VolumeId& /*id*/, const TemplateId& /*base*/) {
    throw Error(ENOTSUP, "make a volume from a template",
                fmt::format("the backend {} has none", type()),
                "Use a store with backend=dm-snapshot or dm-thin");
  }

  // `target`: a new read-only volume, the state of the writable `source` at one moment of its
  // metadata, with all data written before the call. Durable on return.
  virtual void Snapshot(const VolumeId& source, const VolumeId& target) = 0;

  // `target`: a new writable volume that starts as the read-only `source`. Durable on return. Of a
  // source that is still being written to it takes one moment, as Snapshot does.
  virtual void Clone(const VolumeId& source, const VolumeId& target) = 0;

  // Makes a writable volume read-only for good; nothing happens if it is already. Durable on
  // return, with all data written to it before.
  virtual void Seal(const VolumeId& id) = 0;

  // Removes a volume. Returns false if there was none (so that recovery can repeat it). The name
  // is gone on return, but a power cut may bring the volume back until WaitDestroyed has
  // returned; the space comes back later.
  virtual bool Destroy(const VolumeId& id) = 0;
  // Returns when every Destroy that returned before this call is durable.
  virtual void WaitDestroyed() { WaitDurable(); }
  // The same, and all that was done to the directory for sidecars.
  virtual void WaitDurable() = 0;
  // Destroyed volumes whose space has not come back yet.
  virtual size_t PendingDestroys() const = 0;

  // All volumes, also such as the catalog does not know. Entries that no backend function made
  // (foreign files) are not listed; `ListForeign` names them.
  virtual std::vector<VolumeListing> List() const = 0;
  virtual std::vector<std::string> ListForeign() const = 0;

  // ENOENT if there is no such volume.
  virtual std::shared_ptr<Volume> Open(const VolumeId& id) const = 0;

  // Writes out what has been written to volume `id` so far, and makes it durable.
  virtual void Sync(const VolumeId& id) = 0;

  // Makes the next Snapshot of a volume that is being written to short: brings what is not yet on
  // disk down to a little, if it can. What was written before the call is durable once a later
  // Snapshot or Clone has returned, of whatever volume. Returns at once where there is little.
  virtual void WriteOut(const VolumeId& id) = 0;

  // A number that stays the same as long as nothing in the volume changes (a file's access time is
  // a part of it), and that no later state has again once a Snapshot was taken. A snapshot, and a
  // clone, start with the number of their source at that moment: to know whether a volume changed
  // since, compare its number with the snapshot's. Two changes between the same two snapshots may
  // give the same number. Changes of the last moments count only after Sync.
  virtual uint64_t ChangeMarker(const VolumeId& id) const = 0;

  virtual VolumeUsage Usage(const VolumeId& id) const = 0;

  // What turns read-only volume `older` into read-only volume `newer`, sorted by path. Takes time
  // proportional to the changes where the backend can (btrfs), else to the number of files. Modes, owners, extended attributes and contents count as
  // kModified, and so does a regular file's changed mtime; times of directories and access times
  // do not. A file that went into kPrivateDirectoryName is kRemoved, one that came out is kAdded.
  // Throws what the limits say.
  virtual DiffList Changes(const VolumeId& older, const VolumeId& newer, WorkLimits& limits,
                           Extent extent) const = 0;

  // A quick look at what Changes would look at thoroughly. False if something is found in which the two
  // differ for certain, or if more than `files_max` files would have to be looked at; true: Changes may be
  // empty. `newer` may be writable, if nobody writes to it.
  virtual bool MayBeEqual(const VolumeId& older, const VolumeId& newer, size_t files_max,
                          WorkLimits& limits) const = 0;

  virtual SpaceInfo Space() const = 0;

  // Throws ENOSPC, with what to do, when there is not enough left for a new volume to be safe.
  virtual void RequireSpaceForNewVolume() const = 0;

  virtual BackendHealth Health() const { return {}; }

  // `revived` is called by a thread of the backend's when a volume that had stopped is in use again: what
  // was written last before the stop may be lost, descriptors of its files from before fail (EIO), and
  // root_fd is another. To be called before any volume is opened, and with an empty function before what
  // it refers to ends: it is not running then on return.
  virtual void OnRevival(const std::function<void(const VolumeId&)>& /*revived*/) {}

 private:
  RightOfWay right_of_way_;
};

struct BackendOptions {
  // The size of what the backend makes for itself (the loop image), in bytes; empty: the default
  // at creation, and "as it is" later. Larger than at present grows it; smaller throws EINVAL.
  std::optional<uint64_t> size_bytes;
  // Block devices for the pool of a new dm-thin store, by path; empty: files in the store. Later the same
  // ones, or empty. Other types throw EINVAL.
  std::string pool_data_device;
  std::string pool_metadata_device;
  bool read_only = false;
  AccessTimes access_times;
};

}  // namespace ckptfs
