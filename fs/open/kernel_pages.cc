#include "fs/open/kernel_pages.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

namespace ckptfs {
namespace {

// What is requested of the kernel here takes microseconds, or the time of a WRITE.
constexpr std::chrono::milliseconds kPageWait{100};

constexpr std::chrono::milliseconds kAtOnce{1};

off_t PageBytes() {
  static const off_t bytes = sysconf(_SC_PAGESIZE);
  return bytes;
}

off_t PageBegin(off_t offset) { return offset / PageBytes() * PageBytes(); }

}  // namespace

// Waits for the work, but not for ever. The request being served can itself hold the page, if the kernel has
// just allocated it for a partial WRITE (then it holds nothing that must be hidden). Or a store can hold it
// that waits for the page's writeback, which waits for the answer to a SETATTR.
std::future<void> KernelPages::Begin(Slot slot, const std::function<void()>& task) {
  const auto done = std::make_shared<std::promise<void>>();
  helpers_.Post(slot, [task, done] {
    task();
    done->set_value();
  });
  return done->get_future();
}

void KernelPages::WriteBack(NodeId node) {
  files_.TakePagesRead(node, 0);  // the kernel drops them
  kernel_.InvalidateContent(node, 0);
}

void KernelPages::WriteBackAll(Slot slot, std::vector<NodeId> nodes) {
  if (nodes.empty()) return;
  Begin(slot, [this, nodes = std::move(nodes)] {
    for (const NodeId node : nodes) kernel_.InvalidateContent(node, 0);
  }).wait();
}

void KernelPages::DropTail(NodeId node, off_t size, const std::function<void()>& pass_freeze_lock) {
  const off_t begin = PageBegin(size);
  if (begin == size || !files_.TakePagesRead(node, static_cast<uint64_t>(begin))) return;
  const auto done =
      Begin(SlotOf(node), [this, node, begin] { kernel_.InvalidateContent(node, begin); });
  if (done.wait_for(kPageWait) == std::future_status::ready) return;
  // A WRITE that waited at a closed freeze lock has only just passed it.
  const auto begin_of_pass = std::chrono::steady_clock::now();
  pass_freeze_lock();
  const bool was_shut = std::chrono::steady_clock::now() - begin_of_pass > kAtOnce;
  done.wait_for(was_shut ? kPageWait : kPageWait / 10);
}

void KernelPages::SizeChanged(NodeId node, off_t old_size, off_t new_size) {
  const off_t page = PageBegin(old_size);
  if (new_size > old_size && page != old_size) {
    const off_t end = std::min(new_size, page + PageBytes());
    ZeroTail(node, old_size, end);
    if (end == new_size) return;  // the kernel treats it as the old size
  }
  // On the answer the kernel drops all pages of a file whose size has changed.
  if (new_size != old_size) files_.TakePagesRead(node, 0);
}

void KernelPages::ZeroTail(NodeId node, off_t begin, off_t end) {
  const auto done =
      Begin(SlotOf(node), [this, node, begin, end] { kernel_.ZeroPages(node, begin, end); });
  if (done.wait_for(kPageWait) == std::future_status::ready) return;
  spdlog::warn(
      "a page of a file that grows is in use for long: what was stored past its end may show");
}

}  // namespace ckptfs
