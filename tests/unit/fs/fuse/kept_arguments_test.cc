#include "fs/fuse/kept_arguments.h"

#include <gtest/gtest.h>
#include <linux/fs.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <tuple>

namespace ckptfs {
namespace {

// As what is kept for another thread is.
template <typename Arguments>
Arguments Copied(const Arguments& arguments) {
  return arguments;
}

// Where requests come, one after the other.
class KeptArgumentsTest : public testing::Test {
 protected:
  const char* Receive(const std::string& text) {
    buffer_.fill('\0');
    text.copy(buffer_.data(), buffer_.size() - 1);
    return buffer_.data();
  }
  void ReceiveAnother() { buffer_.fill('x'); }

  std::array<char, 64> buffer_{};
  const fuse_req_t request_ = nullptr;  // which these do not look at
};

TEST_F(KeptArgumentsTest, WhatIsUsedAtOnceIsNotCopied) {
  const char* const name = Receive("name");
  auto arguments = Decode(request_, fuse_ino_t{7}, name, mode_t{0755});
  EXPECT_EQ(std::get<0>(arguments), 7U);
  EXPECT_EQ(std::get<1>(arguments).c_str(), name);
  EXPECT_EQ(std::get<2>(arguments), mode_t{0755});
  const auto moved = std::move(arguments);
  EXPECT_EQ(std::get<1>(moved).c_str(), name);
}

TEST_F(KeptArgumentsTest, ACopyHasItsOwnWords) {
  const auto arguments = Decode(request_, Receive("target"), fuse_ino_t{7}, "name");
  const auto kept = Copied(arguments);
  ReceiveAnother();
  EXPECT_STREQ(std::get<0>(kept).c_str(), "target");
  EXPECT_STREQ(std::get<2>(kept).c_str(), "name");
}

TEST_F(KeptArgumentsTest, ACopyOfACopyAndWhatIsMovedFromItHaveTheirs) {
  const auto kept = Decode(request_, fuse_ino_t{7}, Receive("a name that needs memory of its own"));
  auto moved = [&] {
    const auto copy = Copied(Copied(kept));
    ReceiveAnother();
    return Copied(copy);
  }();
  const auto last = std::move(moved);
  EXPECT_STREQ(std::get<1>(last).c_str(), "a name that needs memory of its own");
}

TEST_F(KeptArgumentsTest, AnAttributesValueIsAllOfItsBytes) {
  using std::string_literals::operator""s;
  const std::string value = "with a \0 in it"s;
  const auto arguments = Decode(request_, fuse_ino_t{7}, "user.name",
                                static_cast<const char*>(Receive(value)), value.size(), 1);
  const auto kept = Copied(arguments);
  ReceiveAnother();
  EXPECT_STREQ(std::get<1>(kept).c_str(), "user.name");
  EXPECT_EQ(std::get<2>(kept).view(), value);
  EXPECT_EQ(std::get<3>(kept), 1);
}

TEST_F(KeptArgumentsTest, AnIoctlKeepsWhatItBrings) {
  const int flags = FS_NOATIME_FL;
  std::memcpy(buffer_.data(), &flags, sizeof(flags));
  fuse_file_info file{};
  file.fh = 4711;
  const auto arguments = Decode(request_, fuse_ino_t{7}, static_cast<unsigned int>(FS_IOC_SETFLAGS),
                                static_cast<void*>(nullptr), &file, 0U,
                                static_cast<const void*>(buffer_.data()), sizeof(flags), size_t{0});
  const auto kept = Copied(arguments);
  ReceiveAnother();
  file.fh = 0;
  int got = 0;
  ASSERT_EQ(std::get<4>(kept).view().size(), sizeof(got));
  std::memcpy(&got, std::get<4>(kept).view().data(), sizeof(got));
  EXPECT_EQ(got, flags);
  EXPECT_EQ(std::get<2>(kept).info.fh, 4711U);
}

TEST_F(KeptArgumentsTest, AnIoctlThatBringsNothingHasNothing) {
  fuse_file_info file{};
  const auto arguments = Decode(request_, fuse_ino_t{7}, static_cast<unsigned int>(FS_IOC_GETFLAGS),
                                static_cast<void*>(nullptr), &file, 0U,
                                static_cast<const void*>(nullptr), size_t{0}, sizeof(int));
  const auto kept = Copied(arguments);
  EXPECT_TRUE(std::get<4>(kept).view().empty());
  EXPECT_EQ(std::get<5>(kept), sizeof(int));
}

TEST_F(KeptArgumentsTest, WhetherARequestHasAFileIsKept) {
  EXPECT_FALSE(Keep(request_, static_cast<fuse_file_info*>(nullptr)).is_given);
  fuse_file_info file{};
  EXPECT_TRUE(Keep(request_, &file).is_given);
}

TEST_F(KeptArgumentsTest, OnlyAWriteOfTheProgramOwesTheDisksAnswer) {
  AskedFile file{.is_given = true};
  EXPECT_FALSE(IsSynchronous(file));
  file.info.flags = O_WRONLY | O_DSYNC;
  EXPECT_TRUE(IsSynchronous(file));
  file.info.flags = O_WRONLY | O_SYNC;
  EXPECT_TRUE(IsSynchronous(file));
  file.info.writepage = 1;
  EXPECT_FALSE(IsSynchronous(file)) << "what the kernel writes back";
}

TEST_F(KeptArgumentsTest, ForgottenNodesAreCounted) {
  std::array<fuse_forget_data, 2> forgets{{{.ino = 7, .nlookup = 1}, {.ino = 8, .nlookup = 3}}};
  const auto [all] = Decode(request_, forgets.size(), forgets.data());
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[1].ino, 8U);
  EXPECT_EQ(all[1].nlookup, 3U);
}

}  // namespace
}  // namespace ckptfs
