#include "fs/open/open_file.h"

#include <algorithm>
#include <limits>

namespace ckptfs {

void OpenFile::Add(uid_t user) {
  ++opens;
  const auto known = std::find_if(users.begin(), users.end(),
                                  [user](const User& one) { return one.user == user; });
  if (known != users.end()) {
    ++known->opens;
  } else {
    users.push_back({.user = user, .opens = 1});
  }
}

void OpenFile::Remove(uid_t user) {
  --opens;
  const auto known = std::find_if(users.begin(), users.end(),
                                  [user](const User& one) { return one.user == user; });
  if (known == users.end() || --known->opens > 0) return;
  users.erase(known);
  if (users.empty()) return;
  const uid_t other = users.front().user;
  for (DescriptorClaim* const held : {&claim, &append_claim}) {
    if (held->user() == user) held->PassTo(other);
  }
}

uint64_t OpenFile::AddWriter(NodeId node, const OpenWish& wish, const OpenReply& reply) {
  writers.push_front({.node = node,
                      .pid = wish.pid,
                      .user = wish.user,
                      .through_daemon = reply.backing_id == 0,
                      .append_only = wish.append_only,
                      .uncached = reply.uncached});
  return reinterpret_cast<uint64_t>(&writers.front());
}

WriterHandle* OpenFile::Writer(uint64_t handle) noexcept {
  for (WriterHandle& writer : writers) {
    if (reinterpret_cast<uint64_t>(&writer) == handle) return &writer;
  }
  return nullptr;
}

std::optional<WriterHandle> OpenFile::TakeWriter(uint64_t handle) {
  for (auto i = writers.begin(); i != writers.end(); ++i) {
    if (reinterpret_cast<uint64_t>(&*i) != handle) continue;
    const WriterHandle taken = *i;
    writers.erase(i);
    return taken;
  }
  return std::nullopt;
}

// At an open that does not keep pages the kernel drops them, and so does this record of what was read, unless
// stores may have gone to them.
void OpenFile::NotePages(bool keeps_pages) {
  if (keeps_pages && opens == 1) {
    read_end = std::numeric_limits<uint64_t>::max();
  } else if (!keeps_pages && writers.empty()) {
    read_end = 0;
  }
}

}  // namespace ckptfs
