#include "backend/btrfs/send_stream.h"

#include <endian.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <random>
#include <string>
#include <vector>

#include "backend/base/error.h"
#include "tests/unit/backend/btrfs/changes_fixture.h"

namespace ckptfs {
namespace {

using ::testing::ElementsAre;

std::string Le16(uint16_t value) {
  value = htole16(value);
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::string Le32(uint32_t value) {
  value = htole32(value);
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

constexpr uint16_t kPath = 15, kPathTo = 16, kPathLink = 17, kMode = 5;

std::string Attribute(uint16_t type, const std::string& value) {
  return Le16(type) + Le16(static_cast<uint16_t>(value.size())) + value;
}

std::string EncodedCommand(SendOperation operation, const std::string& attributes) {
  return Le32(static_cast<uint32_t>(attributes.size())) + Le16(static_cast<uint16_t>(operation)) +
         Le32(0) + attributes;
}

std::string Header() { return std::string("btrfs-stream\0", 13) + Le32(1); }
std::string End() { return EncodedCommand(SendOperation::kEnd, ""); }

// Reads a whole stream and returns a line for each command.
std::vector<std::string> Parse(const std::string& stream) {
  const UniqueFd file(memfd_create("stream", MFD_CLOEXEC));
  CheckSyscall(pwrite(file.get(), stream.data(), stream.size(), 0), "write");
  SendStreamReader reader(file.get());
  std::vector<std::string> lines;
  SendCommand command;
  while (reader.Next(&command)) {
    lines.push_back(fmt::format("{} {}|{}|{}", static_cast<int>(command.operation), command.path,
                                command.path_to, command.path_link));
  }
  return lines;
}

std::string WhyNot(const std::string& stream) {
  try {
    Parse(stream);
  } catch (const Error& error) {
    EXPECT_EQ(error.errno_value(), EBADMSG);
    return error.why();
  }
  return "it was taken";
}

TEST(SendStreamReaderTest, ReadsCommands) {
  const std::string stream =
      Header() + EncodedCommand(SendOperation::kMakeFile, Attribute(kPath, "a")) +
      EncodedCommand(SendOperation::kRename, Attribute(kPath, "a") + Attribute(kPathTo, "b c\n")) +
      EncodedCommand(SendOperation::kLink, Attribute(kPathLink, "x") + Attribute(kPath, "y")) +
      EncodedCommand(SendOperation::kChangeMode,
                     Attribute(kMode, "12345678") + Attribute(kPath, "")) +
      End() + "what follows is of no interest";
  EXPECT_THAT(Parse(stream), ElementsAre("3 a||", "9 a|b c\n|", "10 y||x", "18 ||"));
}

TEST(SendStreamReaderTest, ReadsMoreThanItsBuffer) {
  std::string stream = Header();
  std::vector<std::string> expected;
  for (int i = 0; i < 5000; ++i) {
    const std::string path = std::to_string(i) + std::string(static_cast<size_t>(i), 'p');
    stream += EncodedCommand(SendOperation::kMakeFile, Attribute(kPath, path));
    expected.push_back("3 " + path + "||");
  }
  EXPECT_EQ(Parse(stream + End()), expected);
}

TEST(SendStreamReaderTest, RefusesWhatIsNoStream) {
  EXPECT_EQ(WhyNot(""), "it ends too early");
  EXPECT_EQ(WhyNot("btrfs"), "it ends too early");
  EXPECT_EQ(WhyNot(std::string(100, 'x')), "its first bytes are wrong");
  EXPECT_EQ(WhyNot(std::string("btrfs-stream\0", 13) + Le32(2) + End()), "its version is not 1");
}

TEST(SendStreamReaderTest, RefusesBadLengths) {
  EXPECT_EQ(WhyNot(Header()), "it ends too early");
  EXPECT_EQ(WhyNot(Header() + Le32(0xffffffff) + Le16(3) + Le32(0)), "a command is too long");
  EXPECT_EQ(WhyNot(Header() + Le32(100) + Le16(3) + Le32(0) + "short"), "it ends too early");
  EXPECT_EQ(WhyNot(Header() + EncodedCommand(SendOperation::kMakeFile, "abc")),
            "an attribute is cut short");
  EXPECT_EQ(
      WhyNot(Header() + EncodedCommand(SendOperation::kMakeFile, Le16(kPath) + Le16(9) + "abc")),
      "an attribute is longer than its command");
}

TEST(SendStreamReaderTest, RefusesBadCommands) {
  EXPECT_EQ(WhyNot(Header() + EncodedCommand(static_cast<SendOperation>(0), "")),
            "it holds an unknown command");
  EXPECT_EQ(WhyNot(Header() + EncodedCommand(static_cast<SendOperation>(99), "")),
            "it holds an unknown command");
  EXPECT_EQ(WhyNot(Header() + EncodedCommand(SendOperation::kRename, Attribute(kPath, "a"))),
            "a command lacks a path");
  EXPECT_EQ(WhyNot(Header() + EncodedCommand(SendOperation::kMakeFile,
                                             Attribute(kPath, std::string("a\0b", 3)))),
            "a path holds a NUL");
}

// Every stream cut short or with a byte turned either throws Error or gives commands; the
// sanitizers see to the rest.
TEST(SendStreamReaderTest, SurvivesDamage) {
  const std::string stream =
      Header() +
      EncodedCommand(SendOperation::kRename, Attribute(kPath, "a") + Attribute(kPathTo, "b")) +
      EncodedCommand(SendOperation::kSetTimes, Attribute(kPath, "b")) + End();
  for (size_t size = 0; size < stream.size(); ++size) {
    EXPECT_EQ(WhyNot(stream.substr(0, size)), "it ends too early") << size;
  }
  std::mt19937 random(1);
  int taken = 0;
  for (int i = 0; i < 5000; ++i) {
    std::string damaged = stream;
    damaged[random() % damaged.size()] = static_cast<char>(random());
    try {
      Parse(damaged);
      ++taken;
    } catch (const Error&) {
    }
  }
  EXPECT_GT(taken, 0);
  EXPECT_LT(taken, 5000);
}

class SendTest : public ChangesFixture {};

TEST_F(SendTest, TheKernelsStreamIsRead) {
  Live().Write("a", "1");
  const UniqueFd before = Snapshot();
  Live().Rename("a", "b");
  const UniqueFd after = Snapshot();
  std::vector<SendOperation> operations;
  ForEachSendCommand(
      before.get(), after.get(), NoLimits(),
      [&operations](const SendCommand& command) { operations.push_back(command.operation); });
  EXPECT_THAT(operations, ::testing::Contains(SendOperation::kLink));
  EXPECT_EQ(operations.front(), SendOperation::kSnapshot);
}

TEST_F(SendTest, TheKernelsErrorIsTold) {
  const UniqueFd before = Snapshot();
  try {
    ForEachSendCommand(before.get(), live_fd(), NoLimits(), [](const SendCommand&) {});
    FAIL() << "a writable volume was sent";
  } catch (const Error& error) {
    EXPECT_EQ(error.errno_value(), EPERM);
  }
}

// The kernel is in the middle of a write into a full pipe then.
TEST_F(SendTest, AnErrorInTheMiddleEndsTheKernelsWork) {
  const UniqueFd before = Snapshot();
  for (int i = 0; i < 5000; ++i) Live().MakeNode(fmt::format("file-{}", i), S_IFREG | 0644);
  const UniqueFd after = Snapshot();
  EXPECT_THROW(ForEachSendCommand(before.get(), after.get(), NoLimits(),
                                  [](const SendCommand&) { throw Error(ECANCELED, "go on"); }),
               Error);
}

}  // namespace
}  // namespace ckptfs
