#include "tools/ckptfs/options.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "backend/base/error.h"

namespace ckptfs {
namespace {

CommandLine Parse(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "/usr/bin/ckptfs");
  return ParseCommandLine(arguments);
}

std::string WhyNot(std::vector<std::string> arguments) {
  try {
    Parse(std::move(arguments));
  } catch (const Error& error) {
    EXPECT_EQ(error.errno_value(), EINVAL);
    return error.what();
  }
  return "accepted";
}

TEST(OptionsTest, Defaults) {
  const CommandLine line = Parse({"/store", "/mnt"});
  EXPECT_EQ(line.action, Action::kMount);
  EXPECT_EQ(line.store.path, "/store");
  EXPECT_EQ(line.mount.mountpoint, "/mnt");
  EXPECT_EQ(line.store.backend, "auto");
  EXPECT_TRUE(line.store.create);
  EXPECT_TRUE(line.store.undo);
  EXPECT_EQ(line.store.undo_keep, 10U);
  EXPECT_EQ(line.store.undo_keep_time, std::chrono::hours(1));
  EXPECT_FALSE(line.store.read_only);
  EXPECT_FALSE(line.foreground);
  EXPECT_FALSE(line.store.backend_options.size_bytes.has_value());
  EXPECT_EQ(line.fuse.kernel_options, (std::vector<std::string>{"nosuid", "nodev"}));
}

TEST(OptionsTest, TakesEveryOption) {
  const CommandLine line =
      Parse({"-f", "-o", "backend=btrfs-loop,size=2G,snapdir=visible,busy=detach", "-o",
             "undo=off,undo_keep=3,undo_keep_time=2d,io_uring=off,nocreate,ro,noatime,suid",
             "/store", "/mnt"});
  EXPECT_TRUE(line.foreground);
  EXPECT_EQ(line.store.backend, "btrfs-loop");
  EXPECT_EQ(line.store.backend_options.size_bytes, uint64_t{2} << 30);
  EXPECT_EQ(line.mount.snapshot_directory, SnapshotDirectory::kVisible);
  EXPECT_TRUE(line.mount.detach_busy);
  EXPECT_FALSE(line.store.undo);
  EXPECT_EQ(line.store.undo_keep, 3U);
  EXPECT_EQ(line.store.undo_keep_time, std::chrono::hours(48));
  EXPECT_EQ(line.fuse.io_uring, IoUring::kOff);
  EXPECT_FALSE(line.store.create);
  EXPECT_TRUE(line.store.read_only);
  EXPECT_EQ(line.store.backend_options.access_times.rule, AccessTimeRule::kNone);
  EXPECT_EQ(line.fuse.kernel_options.back(), "suid");
}

TEST(OptionsTest, UnderstandsMount8) {
  const CommandLine line = ParseCommandLine(
      {"/sbin/mount.fuse.ckptfs", "/store", "/mnt", "-sn", "-o",
       "rw,defaults,noauto,nofail,x-systemd.automount,_netdev,snapdir=off", "-t", "fuse.ckptfs"});
  EXPECT_EQ(line.action, Action::kMount);
  EXPECT_FALSE(line.foreground);
  EXPECT_EQ(line.mount.snapshot_directory, SnapshotDirectory::kOff);
  EXPECT_EQ(ParseCommandLine({"mount.ckptfs", "/store", "/mnt", "-f"}).action, Action::kFake);
}

TEST(OptionsTest, SaysWhatIsWrong) {
  EXPECT_NE(WhyNot({"-o", "frobnicate", "/s", "/m"}).find("'frobnicate'"), std::string::npos);
  EXPECT_NE(WhyNot({"-o", "size=1G,size=2G", "/s", "/m"}).find("twice"), std::string::npos);
  EXPECT_NE(WhyNot({"-o", "nocreate", "-o", "nocreate", "/s", "/m"}).find("twice"),
            std::string::npos);
  EXPECT_NE(WhyNot({"-o", "size", "/s", "/m"}).find("needs a value"), std::string::npos);
  EXPECT_NE(WhyNot({"-o", "snapdir=maybe", "/s", "/m"}).find("hidden, off, visible"),
            std::string::npos);
  EXPECT_NE(WhyNot({"-o", "remount", "/s", "/m"}).find("Unmount"), std::string::npos);
  EXPECT_NE(WhyNot({"/s"}).find("1 operands"), std::string::npos);
  EXPECT_NE(WhyNot({"/s", "/m", "/x"}).find("3 operands"), std::string::npos);
  EXPECT_NE(WhyNot({"-z", "/s", "/m"}).find("-z"), std::string::npos);
  EXPECT_NE(WhyNot({"/s", "/m", "-o"}).find("needs a value"), std::string::npos);
}

TEST(OptionsTest, AFlagTakesNoValueAndTheOthersDo) {
  EXPECT_NE(WhyNot({"-o", "ro=1", "/s", "/m"}).find("takes no value. Give it as ro"),
            std::string::npos);
  EXPECT_NE(WhyNot({"-o", "noatime=", "/s", "/m"}).find("takes no value"), std::string::npos);
  for (const char* name : {"backend", "size", "pool_data", "snapdir", "undo_keep", "io_uring"}) {
    EXPECT_NE(WhyNot({"-o", std::string(name) + "=", "/s", "/m"}).find("needs a value"),
              std::string::npos)
        << name;
  }
}

TEST(OptionsTest, OfThoseThatExcludeEachOtherTheLastOneCounts) {
  const auto parse = [](const char* options) { return Parse({"-o", options, "/s", "/m"}); };
  const auto rule = [&](const char* options) {
    return parse(options).store.backend_options.access_times.rule;
  };
  EXPECT_FALSE(parse("ro,rw").store.read_only);
  EXPECT_TRUE(parse("rw,ro").store.backend_options.read_only);
  EXPECT_EQ(rule("suid"), AccessTimeRule::kDefault);
  EXPECT_EQ(rule("norelatime"), AccessTimeRule::kDefault);
  EXPECT_EQ(rule("nostrictatime,atime"), AccessTimeRule::kDefault);
  EXPECT_EQ(rule("noatime,relatime"), AccessTimeRule::kRelative);
  EXPECT_EQ(rule("noatime,strictatime"), AccessTimeRule::kStrict);
  EXPECT_EQ(rule("strictatime,noatime"), AccessTimeRule::kNone);
  EXPECT_EQ(rule("noatime,atime"), AccessTimeRule::kRelative);
  EXPECT_EQ(rule("strictatime,nostrictatime"), AccessTimeRule::kRelative);
  EXPECT_TRUE(parse("nodiratime,lazytime").store.backend_options.access_times.spare_directories);
  EXPECT_TRUE(parse("nodiratime,lazytime").store.backend_options.access_times.lazy);
  EXPECT_FALSE(parse("lazytime,nolazytime").store.backend_options.access_times.lazy);
  EXPECT_FALSE(parse("nodiratime,diratime").store.backend_options.access_times.spare_directories);
}

TEST(OptionsTest, ABackslashKeepsACommaInAValue) {
  EXPECT_NE(WhyNot({"-o", "backend=a\\,b,oops", "/s", "/m"}).find("'oops'"), std::string::npos);
}

TEST(ParseSizeTest, Units) {
  EXPECT_EQ(ParseSize("1"), 1U);
  EXPECT_EQ(ParseSize("4096"), 4096U);
  EXPECT_EQ(ParseSize("3K"), 3072U);
  EXPECT_EQ(ParseSize("3KiB"), 3072U);
  EXPECT_EQ(ParseSize("5m"), uint64_t{5} << 20);
  EXPECT_EQ(ParseSize("20GB"), uint64_t{20} << 30);
  EXPECT_EQ(ParseSize("2T"), uint64_t{2} << 40);
}

TEST(ParseDurationTest, Units) {
  EXPECT_EQ(ParseDuration("0").count(), 0);
  EXPECT_EQ(ParseDuration("90").count(), 90);
  EXPECT_EQ(ParseDuration("90s").count(), 90);
  EXPECT_EQ(ParseDuration("30m").count(), 1800);
  EXPECT_EQ(ParseDuration("1h").count(), 3600);
  EXPECT_EQ(ParseDuration("36500d").count(), int64_t{36500} * 86400);
}

TEST(ParseDurationTest, RefusesWhatIsNoTime) {
  for (const char* text : {"", "h", "-1", "1w", "1.5h", "36501d", "4294967296", "1 h", "1hs"}) {
    EXPECT_THROW(ParseDuration(text), Error) << text;
  }
}

TEST(ParseCountTest, IsANumberAndNothingElse) {
  EXPECT_EQ(ParseCount("0"), 0U);
  EXPECT_EQ(ParseCount("4294967295"), 4294967295U);
  for (const char* text : {"", "-1", "+1", "x", "1x", "4294967296", " 1"}) {
    EXPECT_THROW(ParseCount(text), Error) << text;
  }
}

TEST(ParseSizeTest, RefusesWhatIsNoSize) {
  for (const char* text : {"", "G", "-1", "1X", "1.5G", "0", "99999999999T", "12 G", "0x10"}) {
    EXPECT_THROW(ParseSize(text), Error) << text;
  }
}

}  // namespace
}  // namespace ckptfs
