// SPDX-License-Identifier: Apache-2.0
#include "common/model.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "examples/idx_files.h"
#include "support/temporary_folder.h"

namespace gossip::examples {
namespace {

TEST(Cnn, HasTheParametersThatItsCommentSays) {
  const Cnn model;

  std::int64_t parameters = 0;
  for (const torch::Tensor& parameter : model->parameters()) parameters += parameter.numel();

  EXPECT_EQ(parameters, 207178);
}

TEST(Cnn, GivesTenLogitsAnImageAndAllParametersAGradient) {
  Cnn model;

  const torch::Tensor logits = model(torch::randn({5, 1, 28, 28}));
  logits.sum().backward();

  EXPECT_EQ(logits.sizes(), (std::vector<std::int64_t>{5, 10}));
  for (const torch::Tensor& parameter : model->parameters())
    EXPECT_TRUE(parameter.grad().defined());
}

TEST(Accuracy, CountsTheRightAnswersOfAllBatches) {
  test::TemporaryFolder folder;
  constexpr std::uint32_t kImages = 1203;
  test::write_images(folder.path() / "images.gz", kImages);
  test::write_labels(folder.path() / "labels.gz", std::vector<std::uint8_t>(kImages, 7));
  const ImageDataset data(folder.path() / "images.gz", folder.path() / "labels.gz");
  Cnn model;
  {
    const torch::NoGradGuard no_grad;
    model->output->weight.zero_();
    model->output->bias.zero_();
    model->output->bias[7] = 1;
  }

  EXPECT_EQ(num_correct(model, data, 0, data.size()), data.size());
  EXPECT_TRUE(model->is_training());
}

TEST(OneCycle, RisesToThePeakAndFallsToZero) {
  EXPECT_NEAR(one_cycle_rate(0.5, 0), 0.02, 1e-12);
  EXPECT_NEAR(one_cycle_rate(0.5, 0.25), 0.5, 1e-12);
  EXPECT_NEAR(one_cycle_rate(0.5, 0.625), 0.25, 1e-12);
  EXPECT_NEAR(one_cycle_rate(0.5, 1), 0, 1e-12);
}

}  // namespace
}  // namespace gossip::examples
