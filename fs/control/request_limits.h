// Limits on the daemon's memory and time that control requests may use.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <cstddef>
#include <list>
#include <map>

#include "backend/base/mutex.h"
#include "backend/base/work_limits.h"

namespace ckptfs::control {

class Answer;

// Memory and turns of the requests of one mount, in shares per user, so that no user takes what others need.
// Thread-safe.
class RequestShares {
 public:
  // Memory held by comparisons: in total, and per user. Root's is counted separately.
  static constexpr size_t kBytesMax = size_t{128} << 20;
  static constexpr size_t kBytesMaxOfUser = size_t{80} << 20;
  static constexpr size_t kBytesMaxOfRoot = size_t{1} << 30;
  // How many expensive requests of one user run at once. Others wait for their turn.
  static constexpr size_t kTurnsOfUser = 2;

  RequestShares() = default;
  ~RequestShares() = default;
  RequestShares(const RequestShares&) = delete;
  RequestShares& operator=(const RequestShares&) = delete;

 private:
  friend class RequestLimits;
  friend class Turn;

  // What one request holds.
  struct Holding {
    uid_t uid = 0;
    Answer* answer = nullptr;
    size_t bytes = 0;
    bool is_given_up = false;
  };

  size_t BytesOf(uid_t uid) const REQUIRES(mutex_);
  size_t BytesOfUsers() const REQUIRES(mutex_);
  // Of the requests whose readers do not read, gives up the one that holds the most. False: there is none.
  bool GiveUpStalled(const Holding& except) REQUIRES(mutex_);

  Mutex mutex_;
  std::condition_variable given_;
  std::list<Holding> holdings_ GUARDED_BY(mutex_);
  std::map<uid_t, size_t> turns_ GUARDED_BY(mutex_);
};

// The limits of one request. Its memory comes out of its user's share. If all users together hold too much,
// requests whose answers have not been read for a while are given up for others. Used by one thread.
class RequestLimits : public WorkLimits {
 public:
  RequestLimits(RequestShares& shares, uid_t uid, Answer& answer);
  ~RequestLimits() override;
  RequestLimits(const RequestLimits&) = delete;
  RequestLimits& operator=(const RequestLimits&) = delete;

  void RequireWanted() override;
  void Take(size_t bytes) override;
  void Give(size_t bytes) noexcept override;

 private:
  friend class Turn;

  RequestShares& shares_;
  std::list<RequestShares::Holding>::iterator holding_;
  size_t bytes_max_ = 0;  // the maximum that it held
};

// Waits for this request's turn, and keeps it for the object's lifetime. Throws LimitError ECANCELED.
class Turn {
 public:
  explicit Turn(RequestLimits& limits);
  ~Turn();
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  RequestShares& shares_;
  uid_t uid_;
};

}  // namespace ckptfs::control
