// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/engine/plain_port.h>

#include "engine/engine_test_support.h"

namespace gossip::engine {
namespace {

TEST(PlainPort, ADirectionTakesTheGradientsPlaceForOneUpdate) {
  std::vector<double> x{1.0, 2.0};
  std::vector<double> gradient{3.0, 4.0};
  std::vector<double> direction{-1.0, 5.0};
  PlainPort port({std::span<double>(x)}, {std::span<double>(gradient)}, [&] {
    for (std::size_t k = 0; k < x.size(); ++k) x[k] -= gradient[k];
  });

  port.local_update();
  EXPECT_EQ(x, (std::vector{-2.0, -2.0}));
  port.local_update_along({std::span<double>(direction)});
  EXPECT_EQ(x, (std::vector{-1.0, -7.0}));
  EXPECT_EQ(direction, (std::vector{-1.0, 5.0}));
  port.local_update_along(port.gradient());
  EXPECT_EQ(x, (std::vector{0.0, -12.0}));
}

TEST(PlainPort, ThePiecesCoverTheGradient) {
  std::vector<double> first(3);
  std::vector<float> second(2);
  PlainPort port({}, {std::span<double>(first), std::span<float>(second)});

  const std::vector<VectorPiece>& pieces = port.find_gradient();
  ASSERT_EQ(pieces.size(), 2U);
  EXPECT_EQ(pieces[0].values.data, first.data());
  EXPECT_EQ(pieces[1].vector, 1U);
  EXPECT_EQ(pieces[1].offset, 0U);
  EXPECT_EQ(pieces[1].values.size, 2U);
}

TEST(PlainPort, AMissingLearningRateIsAnError) {
  PlainPort port({});
  test::expect_throw<Error>([&] { static_cast<void>(port.learning_rate()); }, {"learning rate"});
}

}  // namespace
}  // namespace gossip::engine
