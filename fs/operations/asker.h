// Who asks for a verb.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

namespace ckptfs {

// What a process may do whoever a file belongs to: its capabilities, which in a user namespace hold over
// files whose owner and group both have a number there.
class Powers {
 public:
  struct IdRange {
    uint64_t first = 0;  // as the daemon numbers users and groups
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

// Those of a thread, by its number in the daemon's PID namespace; none if the daemon cannot see it. Only of
// a thread that waits for the answer to its request: it can neither end, so that another gets its
// number, nor change its capabilities.
Powers PowersOf(pid_t thread);

// What it takes a look into /proc to know.
struct FurtherCredentials {
  std::vector<gid_t> groups;  // beside the first
  Powers powers;
};

// One user, with all that decides about rights. Used by one thread.
class Asker {
 public:
  // `load` is called at most once, when it matters.
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
