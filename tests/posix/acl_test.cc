// POSIX ACLs.
#include <acl/libacl.h>
#include <sys/acl.h>
#include <sys/xattr.h>

#include <memory>

#include "tests/posix/posix_test.h"

namespace ckptfs::testing {
namespace {

class Acls : public PosixTest {};

using AclPointer = std::unique_ptr<std::remove_pointer_t<acl_t>, int (*)(void*)>;

int SetAcl(const std::string& path, acl_type_t type, const std::string& text) {
  const AclPointer acl(acl_from_text(text.c_str()), acl_free);
  EXPECT_TRUE(acl) << text;
  return acl ? acl_set_file(path.c_str(), type, acl.get()) : -1;
}

// In short form, with numbers: "u::rw-,u:61001:r--,...".
std::string GetAcl(const std::string& path, acl_type_t type = ACL_TYPE_ACCESS) {
  const AclPointer acl(acl_get_file(path.c_str(), type), acl_free);
  if (!acl) return "error " + ErrnoOf(-1);
  const std::unique_ptr<char, int (*)(void*)> text(
      acl_to_any_text(acl.get(), nullptr, ',', TEXT_ABBREVIATE | TEXT_NUMERIC_IDS), acl_free);
  return text ? text.get() : "";
}

// "u::rwx,...,u:61001:PERMISSIONS,..."
std::string ForAlice(const std::string& permissions, const std::string& mask,
                     const std::string& group = "r-x", const std::string& other = "---") {
  return "u::rwx,u:" + std::to_string(kAlice.uid) + ":" + permissions + ",g::" + group +
         ",m::" + mask + ",o::" + other;
}

bool MayOpen(const User& user, const std::string& path, int flags) {
  return AsUser(user, [&] { EXPECT_OK(open(path.c_str(), flags)); });
}

TEST_F(Acls, ANamedUserIsLetIn) {
  WriteFile(Path("file"), "x", 0700);
  Chmod(Path("file"), 0700);
  const struct stat before = Stat(Path("file"));
  LetTheClockTick();
  ASSERT_OK(SetAcl(Path("file"), ACL_TYPE_ACCESS, ForAlice("rw-", "rwx")));
  EXPECT_EQ(GetAcl(Path("file")), ForAlice("rw-", "rwx"));
  EXPECT_EQ(Mode(Path("file")), 0770U) << "the group's bits of the mode are the mask";
  EXPECT_GT(Ctime(Stat(Path("file"))), Ctime(before));
  EXPECT_TRUE(MayOpen(kAlice, Path("file"), O_RDWR));
  EXPECT_TRUE(AsUser(kBob, [&] { EXPECT_ERRNO(EACCES, open(Path("file").c_str(), O_RDONLY)); }));
}

TEST_F(Acls, TheMaskLimits) {
  WriteFile(Path("file"), "x");
  ASSERT_OK(SetAcl(Path("file"), ACL_TYPE_ACCESS, ForAlice("rwx", "r--")));
  const auto alice_cannot_write = [&] {
    EXPECT_OK(open(Path("file").c_str(), O_RDONLY));
    EXPECT_ERRNO(EACCES, open(Path("file").c_str(), O_WRONLY));
    EXPECT_ERRNO(EACCES, access(Path("file").c_str(), X_OK));
  };
  EXPECT_TRUE(AsUser(kAlice, alice_cannot_write));
  // chmod(2) moves the mask, and the kernel must not go on by the ACL that it knew.
  Chmod(Path("file"), 0770);
  EXPECT_EQ(GetAcl(Path("file")), ForAlice("rwx", "rwx"));
  EXPECT_TRUE(MayOpen(kAlice, Path("file"), O_RDWR));
  Chmod(Path("file"), 0740);
  EXPECT_TRUE(AsUser(kAlice, alice_cannot_write));
  ASSERT_OK(SetAcl(Path("file"), ACL_TYPE_ACCESS, "u::rwx,g::rwx,o::---"));
  EXPECT_EQ(GetAcl(Path("file")), "u::rwx,g::rwx,o::---");
  EXPECT_ERRNO(ENODATA, lgetxattr(Path("file").c_str(), "system.posix_acl_access", nullptr, 0))
      << "an ACL that says no more than the mode is none";
  EXPECT_TRUE(AsUser(kAlice, [&] { EXPECT_ERRNO(EACCES, open(Path("file").c_str(), O_RDONLY)); }));
}

TEST_F(Acls, NamedGroups) {
  WriteFile(Path("file"), "x", 0600);
  const std::string team = std::to_string(kTeam);
  ASSERT_OK(
      SetAcl(Path("file"), ACL_TYPE_ACCESS, "u::rw-,g::---,g:" + team + ":r--,m::r--,o::---"));
  const User member{.uid = kBob.uid, .gid = kBob.gid, .groups = {kTeam}};
  EXPECT_TRUE(MayOpen(member, Path("file"), O_RDONLY));
  EXPECT_TRUE(AsUser(kBob, [&] { EXPECT_ERRNO(EACCES, open(Path("file").c_str(), O_RDONLY)); }));
}

TEST_F(Acls, ADefaultAclIsInherited) {
  ASSERT_OK(mkdir(Path("d").c_str(), 0777));
  Chmod(Path("d"), 0777);
  const std::string acl = ForAlice("rwx", "rwx");
  ASSERT_OK(SetAcl(Path("d"), ACL_TYPE_DEFAULT, acl));
  EXPECT_EQ(GetAcl(Path("d"), ACL_TYPE_DEFAULT), acl);
  EXPECT_EQ(Mode(Path("d")), 0777U);
  const mode_t saved = umask(077);  // does not count below a default ACL
  WriteFile(Path("d/file"), "x", 0666);
  ASSERT_OK(mkdir(Path("d/sub").c_str(), 0777));
  ASSERT_OK(mkfifo(Path("d/fifo").c_str(), 0666));
  ASSERT_OK(mknod(Path("d/node").c_str(), S_IFREG | 0666, 0));
  ASSERT_OK(symlink("file", Path("d/symlink").c_str()));
  WriteFile(Path("d/narrow"), "x", 0600);
  umask(saved);
  for (const char* name : {"d/file", "d/fifo", "d/node"}) {
    SCOPED_TRACE(name);
    EXPECT_EQ(Mode(Path(name)), 0660U);
    EXPECT_EQ(GetAcl(Path(name)), "u::rw-,u:61001:rwx,g::r-x,m::rw-,o::---");
  }
  EXPECT_EQ(Mode(Path("d/narrow")), 0600U);
  EXPECT_EQ(GetAcl(Path("d/narrow")), "u::rw-,u:61001:rwx,g::r-x,m::---,o::---");
  EXPECT_EQ(Mode(Path("d/sub")), 0770U);
  EXPECT_EQ(GetAcl(Path("d/sub"), ACL_TYPE_DEFAULT), acl);
  EXPECT_EQ(GetAcl(Path("d/sub")), acl);
  EXPECT_TRUE(MayOpen(kAlice, Path("d/file"), O_RDWR));
  EXPECT_TRUE(AsUser(kAlice, [&] { WriteFile(Path("d/sub/alice's"), "x"); }));
  EXPECT_TRUE(AsUser(kBob, [&] {
    EXPECT_ERRNO(EACCES, open(Path("d/file").c_str(), O_RDONLY));
    EXPECT_ERRNO(EACCES, mkdir(Path("d/sub/x").c_str(), 0777));
  }));
  EXPECT_OK(acl_delete_def_file(Path("d").c_str()));
  EXPECT_EQ(GetAcl(Path("d"), ACL_TYPE_DEFAULT), "");
  WriteFile(Path("d/later"), "x", 0666);
  EXPECT_EQ(Mode(Path("d/later")), 0644U);
  EXPECT_EQ(GetAcl(Path("d/later")), "u::rw-,g::r--,o::r--");
}

TEST_F(Acls, UnnamedFilesInheritToo) {
  ASSERT_OK(mkdir(Path("d").c_str(), 0777));
  ASSERT_OK(SetAcl(Path("d"), ACL_TYPE_DEFAULT, ForAlice("rwx", "rwx")));
  const UniqueFd fd = Open(Path("d"), O_TMPFILE | O_RDWR, 0666);
  ASSERT_OK(linkat(fd.get(), "", AT_FDCWD, Path("d/named").c_str(), AT_EMPTY_PATH));
  EXPECT_EQ(GetAcl(Path("d/named")), "u::rw-,u:61001:rwx,g::r-x,m::rw-,o::---");
}

TEST_F(Acls, DirectoriesAreSearchedByTheirAcl) {
  ASSERT_OK(mkdir(Path("d").c_str(), 0700));
  WriteFile(Path("d/file"), "x", 0644);
  ASSERT_OK(SetAcl(Path("d"), ACL_TYPE_ACCESS, ForAlice("--x", "rwx", "---")));
  EXPECT_TRUE(AsUser(kAlice, [&] {
    EXPECT_OK(open(Path("d/file").c_str(), O_RDONLY));
    EXPECT_ERRNO(EACCES, open(Path("d").c_str(), O_RDONLY));
  }));
  EXPECT_TRUE(AsUser(kBob, [&] { EXPECT_ERRNO(EACCES, open(Path("d/file").c_str(), O_RDONLY)); }));
}

TEST_F(Acls, WhoMaySetThem) {
  WriteFile(Path("file"), "x", 0666);
  Chmod(Path("file"), 0666);
  EXPECT_TRUE(AsUser(kAlice, [&] {
    EXPECT_ERRNO(EPERM, SetAcl(Path("file"), ACL_TYPE_ACCESS, ForAlice("rwx", "rwx")));
    WriteFile(Path("mine"), "x", 0600);
    EXPECT_OK(SetAcl(Path("mine"), ACL_TYPE_ACCESS, "u::rw-,u:61002:r--,g::---,m::r--,o::---"));
  }));
  EXPECT_TRUE(MayOpen(kBob, Path("mine"), O_RDONLY));
  EXPECT_ERRNO(EACCES, SetAcl(Path("file"), ACL_TYPE_DEFAULT, ForAlice("rwx", "rwx")))
      << "only directories have defaults";
  EXPECT_ERRNO(EINVAL, lsetxattr(Path("file").c_str(), "system.posix_acl_access", "bad", 3, 0));
  EXPECT_ERRNO(EOPNOTSUPP,
               lsetxattr(Path("file").c_str(), "system.posix_acl_access", "junk", 4, 0));
}

TEST_F(Acls, SettingOneMayTakeTheSetGroupIdBit) {
  // Alice owns the file, but is not in its group.
  WriteFile(Path("file"), "x");
  Chown(Path("file"), kAlice.uid, kTeam);
  const std::string acl = "u::rwx,u:61002:r--,g::r-x,m::r-x,o::---";
  Chmod(Path("file"), 02755);
  EXPECT_TRUE(AsUser(kAlice, [&] { EXPECT_OK(SetAcl(Path("file"), ACL_TYPE_ACCESS, acl)); }));
  EXPECT_EQ(Mode(Path("file")), 0750U);
  Chmod(Path("file"), 02755);
  const User member{.uid = kAlice.uid, .gid = kAlice.gid, .groups = {kTeam}};
  EXPECT_TRUE(AsUser(member, [&] { EXPECT_OK(SetAcl(Path("file"), ACL_TYPE_ACCESS, acl)); }));
  EXPECT_EQ(Mode(Path("file")), 02750U);
  Chmod(Path("file"), 02755);
  EXPECT_OK(SetAcl(Path("file"), ACL_TYPE_ACCESS, acl));
  EXPECT_EQ(Mode(Path("file")), 02750U);
}

}  // namespace
}  // namespace ckptfs::testing
