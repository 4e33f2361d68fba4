#include "catalog/db/sqlite.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>

#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

class SqliteTest : public testing::Test {
 protected:
  SqliteTest() {
    WriteFileAt(directory_.fd(), "db", "");
    database_ = std::make_unique<Database>(directory_.fd(), "db");
    database_->Execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT UNIQUE, c INTEGER) STRICT");
  }
  int64_t Count() { return database_->PragmaInt("SELECT count(*) FROM t"); }
  int ErrnoOf(const std::function<void()>& action) {
    try {
      action();
      return 0;
    } catch (const Error& error) {
      return error.errno_value();
    }
  }

  TestDirectory directory_;
  std::unique_ptr<Database> database_;
};

TEST_F(SqliteTest, BindsAndReadsEveryType) {
  const Uuid id = Uuid::Generate();
  const std::string bytes("a\0b\xff", 4);
  Statement row = database_->Query("SELECT ?, ?, ?, ?, ?", int64_t{-5}, "text", id,
                                   std::optional<int64_t>(), Blob{bytes});
  ASSERT_TRUE(row.Step());
  EXPECT_EQ(row.Int(0), -5);
  EXPECT_EQ(row.Text(1), "text");
  EXPECT_EQ(row.Id(2), id);
  EXPECT_EQ(row.OptionalInt(3), std::nullopt);
  EXPECT_EQ(row.Text(4), bytes);
  EXPECT_EQ(ErrnoOf([&] { row.Id(1); }), EUCLEAN);
  EXPECT_FALSE(row.Step());
}

TEST_F(SqliteTest, AStatementInUseIsNotHandedOutAgain) {
  for (int i = 0; i < 3; ++i) database_->Run("INSERT INTO t (a) VALUES (?)", i);
  constexpr std::string_view kSql = "SELECT a FROM t WHERE a >= ? ORDER BY a";
  Statement outer = database_->Query(kSql, 0);
  ASSERT_TRUE(outer.Step());
  Statement inner = database_->Query(kSql, 2);
  ASSERT_TRUE(inner.Step());
  EXPECT_EQ(inner.Int(0), 2);
  ASSERT_TRUE(outer.Step());
  EXPECT_EQ(outer.Int(0), 1);
}

TEST_F(SqliteTest, ATransactionThatIsNotCommittedHasNotBeen) {
  {
    DatabaseTransaction transaction(*database_);
    database_->Run("INSERT INTO t (a) VALUES (1)");
  }
  EXPECT_EQ(Count(), 0);
  DatabaseTransaction transaction(*database_);
  database_->Run("INSERT INTO t (a) VALUES (1)");
  transaction.Commit();
  EXPECT_EQ(Count(), 1);
}

TEST_F(SqliteTest, ErrorsHaveTheirErrno) {
  database_->Run("INSERT INTO t (a, b) VALUES (1, 'x')");
  EXPECT_EQ(ErrnoOf([&] { database_->Run("INSERT INTO t (a, b) VALUES (2, 'x')"); }), EEXIST);
  EXPECT_EQ(ErrnoOf([&] { database_->Run("INSERT INTO t (a) VALUES (1)"); }), EEXIST);
  EXPECT_EQ(ErrnoOf([&] { database_->Run("INSERT INTO t (b) VALUES (x'00')"); }), EINVAL);
  EXPECT_EQ(ErrnoOf([&] { database_->Run("SELECT * FROM nowhere"); }), EUCLEAN);
  WriteFileAt(directory_.fd(), "text", std::string(5000, 'x'));
  EXPECT_EQ(ErrnoOf([&] { Database(directory_.fd(), "text").Execute("SELECT * FROM t"); }),
            EUCLEAN);
  EXPECT_EQ(ErrnoOf([&] { Database(directory_.fd(), "none"); }), ENOENT);
  database_->Execute("PRAGMA max_page_count = 5");
  EXPECT_EQ(ErrnoOf([&] {
              for (int i = 10; i < 1000; ++i) {
                database_->Run("INSERT INTO t (a, b) VALUES (?, ?)", i,
                               std::string(2000, 'y') + std::to_string(i));
              }
            }),
            ENOSPC);
}

TEST_F(SqliteTest, TheDirectoryIsReachedByItsDescriptor) {
  database_->Execute("PRAGMA journal_mode = WAL");
  const std::string away = directory_.path() + "-moved";
  std::filesystem::rename(directory_.path(), away);
  database_->Run("INSERT INTO t (a) VALUES (1)");
  Database second(directory_.fd(), "db");
  EXPECT_EQ(second.PragmaInt("SELECT count(*) FROM t"), 1);
  EXPECT_TRUE(ExistsAt(directory_.fd(), "db-wal"));
  std::filesystem::rename(away, directory_.path());
}

}  // namespace
}  // namespace ckptfs
