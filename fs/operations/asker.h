// The requester of a verb.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

namespace ckptfs {

// What a process may do regardless of file ownership: its capabilities. In a user namespace they apply only
// to files whose owner and group are both mapped there.
class Powers {
 public:
  struct IdRange {
    uint64_t first = 0;  // in the daemon's user namespace
    uint64_t count = 0;
  };

  Powers() = default;
  Powers(uint64_t capabilities, std::vector<IdRange> users, std::vector<IdRange> groups)
      : capabilities_(capabilities), users_(std::move(users)), groups_(std::move(groups)) {}

  // `capability` as in <linux/capability.h>.
  bool Over(int capability, uid_t owner, gid_t group) const;

 private:
  uint64_t capabilities_ = 0;
  std::vector<IdRange> users_, groups_;
};

// The powers of a thread, by its TID in the daemon's PID namespace; none if the daemon cannot see it. Only
// for a thread that is waiting for the reply to its request: it cannot exit (so its TID cannot be reused) and
// cannot change its capabilities.
Powers PowersOf(pid_t thread);

// Credentials that have to be read from /proc.
struct FurtherCredentials {
  std::vector<gid_t> groups;  // supplementary
  Powers powers;
};

// One user, with everything that decides the user's rights. Used by one thread.
class Asker {
 public:
  // `load` is called at most once, and only if its result is needed.
  Asker(uid_t uid, gid_t gid, std::function<FurtherCredentials()> load)
      : uid_(uid), gid_(gid), load_(std::move(load)) {}

  uid_t uid() const noexcept { return uid_; }
  gid_t gid() const noexcept { return gid_; }
  const FurtherCredentials& further() const {
    if (!further_) further_ = load_();
    return *further_;
  }

 private:
  uid_t uid_;
  gid_t gid_;
  std::function<FurtherCredentials()> load_;
  mutable std::optional<FurtherCredentials> further_;
};

}  // namespace ckptfs
