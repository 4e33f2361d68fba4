// A store that is being made, and is taken away again if it cannot be mounted.
#pragma once

#include <string>

#include "backend/backend.h"

namespace ckptfs {

// The directory that was made for a store. Removed at the end, if it is empty, unless it is kept.
class MadeDirectory {
 public:
  explicit MadeDirectory(std::string path) : path_(std::move(path)) {}
  ~MadeDirectory();
  MadeDirectory(const MadeDirectory&) = delete;
  MadeDirectory& operator=(const MadeDirectory&) = delete;

  // It was not there before. Until then nothing is ever removed.
  void NoteMade() noexcept { made_ = true; }
  bool was_made() const noexcept { return made_; }
  void Keep() noexcept { made_ = false; }

 private:
  std::string path_;
  bool made_ = false;
};

// The first mount of a store, from before the first file of it is made until the mount is there and the
// first request is about to be served. In between nobody can have put anything into it: if the mount fails
// then, all that it has made goes, and the directory is as it was found. While this lasts a note stands in
// the directory (kFileName), so that the next mount does the same where this one was killed.
//
// For one thread, which holds the store's lock. Ends after catalog and backend are closed.
class FirstMount {
 public:
  static constexpr char kFileName[] = "unfinished";

  // `directory` may be told that it was made for a first mount that was cut short.
  // `options`: of this mount. They must outlive this.
  FirstMount(int store_fd, MadeDirectory& directory, const BackendOptions& options);
  // Takes away what was made, if there was a beginning and no end.
  ~FirstMount();
  FirstMount(const FirstMount&) = delete;
  FirstMount& operator=(const FirstMount&) = delete;

  // Another process has begun and was killed.
  bool was_cut_short() const noexcept { return cut_short_; }
  // Removes what that has made, and the note last.
  void TakeAwayRest();

  // There is no store: a lock left behind tells of nothing that was lost.
  void NoteNothingThere() noexcept { nothing_there_ = true; }
  // True from then on, and while this lasts.
  bool nothing_there() const noexcept { return nothing_there_; }
  // To be called before anything is made. The note is durable on return. Throws Error.
  void Begin();
  // From here on it is a store like any other; so is one whose note is found to be wrong. What it throws
  // leaves it unfinished.
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

// Whether the note is there.
bool IsUnfinishedStore(int store_fd);

}  // namespace ckptfs
