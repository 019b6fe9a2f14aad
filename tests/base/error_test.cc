// Errors as values and as exceptions.
#include <gtest/gtest.h>

#include "mephisto/error.h"

namespace mephisto {
namespace {

TEST(Error, TheSameCallMaySucceedLaterOnlyWhereSomethingWasUnavailableOrLate) {
  for (auto kind : {ErrorKind::kInvalid, ErrorKind::kNotFound, ErrorKind::kDecode, ErrorKind::kFenced,
                    ErrorKind::kCorrupt, ErrorKind::kFatal}) {
    EXPECT_FALSE((Error{kind, ""}.retriable())) << to_string(kind);
  }
  EXPECT_TRUE((Error{ErrorKind::kUnavailable, ""}.retriable()));
  EXPECT_TRUE((Error{ErrorKind::kTimeout, ""}.retriable()));
}

TEST(Error, KindsHaveNames) {
  EXPECT_STREQ(to_string(ErrorKind::kNotFound), "not found");
  EXPECT_STREQ(to_string(ErrorKind::kFenced), "fenced");
}

TEST(Error, AResultGivesItsValue) { EXPECT_EQ(value_or_throw(Result<int>{7}), 7); }

TEST(Error, AResultsErrorBecomesAFailure) {
  try {
    value_or_throw(Result<int>{fail(ErrorKind::kNotFound, "no topic \"orders\"")});
    FAIL();
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), ErrorKind::kNotFound);
    EXPECT_STREQ(failure.what(), "no topic \"orders\"");
  }
}

TEST(Error, AResultWithoutAValueThrowsToo) {
  EXPECT_THROW(value_or_throw(Result<void>{fail(ErrorKind::kFatal, "")}), Failure);
}

TEST(Error, AFailureGivesItsErrorBack) {
  auto error = Failure{ErrorKind::kTimeout, "late"}.error();
  EXPECT_EQ(error.kind, ErrorKind::kTimeout);
  EXPECT_EQ(error.message, "late");
}

TEST(Error, CancellationIsNoStandardException) { EXPECT_FALSE((std::is_base_of_v<std::exception, Cancelled>)); }

}  // namespace
}  // namespace mephisto
