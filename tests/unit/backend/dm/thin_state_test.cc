#include "backend/dm/thin_state.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "backend/dm/thin_status.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

TEST(ThinStateTest, IsReadAsItWasWritten) {
  const TestDirectory directory;
  const UniqueFd fd(openat(directory.fd(), "state", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  for (const ThinState& state :
       {ThinState{},
        ThinState{.transaction = UINT64_MAX,
        .next_device = kThinDeviceMax,
        .pending = PendingThinDevice{.device = 7, .volume = VolumeId::Generate()}},
        ThinState{.transaction = 3, .next_device = 9, .data_mark = Uuid::Generate()}}) {
    WriteThinState(fd.get(), state);
    EXPECT_EQ(ReadThinState(fd.get()), state);
  }
}

TEST(ThinStateTest, DamageIsSaid) {
  const TestDirectory directory;
  for (const char* text : {"", "{", R"({"format": "another", "transaction": 1, "next_device": 1})",
                           R"({"format": "ckptfs thin pool 1", "transaction": 1})",
                           R"({"format": "ckptfs thin pool 1", "transaction": 1, "next_device": 2,
            "pending": {"device": 1, "volume": "none"}})",
                           R"({"format": "ckptfs thin pool 1", "transaction": 1, "next_device": 2,
            "data_mark": "none"})"}) {
    WriteFileAt(directory.fd(), "state", text);
    const UniqueFd fd(openat(directory.fd(), "state", O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(ErrorOf([&] { ReadThinState(fd.get()); }).errno_value(), EUCLEAN) << text;
  }
}

TEST(ThinPoolStatusTest, IsUnderstood) {
  using Mode = ThinPoolStatus::Mode;
  const auto status =
      ParseThinPoolStatus("17 141/4096 1201/3072 - rw discard_passdown error_if_no_space - 1024");
  ASSERT_TRUE(status);
  EXPECT_EQ(status->mode, Mode::kWritable);
  EXPECT_FALSE(status->needs_check);
  EXPECT_FALSE(status->holds_snapshot);
  EXPECT_EQ(status->transaction, 17U);
  EXPECT_EQ(status->used_metadata, 141U);
  EXPECT_EQ(status->total_metadata, 4096U);
  EXPECT_EQ(status->used_data, 1201U);
  EXPECT_EQ(status->total_data, 3072U);
  const auto stopped = ParseThinPoolStatus(
      "17 141/4096 1201/3072 200 ro no_discard_passdown queue_if_no_space needs_check 1024");
  ASSERT_TRUE(stopped);
  EXPECT_EQ(stopped->mode, Mode::kReadOnly);
  EXPECT_TRUE(stopped->needs_check);
  EXPECT_TRUE(stopped->holds_snapshot);
  EXPECT_EQ(
      ParseThinPoolStatus("1 2/3 4/4 - out_of_data_space discard_passdown error_if_no_space - 4")
          ->mode,
      Mode::kOutOfDataSpace);
  EXPECT_EQ(ParseThinPoolStatus("Fail")->mode, Mode::kFailed);
  EXPECT_FALSE(ParseThinPoolStatus(""));
  EXPECT_FALSE(ParseThinPoolStatus("Error"));
  EXPECT_FALSE(ParseThinPoolStatus("1 2/3 4 - rw"));
  EXPECT_FALSE(ParseThinPoolStatus("1 2/3 4/4 - sideways"));
}

}  // namespace
}  // namespace ckptfs
