// SPDX-License-Identifier: Apache-2.0
#include "common/idx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <libgossip/base/error.h>

#include "common/fashion_mnist.h"
#include "examples/idx_files.h"
#include "support/temporary_folder.h"

namespace gossip::examples {
namespace {

using test::idx_bytes;
using test::read_file;
using test::write_file;
using test::write_images;
using test::write_labels;
using test::write_packed;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class IdxTest : public testing::Test {
 protected:
  [[nodiscard]] std::filesystem::path path(const std::string& name) const {
    return folder_.path() / name;
  }

  // The message of the gossip::Error that `action` throws; empty when it throws none.
  template <class Action>
  static std::string error_of(Action&& action) {
    try {
      action();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  [[nodiscard]] std::string error_of_images(const std::string& name) const {
    return error_of([&] { (void)read_idx_images(path(name)); });
  }
  [[nodiscard]] std::string error_of_dataset() const {
    return error_of([&] { const ImageDataset data(path("images.gz"), path("labels.gz")); });
  }

 private:
  test::TemporaryFolder folder_;
};

TEST_F(IdxTest, ReadsImages) {
  write_packed(path("images.gz"),
               idx_bytes(0x803, {2, 2, 3}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255}));

  const IdxImages images = read_idx_images(path("images.gz"));

  EXPECT_EQ(images.count, 2);
  EXPECT_EQ(images.rows, 2);
  EXPECT_EQ(images.columns, 3);
  EXPECT_THAT(images.pixels, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255));
}

TEST_F(IdxTest, ReadsLabels) {
  write_labels(path("labels.gz"), {3, 1, 4});

  EXPECT_THAT(read_idx_labels(path("labels.gz")), ElementsAre(3, 1, 4));
}

TEST_F(IdxTest, ReadsFilesThatAreNotPacked) {
  write_file(path("labels"), idx_bytes(0x801, {2}, {7, 8}));

  EXPECT_THAT(read_idx_labels(path("labels")), ElementsAre(7, 8));
}

TEST_F(IdxTest, ReadsMoreThanOnePiece) {
  write_images(path("images.gz"), 25000);

  const IdxImages images = read_idx_images(path("images.gz"));

  ASSERT_EQ(images.pixels.size(), 25000U * 784U);
  EXPECT_EQ(images.pixels.back(), (25000U * 784U - 1) % 256);
}

TEST_F(IdxTest, NamesAMissingFile) {
  EXPECT_THAT(error_of_images("none.gz"), AllOf(HasSubstr("none.gz"), HasSubstr("No such file")));
}

TEST_F(IdxTest, TellsLabelsFromImages) {
  write_labels(path("labels.gz"), {3, 1, 4});

  EXPECT_THAT(error_of_images("labels.gz"),
              AllOf(HasSubstr("labels.gz"), HasSubstr("not an IDX file of images"),
                    HasSubstr("0x00000801"), HasSubstr("0x00000803 was expected")));
}

TEST_F(IdxTest, RefusesAFileOfAnotherKind) {
  write_file(path("text.gz"), "<html>404 not found</html>");

  EXPECT_THAT(error_of_images("text.gz"),
              AllOf(HasSubstr("text.gz"), HasSubstr("0x00000803 was expected")));
}

TEST_F(IdxTest, RefusesAnEmptyFile) {
  write_file(path("empty.gz"), "");

  EXPECT_THAT(error_of_images("empty.gz"),
              AllOf(HasSubstr("empty.gz"), HasSubstr("ends within its header")));
}

TEST_F(IdxTest, RefusesFewerImagesThanTheHeaderSays) {
  write_packed(path("images.gz"), idx_bytes(0x803, {2, 2, 2}, {1, 2, 3, 4, 5}));

  EXPECT_THAT(error_of_images("images.gz"),
              AllOf(HasSubstr("images.gz"), HasSubstr("24 bytes were expected, 21 are there")));
}

TEST_F(IdxTest, RefusesMoreImagesThanTheHeaderSays) {
  write_packed(path("images.gz"), idx_bytes(0x803, {1, 2, 2}, {1, 2, 3, 4, 5}));

  EXPECT_THAT(error_of_images("images.gz"), AllOf(HasSubstr("images.gz"), HasSubstr("more data")));
}

TEST_F(IdxTest, RefusesAHeaderThatPromisesTooMuch) {
  write_packed(path("images.gz"), idx_bytes(0x803, {0xffffffff, 28, 28}, {1, 2, 3}));
  write_packed(path("huge.gz"), idx_bytes(0x803, {1, 0xffffffff, 28}, {1, 2, 3}));
  write_packed(path("none.gz"), idx_bytes(0x803, {0, 28, 28}, {}));

  EXPECT_THAT(error_of_images("images.gz"), HasSubstr("ends within its images"));
  EXPECT_THAT(error_of_images("huge.gz"), HasSubstr("4294967295 x 28 pixels"));
  EXPECT_THAT(error_of_images("none.gz"), HasSubstr("0 images"));
}

TEST_F(IdxTest, RefusesATruncatedArchive) {
  write_images(path("images.gz"), 10);
  const std::string whole = read_file(path("images.gz"));

  // Within the archive's header, its data, and the check sum behind the data.
  for (const std::size_t length : {std::size_t{5}, whole.size() / 2, whole.size() - 4}) {
    write_file(path("cut.gz"), whole.substr(0, length));

    EXPECT_THAT(error_of_images("cut.gz"), AllOf(HasSubstr("cut.gz"), HasSubstr("cut off")))
        << length;
  }
}

TEST_F(IdxTest, RefusesADamagedArchive) {
  write_images(path("images.gz"), 10);
  std::string damaged = read_file(path("images.gz"));

  damaged[damaged.size() - 6] =
      static_cast<char>(damaged[damaged.size() - 6] ^ 1);  // in the check sum
  write_file(path("images.gz"), damaged);

  EXPECT_THAT(error_of_images("images.gz"), AllOf(HasSubstr("images.gz"), HasSubstr("is damaged")));
}

TEST_F(IdxTest, RefusesAFolder) {
  EXPECT_THAT(error_of([&] { (void)read_idx_images(path("")); }), HasSubstr("directory"));
}

TEST_F(IdxTest, DatasetGivesNormalizedImages) {
  write_images(path("images.gz"), 3);
  write_labels(path("labels.gz"), {9, 0, 5});
  const ImageDataset data(path("images.gz"), path("labels.gz"));
  const std::vector<std::int64_t> indices = {2, 0};

  const Batch batch = data.batch(indices);

  EXPECT_EQ(data.size(), 3);
  EXPECT_EQ(batch.images.sizes(), (std::vector<std::int64_t>{2, 1, 28, 28}));
  const float* pixels = batch.images.data_ptr<float>();
  EXPECT_NEAR(pixels[0], (2 * 784 % 256 / 255.0 - 0.2860) / 0.3530, 1e-5);
  EXPECT_NEAR(pixels[784 + 255], (1 - 0.2860) / 0.3530, 1e-5);
  const std::int64_t* labels = batch.labels.data_ptr<std::int64_t>();
  EXPECT_EQ(labels[0], 5);
  EXPECT_EQ(labels[1], 9);
}

TEST_F(IdxTest, DatasetRangeIsTheBatchOfThoseNumbers) {
  write_images(path("images.gz"), 4);
  write_labels(path("labels.gz"), {9, 0, 5, 1});
  const ImageDataset data(path("images.gz"), path("labels.gz"));
  const std::vector<std::int64_t> indices = {1, 2};

  const Batch range = data.range(1, 2);

  EXPECT_TRUE(range.images.equal(data.batch(indices).images));
  EXPECT_TRUE(range.labels.equal(data.batch(indices).labels));
}

TEST_F(IdxTest, DatasetNamesBothCountsWhenTheyDiffer) {
  write_images(path("images.gz"), 3);
  write_labels(path("labels.gz"), {1, 2});

  EXPECT_THAT(error_of_dataset(),
              AllOf(HasSubstr("images.gz' holds 3 images"), HasSubstr("labels.gz' 2 labels")));
}

TEST_F(IdxTest, DatasetRefusesALabelOutOfRange) {
  write_images(path("images.gz"), 3);
  write_labels(path("labels.gz"), {1, 10, 2});

  EXPECT_THAT(error_of_dataset(),
              AllOf(HasSubstr("labels.gz"), HasSubstr("label 10 of image 1"), HasSubstr("0 to 9")));
}

TEST_F(IdxTest, DatasetRefusesImagesOfAnotherSize) {
  write_images(path("images.gz"), 3, 32);
  write_labels(path("labels.gz"), {1, 1, 1});

  EXPECT_THAT(error_of_dataset(), AllOf(HasSubstr("32 x 32"), HasSubstr("28 x 28 were expected")));
}

TEST_F(IdxTest, FashionMnistIsReadPackedOrNot) {
  write_images(path("train-images-idx3-ubyte.gz"), 3);
  write_file(path("train-labels-idx1-ubyte"), idx_bytes(0x801, {3}, {3, 1, 4}));
  write_images(path("t10k-images-idx3-ubyte.gz"), 2);
  write_labels(path("t10k-labels-idx1-ubyte.gz"), {5, 9});
  write_file(path("t10k-labels-idx1-ubyte"), "a packed file is taken first");

  const FashionMnist data = load_fashion_mnist(path(""));

  EXPECT_THAT(data.train.labels(), ElementsAre(3, 1, 4));
  EXPECT_THAT(data.test.labels(), ElementsAre(5, 9));
}

TEST_F(IdxTest, AMissingFashionMnistNamesTheFileAndThePackage) {
  write_images(path("train-images-idx3-ubyte.gz"), 3);

  const std::string error = error_of([&] { (void)load_fashion_mnist(path("")); });

  EXPECT_THAT(error,
              AllOf(HasSubstr("train-labels-idx1-ubyte.gz"), HasSubstr("dataset-fashion-mnist")));
}

}  // namespace
}  // namespace gossip::examples
