// SPDX-License-Identifier: Apache-2.0
#include "common/idx.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include <zlib.h>

#include <libgossip/base/error.h>

namespace gossip::examples {
namespace {

// The magic number is two zero bytes, the element type (8: unsigned byte) and the number of
// dimensions.
constexpr std::uint32_t kImagesMagic = 0x00000803;
constexpr std::uint32_t kLabelsMagic = 0x00000801;

// Reads a file that may be packed.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path)
      : path_(path.string()), file_(gzopen(path.c_str(), "rb"), &gzclose) {
    GOSSIP_CHECK(file_ != nullptr, "Cannot read '{}': {}", path_, std::strerror(errno));
  }

  [[nodiscard]] const std::string& path() const { return path_; }

  // Reads until `bytes` is full; `what` names it in errors.
  void read(std::uint8_t* bytes, std::size_t count, const char* what) {
    const std::size_t found = read_up_to(bytes, count);
    GOSSIP_CHECK(found == count, "'{}' ends within {}: {} bytes were expected, {} are there", path_,
                 what, total_, total_ - count + found);
  }

  std::uint32_t read_number(const char* what) {
    std::array<std::uint8_t, 4> bytes{};
    read(bytes.data(), bytes.size(), what);
    std::uint32_t number = 0;
    for (const std::uint8_t byte : bytes) number = number << 8U | byte;
    return number;
  }

  // Also makes zlib compare the check sum, which stands behind the data.
  void expect_end() {
    std::uint8_t more = 0;
    GOSSIP_CHECK(read_up_to(&more, 1) == 0, "'{}' holds more data than its header says", path_);
  }

 private:
  std::size_t read_up_to(std::uint8_t* bytes, std::size_t count) {
    total_ += count;
    const int found = gzread(file_.get(), bytes, static_cast<unsigned>(count));
    int code = Z_OK;
    const char* message = gzerror(file_.get(), &code);
    GOSSIP_CHECK(code != Z_BUF_ERROR, "'{}' is cut off: its compressed data ends too early", path_);
    GOSSIP_CHECK(found >= 0 && code == Z_OK, "'{}' is damaged: {}", path_,
                 code == Z_ERRNO ? std::strerror(errno) : message);
    return static_cast<std::size_t>(found);
  }

  std::string path_;
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
  std::size_t total_ = 0;  // bytes asked for so far
};

void expect_magic(Reader& reader, std::uint32_t expected, const char* kind) {
  const std::uint32_t magic = reader.read_number("its header");
  GOSSIP_CHECK(magic == expected,
               "'{}' is not an IDX file of {}: its magic number is 0x{:08x}, 0x{:08x} was expected",
               reader.path(), kind, magic, expected);
}

// Grows piece by piece, so that a damaged header that promises too much does not cost the memory.
std::vector<std::uint8_t> read_data(Reader& reader, std::size_t count, const char* what) {
  constexpr std::size_t kPiece = std::size_t{1} << 24U;
  std::vector<std::uint8_t> data;
  while (data.size() < count) {
    const std::size_t begin = data.size();
    const std::size_t piece = std::min(kPiece, count - begin);
    data.resize(begin + piece);
    reader.read(data.data() + begin, piece, what);
  }
  reader.expect_end();
  return data;
}

}  // namespace

std::filesystem::path fashion_mnist_file(const std::filesystem::path& folder,
                                         const std::string& name) {
  const std::filesystem::path packed = folder / (name + ".gz");
  const std::filesystem::path plain = folder / name;
  if (!std::filesystem::exists(packed) && std::filesystem::exists(plain)) return plain;
  GOSSIP_CHECK(std::filesystem::exists(packed),
               "There is no file '{}', nor one without .gz. Install Fashion-MNIST (apt-get install "
               "dataset-fashion-mnist puts it into {}) or name the folder that holds its four "
               "files.",
               packed.string(), kFashionMnistFolder);
  return packed;
}

IdxImages read_idx_images(const std::filesystem::path& path) {
  Reader reader(path);
  expect_magic(reader, kImagesMagic, "images");
  IdxImages images;
  images.count = reader.read_number("its header");
  images.rows = reader.read_number("its header");
  images.columns = reader.read_number("its header");
  constexpr std::int64_t kMostPixels = 1 << 14;
  GOSSIP_CHECK(images.count > 0 && images.rows > 0 && images.rows <= kMostPixels &&
                   images.columns > 0 && images.columns <= kMostPixels,
               "'{}' is damaged: its header says {} images of {} x {} pixels", reader.path(),
               images.count, images.rows, images.columns);
  images.pixels = read_data(
      reader, static_cast<std::size_t>(images.count * images.rows * images.columns), "its images");
  return images;
}

std::vector<std::uint8_t> read_idx_labels(const std::filesystem::path& path) {
  Reader reader(path);
  expect_magic(reader, kLabelsMagic, "labels");
  const std::uint32_t count = reader.read_number("its header");
  GOSSIP_CHECK(count > 0, "'{}' is damaged: its header says 0 labels", reader.path());
  return read_data(reader, count, "its labels");
}

}  // namespace gossip::examples
