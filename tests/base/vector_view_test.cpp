// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <span>
#include <type_traits>

#include <gtest/gtest.h>

#include <libgossip/base/vector_view.h>

namespace gossip {
namespace {

TEST(VectorView, KnowsTypeSizeAndBytes) {
  std::array<float, 3> floats{};
  std::array<double, 5> doubles{};

  const VectorView single = std::span<float>(floats);
  const VectorView two = std::span<double>(doubles);

  EXPECT_EQ(single.dtype, Dtype::kFloat32);
  EXPECT_EQ(single.size, 3U);
  EXPECT_EQ(single.bytes(), 12U);
  EXPECT_EQ(two.dtype, Dtype::kFloat64);
  EXPECT_EQ(two.bytes(), 40U);
  EXPECT_EQ(VectorView().bytes(), 0U);
}

TEST(VectorView, CountsBytesBeyondTwoToTheThirtyFirst) {
  const std::size_t count = (std::size_t{1} << 31U) + 1;

  EXPECT_EQ(VectorView(Dtype::kFloat64, nullptr, count).bytes(), count * 8);
}

TEST(VectorView, VisitsWithTheRightType) {
  std::array<double, 2> doubles = {1.0, 2.0};

  const bool is_double = visit(VectorView(std::span<double>(doubles)), []<class T>(std::span<T> v) {
    v[1] = T{7};
    return std::is_same_v<T, double>;
  });

  EXPECT_TRUE(is_double);
  EXPECT_EQ(doubles[1], 7.0);
}

TEST(VectorView, ExistsForTheTwoElementTypesOnly) {
  EXPECT_TRUE((std::is_convertible_v<std::span<float>, VectorView>));
  EXPECT_TRUE((std::is_convertible_v<std::span<double>, VectorView>));
  EXPECT_FALSE((std::is_convertible_v<std::span<int>, VectorView>));
  EXPECT_FALSE((std::is_convertible_v<std::span<const float>, VectorView>));
}

TEST(VectorViewDeathTest, ReadAsTheWrongTypeTerminates) {
  std::array<float, 2> floats{};
  const VectorView view = std::span<float>(floats);

  EXPECT_EQ(view.as<float>().data(), floats.data());
  EXPECT_DEATH(std::ignore = view.as<double>(), "read as another");
}

}  // namespace
}  // namespace gossip
