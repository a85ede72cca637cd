// SPDX-License-Identifier: Apache-2.0
#include "common/fashion_mnist.h"

#include <algorithm>
#include <string>

#include <ATen/ATen.h>

#include <libgossip/base/error.h>

#include "common/idx.h"

namespace gossip::examples {
namespace {

// Of the training set's pixels, on the scale of 0 to 1.
constexpr double kMean = 0.2860;
constexpr double kDeviation = 0.3530;

at::Tensor normalized(const at::Tensor& bytes) {
  return bytes.to(at::kFloat).sub_(255 * kMean).mul_(1 / (255 * kDeviation));
}

ImageDataset load(const std::filesystem::path& folder, const std::string& part) {
  return {fashion_mnist_file(folder, part + "-images-idx3-ubyte"),
          fashion_mnist_file(folder, part + "-labels-idx1-ubyte")};
}

}  // namespace

ImageDataset::ImageDataset(const std::filesystem::path& images_path,
                           const std::filesystem::path& labels_path) {
  const IdxImages images = read_idx_images(images_path);
  GOSSIP_CHECK(images.rows == kSide && images.columns == kSide,
               "'{}' holds images of {} x {} pixels, {} x {} were expected", images_path.string(),
               images.rows, images.columns, kSide, kSide);
  const std::vector<std::uint8_t> labels = read_idx_labels(labels_path);
  const auto count = static_cast<std::int64_t>(labels.size());
  GOSSIP_CHECK(images.count == count, "'{}' holds {} images, but '{}' {} labels",
               images_path.string(), images.count, labels_path.string(), count);
  const auto bad = std::find_if(labels.begin(), labels.end(),
                                [](std::uint8_t label) { return label >= kClasses; });
  GOSSIP_CHECK(bad == labels.end(), "'{}': label {} of image {} is not one of 0 to {}",
               labels_path.string(), *bad, bad - labels.begin(), kClasses - 1);

  images_ = at::empty({count, 1, kSide, kSide}, at::kByte);
  std::copy(images.pixels.begin(), images.pixels.end(), images_.data_ptr<std::uint8_t>());
  labels_ = at::empty({count}, at::kLong);
  std::copy(labels.begin(), labels.end(), labels_.data_ptr<std::int64_t>());
}

std::span<const std::int64_t> ImageDataset::labels() const {
  return {labels_.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(labels_.size(0))};
}

Batch ImageDataset::batch(std::span<const std::int64_t> indices) const {
  at::Tensor which = at::empty({static_cast<std::int64_t>(indices.size())}, at::kLong);
  std::copy(indices.begin(), indices.end(), which.data_ptr<std::int64_t>());
  return {normalized(images_.index_select(0, which)), labels_.index_select(0, which)};
}

Batch ImageDataset::range(std::int64_t first, std::int64_t count) const {
  return {normalized(images_.narrow(0, first, count)), labels_.narrow(0, first, count)};
}

FashionMnist load_fashion_mnist(const std::filesystem::path& folder) {
  return {load(folder, "train"), load(folder, "t10k")};
}

}  // namespace gossip::examples
