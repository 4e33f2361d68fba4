// A backend of each type, for tests that apply to all of them.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "backend/base/error.h"
#include "backend/interface/backend.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {

inline constexpr uint64_t kTestStoreBytes = uint64_t{256} << 20;

// The parameter is the type. Skipped where the machine does not support it.
class BackendTest : public testing::TestWithParam<std::string> {
 public:
  static std::string NameOf(const testing::TestParamInfo<std::string>& tested);

 protected:
  void SetUp() override;
  // Checks that nothing of the store is left over.
  void TearDown() override;

  void Reopen(const BackendOptions& options);
  VolumeId MakeVolume();
  VolumeId TakeSnapshot(const VolumeId& source);
  template <typename Action>
  static int ErrnoOf(Action action) {
    return ErrorOf(action).errno_value();
  }

  TestDirectory directory_;
  std::unique_ptr<TestMount> host_;
  UniqueFd store_;
  std::unique_ptr<Backend> backend_;

 private:
  void MountHost();
};

}  // namespace ckptfs
