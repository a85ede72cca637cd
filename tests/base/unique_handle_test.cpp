// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/unique_handle.h>

namespace gossip::detail {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<int> freed;

template <bool kIsCollective>
struct Traits {
  using Raw = int;
  static constexpr bool kFreeIsCollective = kIsCollective;
  static Raw null() noexcept { return -1; }
  static void free(Raw raw) noexcept { freed.push_back(raw); }
};

using Handle = UniqueHandle<Traits<false>>;
using CollectiveHandle = UniqueHandle<Traits<true>>;

class UniqueHandleTest : public testing::Test {
 protected:
  void SetUp() override { freed.clear(); }
};

static_assert(!std::is_copy_constructible_v<Handle> && !std::is_copy_assignable_v<Handle>);
static_assert(std::is_nothrow_move_constructible_v<Handle> &&
              std::is_nothrow_move_assignable_v<Handle>);
static_assert(!std::is_convertible_v<Handle, int> && !std::is_convertible_v<int, Handle>);

TEST_F(UniqueHandleTest, FreesOnceAtItsEnd) {
  {
    const Handle handle(7);
    EXPECT_EQ(handle.get(), 7);
    EXPECT_TRUE(handle);
    EXPECT_THAT(freed, IsEmpty());
  }
  EXPECT_THAT(freed, ElementsAre(7));
}

TEST_F(UniqueHandleTest, OfNothingFreesNothing) {
  {
    const Handle handle;
    EXPECT_EQ(handle.get(), -1);
    EXPECT_FALSE(handle);
  }
  EXPECT_THAT(freed, IsEmpty());
}

TEST_F(UniqueHandleTest, MoveLeavesNothingBehind) {
  {
    Handle first(7);
    const Handle second(std::move(first));
    EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(second.get(), 7);
  }
  EXPECT_THAT(freed, ElementsAre(7));
}

TEST_F(UniqueHandleTest, MoveAssignmentFreesWhatWasHeld) {
  Handle target(1);
  Handle source(2);

  Handle& result = target = std::move(source);

  EXPECT_EQ(&result, &target);
  EXPECT_THAT(freed, ElementsAre(1));
  EXPECT_EQ(target.get(), 2);
  EXPECT_FALSE(source);  // NOLINT(bugprone-use-after-move)
}

TEST_F(UniqueHandleTest, SelfMoveKeepsTheHandle) {
  Handle handle(7);
  Handle& alias = handle;

  handle = std::move(alias);

  EXPECT_EQ(handle.get(), 7);
  EXPECT_THAT(freed, IsEmpty());
}

TEST_F(UniqueHandleTest, ResetFreesAndTakes) {
  Handle handle(1);

  handle.reset(2);
  EXPECT_THAT(freed, ElementsAre(1));
  EXPECT_EQ(handle.get(), 2);

  handle.reset();
  EXPECT_THAT(freed, ElementsAre(1, 2));
  EXPECT_FALSE(handle);
}

TEST_F(UniqueHandleTest, ReleaseGivesUpWithoutFreeing) {
  {
    Handle handle(7);
    EXPECT_EQ(handle.release(), 7);
    EXPECT_FALSE(handle);
  }
  EXPECT_THAT(freed, IsEmpty());
}

template <class H>
void throw_past(H handle) {
  const H moved = std::move(handle);
  throw std::runtime_error("unwinds");
}

TEST_F(UniqueHandleTest, ThatIsNotCollectiveIsFreedWhileUnwinding) {
  EXPECT_THROW(throw_past(Handle(7)), std::runtime_error);

  EXPECT_THAT(freed, ElementsAre(7));
}

TEST_F(UniqueHandleTest, ThatIsCollectiveIsNotFreedWhileUnwinding) {
  EXPECT_THROW(throw_past(CollectiveHandle(7)), std::runtime_error);

  EXPECT_THAT(freed, IsEmpty());
}

TEST_F(UniqueHandleTest, ThatIsCollectiveIsNotFreedByAssignmentWhileUnwinding) {
  const auto unwind = [] {
    CollectiveHandle target(1);
    struct AtEnd {
      CollectiveHandle& handle;
      ~AtEnd() { handle.reset(2); }
    } at_end{target};
    throw std::runtime_error("unwinds");
  };

  EXPECT_THROW(unwind(), std::runtime_error);

  // 1 belongs to the time before the exception; 2 came and went during it, on all ranks or none.
  EXPECT_THAT(freed, ElementsAre(2));
}

TEST_F(UniqueHandleTest, ThatIsCollectiveIsNotFreedWhenItMovesWhileUnwinding) {
  const auto unwind = [](auto&& move) {
    CollectiveHandle source(1);
    struct AtEnd {
      CollectiveHandle& handle;
      decltype(move)& move_away;
      ~AtEnd() { move_away(handle); }
    } at_end{source, move};
    throw std::runtime_error("unwinds");
  };
  const auto construct = [](CollectiveHandle& source) {
    const CollectiveHandle target(std::move(source));
  };
  const auto assign = [](CollectiveHandle& source) {
    CollectiveHandle target;
    target = std::move(source);
  };

  EXPECT_THROW(unwind(construct), std::runtime_error);
  EXPECT_THROW(unwind(assign), std::runtime_error);

  EXPECT_THAT(freed, IsEmpty());
}

TEST_F(UniqueHandleTest, ThatIsCollectiveIsFreedInCodeThatOnlyRunsWhileUnwinding) {
  struct AtEnd {
    ~AtEnd() { const CollectiveHandle handle(3); }
  };
  const auto unwind = [] {
    const AtEnd at_end;
    throw std::runtime_error("unwinds");
  };

  EXPECT_THROW(unwind(), std::runtime_error);

  EXPECT_THAT(freed, ElementsAre(3));
}

TEST_F(UniqueHandleTest, ThatIsCollectiveIsFreedAfterTheExceptionWasCaught) {
  {
    const CollectiveHandle handle(7);
    EXPECT_THROW(throw std::runtime_error("caught"), std::runtime_error);
  }
  EXPECT_THAT(freed, ElementsAre(7));
}

}  // namespace
}  // namespace gossip::detail
