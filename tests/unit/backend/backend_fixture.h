// A backend of each type, for tests of what all of them have to do.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "backend/base/error.h"
#include "backend/interface/backend.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {

inline constexpr uint64_t kTestStoreBytes = uint64_t{256} << 20;

// The parameter is the type. Skipped where the machine cannot have it.
class BackendTest : public testing::TestWithParam<std::string> {
 public:
  static std::string NameOf(const testing::TestParamInfo<std::string>& tested);

 protected:
  void SetUp() override;
  // Nothing of the store is left over, whatever the test did.
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
