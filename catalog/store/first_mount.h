// A store being created, which is removed again if it cannot be mounted.
#pragma once

#include <string>

#include "backend/interface/backend.h"

namespace ckptfs {

// The directory created for a store. The destructor removes it if it is empty, unless it is kept.
class MadeDirectory {
 public:
  explicit MadeDirectory(std::string path) : path_(std::move(path)) {}
  ~MadeDirectory();
  MadeDirectory(const MadeDirectory&) = delete;
  MadeDirectory& operator=(const MadeDirectory&) = delete;

  // The directory did not exist before. Without this call, nothing is ever removed.
  void NoteMade() noexcept { made_ = true; }
  bool was_made() const noexcept { return made_; }
  void Keep() noexcept { made_ = false; }

 private:
  std::string path_;
  bool made_ = false;
};

// The first mount of a store, from before its first file is created until the mount exists and the first
// request is about to be served. Nobody can have put anything into it by then: if the mount fails, everything
// it has created is removed, and the directory is as before. Meanwhile the directory contains a note
// (kFileName), so that the next mount cleans up if this one is killed.
//
// Used by one thread, which holds the store's lock. Destroyed after catalog and backend are closed.
class FirstMount {
 public:
  static constexpr char kFileName[] = "unfinished";

  // `directory` may be told that it was created for an interrupted first mount. `options`: of this mount.
  // Both must outlive this object.
  FirstMount(int store_fd, MadeDirectory& directory, const BackendOptions& options);
  // Removes what was created, if Begin was called but not Finish.
  ~FirstMount();
  FirstMount(const FirstMount&) = delete;
  FirstMount& operator=(const FirstMount&) = delete;

  // Another process began and was killed.
  bool was_cut_short() const noexcept { return cut_short_; }
  // Removes what that process created; the note goes last.
  void TakeAwayRest();

  // There is no store: a leftover lock does not mean that anything was lost.
  void NoteNothingThere() noexcept { nothing_there_ = true; }
  // True after NoteNothingThere, for the lifetime of this object.
  bool nothing_there() const noexcept { return nothing_there_; }
  // Called before anything is created. The note is durable on return. Throws Error.
  void Begin();
  // From here on it is a store like any other. Also called if the note is found to be wrong. If it throws,
  // the store remains unfinished.
  void Finish();

 private:
  void TakeAway() const;

  int store_fd_;
  MadeDirectory& directory_;
  const BackendOptions& backend_options_;
  bool cut_short_ = false;
  bool under_way_ = false;
  bool nothing_there_ = false;
};

// Whether the note exists.
bool IsUnfinishedStore(int store_fd);

}  // namespace ckptfs
