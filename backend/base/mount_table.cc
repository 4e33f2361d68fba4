#include "backend/base/mount_table.h"

#include <libmount/libmount.h>

#include <memory>

namespace ckptfs {
namespace {

std::string TextOf(const char* text) { return text == nullptr ? "" : text; }

}  // namespace

std::vector<Mount> ReadMounts(const std::string& mountinfo) {
  const std::unique_ptr<libmnt_table, void (*)(libmnt_table*)> table(
      mnt_new_table_from_file(mountinfo.c_str()), mnt_unref_table);
  const std::unique_ptr<libmnt_iter, void (*)(libmnt_iter*)> iterator(
      mnt_new_iter(MNT_ITER_FORWARD), mnt_free_iter);
  std::vector<Mount> mounts;
  libmnt_fs* fs = nullptr;
  while (table && iterator && mnt_table_next_fs(table.get(), iterator.get(), &fs) == 0) {
    mounts.push_back({.id = mnt_fs_get_id(fs),
                      .device = mnt_fs_get_devno(fs),
                      .root = TextOf(mnt_fs_get_root(fs)),
                      .target = TextOf(mnt_fs_get_target(fs)),
                      .type = TextOf(mnt_fs_get_fstype(fs)),
                      .source = TextOf(mnt_fs_get_source(fs))});
  }
  return mounts;
}

}  // namespace ckptfs
