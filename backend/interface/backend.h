// The interface of all backends, which store copy-on-write volumes.
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
#include "backend/interface/storage_state.h"
#include "backend/interface/templates.h"
#include "backend/mount/access_times.h"

namespace ckptfs {

// Distinguishes a file of a volume from every other that this volume ever had: inode numbers are reused over
// time, the pair is not. Stable across Snapshot and Clone: the copy of a file in another volume has the same
// FileId.
struct FileId {
  uint64_t inode = 0;
  uint32_t generation = 0;
  bool operator==(const FileId&) const = default;
};

// An open volume. Files in it are reached by inode number, without a path walk and without a descriptor per
// known file. Shared by reference. The volume can be destroyed in the backend meanwhile; its files then go
// away when the last descriptor is closed. Thread-safe.
class Volume {
 public:
  virtual ~Volume() = default;
  Volume(const Volume&) = delete;
  Volume& operator=(const Volume&) = delete;

  const VolumeId& id() const noexcept { return id_; }

  // A directory descriptor (O_RDONLY, not O_PATH) of the volume's root. Valid for the lifetime of this
  // object, even after a revival has replaced it.
  virtual int root_fd() const noexcept = 0;
  virtual uint64_t root_inode() const noexcept = 0;

  // Opens the file with that inode number. `flags` are those of open(2), including O_PATH; O_CLOEXEC is
  // implied. Generation 0 matches any. Throws Error: ESTALE if there is no such file (any more), or the errno
  // of open(2).
  virtual UniqueFd OpenInode(FileId file, int flags) const = 0;

  // Whether a new file may get the inode number of a deleted one while this is open.
  virtual bool ReusesInodeNumbers() const noexcept { return false; }

  // The identity of `name` in the directory `dir_fd` of this volume, or of `dir_fd` itself if `name` is
  // empty. Symlinks are not followed. Throws Error as name_to_handle_at(2) does, and EXDEV if the name leads
  // out of this volume (a nested subvolume, a mount).
  virtual FileId Identify(int dir_fd, const char* name) const = 0;

  // One of the names of that inode, as a path relative to the root, without a leading slash. Empty if it has
  // none, or if finding one would need a search. In a writable volume this may be a name that was just
  // removed.
  virtual std::string PathOf(uint64_t /*inode*/) const { return {}; }

  // Whether it refuses changes because it ran out of space; reading may still work. Ends with its revival
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
  uint64_t referenced_bytes = 0;  // used by the volume's files, shared or not
  uint64_t exclusive_bytes = 0;   // freed if the volume is destroyed
};

// Problems that need an administrator.
struct BackendHealth {
  std::vector<std::string> warnings;  // one sentence each, with the remedy
  std::vector<VolumeId> stopped;      // Volume::HasStopped
};

// A file, half made by an operation that did not come to its end, that nobody is writing.
struct LeftoverFile {
  std::string name;  // below the store's directory
  uint64_t bytes = 0;
  int64_t changed_ns = 0;
};

struct SpaceInfo {
  uint64_t total_bytes = 0;
  uint64_t used_bytes = 0;
  uint64_t free_bytes = 0;  // writable space, including the host's limits
};

enum class DiffKind { kAdded, kRemoved, kModified, kRenamed };

// One change between two volumes. Paths are relative to the volume's root, without a leading or trailing
// slash, and may contain any byte except NUL.
struct DiffEntry {
  DiffKind kind = DiffKind::kModified;
  std::string path;      // in the newer volume (for kRemoved: in the older)
  std::string old_path;  // for kRenamed only
  bool is_directory = false;
};

class DiffList;  // backend/compare/diff_list.h

// Which changes are wanted: all, or only whether there is one.
enum class Extent { kAll, kFirst };

struct BackendCapabilities {
  bool clone_is_constant_time = false;
  bool nested_volumes_possible = false;  // nested subvolumes can exist and are not snapshotted
  bool meta_needs_fsync = false;         // see meta_fd
  bool snapshots_tell_paths = true;      // Volume::PathOf works in a volume that was just made
  // How many volumes without open files may be kept open: an open volume costs much or little, depending on
  // the backend.
  size_t open_volumes_max = 256;
};

// Stores volumes. Knows neither names nor the catalog. Thread-safe, but functions that change the same volume
// must not run concurrently: the Store ensures that. "Durable" means: survives a power failure. Errors are
// thrown as Error.
class Backend {
 public:
  virtual ~Backend() = default;

  // As recorded in the catalog and given by -o backend=.
  virtual std::string_view type() const noexcept = 0;
  virtual BackendCapabilities capabilities() const noexcept = 0;

  // The right of way of snapshots that somebody waits for.
  RightOfWay& right_of_way() noexcept { return right_of_way_; }

  // The directory for sidecars, within the backend's storage, so that a lost catalog can be rebuilt from the
  // backend alone. A file there that has been written out by WriteOutData (backend/base/write_out.h; fsync(2)
  // if the capabilities say so) is durable once a later Snapshot, Clone, CreateEmpty, Seal or WaitDurable has
  // returned. So are its directory entry and its extended attributes.
  virtual int meta_fd() const noexcept = 0;

  // Null if volumes are not made from templates.
  virtual TemplateKeeper* templates() noexcept { return nullptr; }

  // Creates a writable volume whose root is an empty directory (mode 0755, owner root). Durable on return.
  // EEXIST if the id is taken.
  virtual void CreateEmpty(const VolumeId& id) = 0;
  // The same with the content of a template (CreateEmpty uses kDefaultTemplate). Only if there are templates.
  virtual void CreateFrom(const VolumeId& /*id*/, const TemplateId& /*base*/) {
    throw Error(ENOTSUP, "make a volume from a template",
                fmt::format("the backend {} has none", type()),
                "Use a store with backend=dm-snapshot or dm-thin");
  }

  // Creates the read-only volume `target`: the state of the writable `source` at one moment of its metadata,
  // with all data written before the call. Durable on return.
  virtual void Snapshot(const VolumeId& source, const VolumeId& target) = 0;

  // Creates the writable volume `target`, which starts as the read-only `source`. Durable on return. If
  // programs are still writing to the source, the copy is of one moment, as with Snapshot.
  virtual void Clone(const VolumeId& source, const VolumeId& target) = 0;

  // Makes a writable volume permanently read-only; does nothing if it already is. Durable on return,
  // including all data written to it before.
  virtual void Seal(const VolumeId& id) = 0;

  // Removes a volume. Returns false if there was none (so that recovery can repeat it). On return the name is
  // gone, but until WaitDestroyed has returned, a power failure may bring the volume back. The space is freed
  // later.
  virtual bool Destroy(const VolumeId& id) = 0;
  // Returns when every Destroy that returned before this call is durable.
  virtual void WaitDestroyed() { WaitDurable(); }
  // The same, and for all changes to the directory for sidecars.
  virtual void WaitDurable() = 0;
  // Destroyed volumes whose space has not been freed yet.
  virtual size_t PendingDestroys() const = 0;

  // Hurries the freeing of that space. On return, that of volumes which PendingDestroys no longer counted at
  // the call is free. May write out everything.
  virtual void Reclaim() const {}

  // All volumes, including those that the catalog does not know. Foreign files are not listed; `ListForeign`
  // names them.
  virtual std::vector<VolumeListing> List() const = 0;
  virtual std::vector<std::string> ListForeign() const = 0;

  // ENOENT if there is no such volume.
  virtual std::shared_ptr<Volume> Open(const VolumeId& id) const = 0;

  // Writes out all data written to volume `id` so far, and makes it durable.
  virtual void Sync(const VolumeId& id) = 0;

  // Shortens the next Snapshot of a volume in use: writes out dirty data until little is left, if possible.
  // Data written before the call is durable once a later Snapshot or Clone of any volume has returned.
  // Returns at once if there is little dirty data.
  virtual void WriteOut(const VolumeId& id) = 0;

  // A number that stays the same as long as nothing in the volume changes (access times included), and that
  // no later state has again once a Snapshot was taken. A snapshot or clone starts with its source's number
  // of that moment: to find out whether a volume has changed since a snapshot, compare the numbers. Two
  // changes between the same two snapshots may give the same number. Recent changes count only after
  // SettleChanges.
  virtual uint64_t ChangeMarker(const VolumeId& id) const = 0;
  // On return, ChangeMarker counts every change made before the call. Makes nothing durable, and waits for no
  // other volume's data, if the backend can do without.
  virtual void SettleChanges(const VolumeId& id) { Sync(id); }

  virtual VolumeUsage Usage(const VolumeId& id) const = 0;

  // The changes from read-only volume `older` to read-only volume `newer`, sorted by path. Takes time
  // proportional to the changes if the backend can do that (btrfs), else to the number of files. Modes,
  // owners, extended attributes and contents count as kModified, and so does a regular file's changed mtime;
  // times of directories and access times do not count. A file moved into kPrivateDirectoryName is kRemoved,
  // one moved out of it is kAdded. Throws the errors of the limits.
  virtual DiffList Changes(const VolumeId& older, const VolumeId& newer, WorkLimits& limits,
                           Extent extent) const = 0;

  // A quick version of Changes. False if the two certainly differ, or if more than `files_max` files would
  // have to be examined. True: Changes may be empty. `newer` may be writable, if nobody writes to it.
  virtual bool MayBeEqual(const VolumeId& older, const VolumeId& newer, size_t files_max,
                          WorkLimits& limits) const = 0;

  virtual SpaceInfo Space() const = 0;

  // The places that can run short, e.g. an image, its metadata and the disk below it. Throws Error.
  virtual std::vector<SpaceLevel> SpaceLevels() const = 0;

  // To be called after the store itself has taken much of the disk below: what depends on that disk's free space
  // is right on return, and need not wait for the next look at it.
  virtual void FollowDisk() {}

  // Of ours only.
  virtual std::vector<LeftoverFile> Leftovers() const { return {}; }
  // False if Leftovers does not list it any more.
  virtual bool RemoveLeftover(const std::string& /*name*/) { return false; }

  // Returns blocks that the volumes do not use any more to the disk below, if it is a disk of the store's
  // own; those of volumes and files removed before this call are included, unless that takes too long.
  // Returns how many bytes that disk has got back.
  virtual uint64_t ReturnFreedBlocks() { return 0; }

  // May take seconds if writes may have been lost.
  virtual BackendHealth Health() const { return {}; }
  // Somebody got an error for what had been written to a file: Health is to look closer.
  virtual void SuspectLostWrites() noexcept {}
  // Empty: none is known. Quick; Health looks closer.
  virtual std::optional<StorageFailure> Failure() const { return std::nullopt; }

  // `revived` is called by a thread of the backend when a stopped volume works again: the last writes before
  // the stop may be lost, old descriptors of its files fail (EIO), and root_fd is a new one. Call this before
  // any volume is opened. Before what it refers to is destroyed, call it with an empty function: on return,
  // `revived` is not running.
  virtual void OnRevival(const std::function<void(const VolumeId&)>& /*revived*/) {}

 private:
  RightOfWay right_of_way_;
};

struct BackendOptions {
  // The size of the backend's own storage (the loop image), in bytes. Empty: the default at creation, and
  // unchanged later. A larger size than the present one grows it; a smaller one throws EINVAL.
  std::optional<uint64_t> size_bytes;
  // Block devices for the pool of a new dm-thin store, by path; empty: files in the store. Later the same
  // ones, or empty. Other types throw EINVAL.
  std::string pool_data_device;
  std::string pool_metadata_device;
  bool read_only = false;
  AccessTimes access_times;
};

}  // namespace ckptfs
