// Segment one image with a graph of this bundle: segment MODEL.onnx IMAGE.ppm LABELS.pgm [THREADS]
//
// Reads a binary PPM (P6, 8 bits) of any size and writes a binary PGM of train ids of the same size. It resizes in
// integers, as preprocessing.json beside the graph says, and so gives the same bytes as predict.py. Run
// `python verify.py` first: this program does not verify its files.

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <limits>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Picture {
  std::int64_t height = 0;  // pixels
  std::int64_t width = 0;
  std::int64_t channels = 0;
  std::vector<std::uint8_t> pixels;  // row by row, the channels of a pixel together

  const std::uint8_t* at(std::int64_t row, std::int64_t column) const {
    return pixels.data() + (row * width + column) * channels;
  }
};

constexpr std::int64_t kMaxSide = 1 << 16;

// Reads an integer of a PPM header, after blanks and comments (up to the end of their line); -1 if there is none.
std::int64_t read_number(std::istream& file) {
  while (std::isspace(file.peek()) || file.peek() == '#') {
    if (file.get() == '#') file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  std::int64_t number = -1;
  file >> number;
  return file ? number : -1;
}

Picture read_ppm(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + " cannot be read");
  std::string magic(2, ' ');
  file.read(magic.data(), 2);
  Picture picture;
  picture.width = read_number(file);
  picture.height = read_number(file);
  picture.channels = 3;
  const std::int64_t largest = read_number(file);
  const bool sized = 0 < std::min(picture.width, picture.height) && std::max(picture.width, picture.height) <= kMaxSide;
  if (magic != "P6" || !sized || largest != 255) throw std::runtime_error(path + " is not a binary PPM of 8 bits (P6)");
  file.get();  // the one blank that ends the header
  picture.pixels.resize(static_cast<std::size_t>(picture.width * picture.height * 3));
  file.read(reinterpret_cast<char*>(picture.pixels.data()), static_cast<std::streamsize>(picture.pixels.size()));
  if (!file) throw std::runtime_error(path + " is truncated");
  return picture;
}

void write_pgm(const std::string& path, const Picture& labels) {
  std::ofstream file(path, std::ios::binary);
  file << "P5\n" << labels.width << ' ' << labels.height << "\n255\n";
  file.write(reinterpret_cast<const char*>(labels.pixels.data()), static_cast<std::streamsize>(labels.pixels.size()));
  if (!file.flush()) throw std::runtime_error(path + " cannot be written");
}

// The two of the `source` pixels around the center of pixel `index` of `target` pixels, and the weight of the second in
// units of 1 / (2 target).
struct Neighbors {
  std::int64_t first, second, weight;

  Neighbors(std::int64_t index, std::int64_t source, std::int64_t target) {
    const std::int64_t position = std::max<std::int64_t>((2 * index + 1) * source - target, 0);
    first = position / (2 * target);
    second = std::min(first + 1, source - 1);
    weight = position % (2 * target);
  }
};

// Resizes bilinearly with half-pixel centers, without antialiasing. A pixel is the exact value, rounded half up.
Picture resize(const Picture& image, std::int64_t height, std::int64_t width) {
  Picture result{height, width, image.channels, {}};
  result.pixels.reserve(static_cast<std::size_t>(height * width * image.channels));
  const std::int64_t denominator = 4 * height * width;
  for (std::int64_t row = 0; row < height; ++row) {
    const Neighbors down(row, image.height, height);
    for (std::int64_t column = 0; column < width; ++column) {
      const Neighbors across(column, image.width, width);
      for (std::int64_t channel = 0; channel < image.channels; ++channel) {
        const auto blend = [&](std::int64_t at) {
          return image.at(down.first, at)[channel] * (2 * height - down.weight) +
                 image.at(down.second, at)[channel] * down.weight;
        };
        const std::int64_t total =
            blend(across.first) * (2 * width - across.weight) + blend(across.second) * across.weight;
        result.pixels.push_back(static_cast<std::uint8_t>((total + denominator / 2) / denominator));
      }
    }
  }
  return result;
}

// Resizes by nearest neighbor: each target pixel gets the source pixel that contains its center.
Picture resize_labels(const Picture& labels, std::int64_t height, std::int64_t width) {
  Picture result{height, width, 1, {}};
  result.pixels.reserve(static_cast<std::size_t>(height * width));
  for (std::int64_t row = 0; row < height; ++row) {
    for (std::int64_t column = 0; column < width; ++column) {
      result.pixels.push_back(
          *labels.at((2 * row + 1) * labels.height / (2 * height), (2 * column + 1) * labels.width / (2 * width)));
    }
  }
  return result;
}

// Returns whether images keep their aspect ratio, from preprocessing.json in the folder of the graph.
bool keeps_aspect_ratio(const std::string& graph) {
  const std::string path = graph.substr(0, graph.find_last_of('/') + 1) + "preprocessing.json";
  std::stringstream contract;
  contract << std::ifstream(path).rdbuf();
  const std::string text = contract.str();
  std::smatch found;
  const std::regex mode("\"mode\"\\s*:\\s*\"(stretch|letterbox)\"");
  if (!std::regex_search(text, found, mode)) throw std::runtime_error(path + " does not say how images are resized");
  return found[1] == "letterbox";
}

// The rectangle that an image fills in the graph's image of `height` x `width` pixels.
struct Place {
  std::int64_t top, left, height, width;

  Place(const Picture& image, std::int64_t height, std::int64_t width, bool letterbox) : height(height), width(width) {
    const auto rounded = [](std::int64_t a, std::int64_t b) { return std::max<std::int64_t>(1, (2 * a + b) / (2 * b)); };
    if (letterbox && image.height * width >= image.width * height) {
      this->width = rounded(image.width * height, image.height);
    } else if (letterbox) {
      this->height = rounded(image.height * width, image.width);
    }
    top = (height - this->height) / 2;
    left = (width - this->width) / 2;
  }
};

// Copies a picture into a black one of `height` x `width` pixels.
Picture padded(const Picture& picture, const Place& place, std::int64_t height, std::int64_t width) {
  Picture result{height, width, picture.channels, {}};
  result.pixels.resize(static_cast<std::size_t>(height * width * picture.channels));
  for (std::int64_t row = 0; row < picture.height; ++row) {
    const std::int64_t first = ((place.top + row) * width + place.left) * picture.channels;
    std::copy_n(picture.at(row, 0), picture.width * picture.channels, result.pixels.begin() + first);
  }
  return result;
}

// Returns the labels inside the image's rectangle.
Picture cropped(const Picture& labels, const Place& place) {
  Picture result{place.height, place.width, 1, {}};
  for (std::int64_t row = place.top; row < place.top + place.height; ++row) {
    result.pixels.insert(result.pixels.end(), labels.at(row, place.left), labels.at(row, place.left) + place.width);
  }
  return result;
}

Picture segment(Ort::Session& session, const Picture& image, const std::string& graph) {
  const auto info = session.GetInputTypeInfo(0);
  const auto tensor = info.GetTensorTypeAndShapeInfo();
  const std::vector<std::int64_t> shape = tensor.GetShape();
  const bool expected = session.GetInputCount() == 1 && shape.size() == 4 && shape[0] == 1 && shape[3] == 3 &&
                        tensor.GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
  if (!expected || shape[1] < 1 || shape[2] < 1) throw std::runtime_error("the graph does not take uint8 (1, H, W, 3)");
  const Place place(image, shape[1], shape[2], keeps_aspect_ratio(graph));
  Picture input = padded(resize(image, place.height, place.width), place, shape[1], shape[2]);

  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  Ort::Value value = Ort::Value::CreateTensor<std::uint8_t>(memory, input.pixels.data(), input.pixels.size(),
                                                            shape.data(), shape.size());
  Ort::AllocatorWithDefaultOptions allocator;
  const auto taken = session.GetInputNameAllocated(0, allocator);
  const auto given = session.GetOutputNameAllocated(0, allocator);
  const std::array<const char*, 1> inputs{taken.get()}, outputs{given.get()};
  const auto results = session.Run(Ort::RunOptions{nullptr}, inputs.data(), &value, 1, outputs.data(), 1);
  const auto* labels = results.front().GetTensorData<std::uint8_t>();
  const Picture found{shape[1], shape[2], 1, {labels, labels + shape[1] * shape[2]}};
  return resize_labels(cropped(found, place), image.height, image.width);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4 || argc > 5) {
    std::cerr << "usage: segment MODEL.onnx IMAGE.ppm LABELS.pgm [THREADS]\n";
    return 2;
  }
  try {
    const Picture image = read_ppm(argv[2]);
    Ort::Env environment(ORT_LOGGING_LEVEL_ERROR, "segment");
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(argc == 5 ? std::atoi(argv[4]) : 0);  // 0: ONNX Runtime chooses
    Ort::Session session(environment, argv[1], options);
    write_pgm(argv[3], segment(session, image, argv[1]));
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
