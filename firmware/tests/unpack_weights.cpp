/// unpack_weights SECTION WEIGHTS: what the firmware makes of a package's packed weights.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <vector>

#include "model/packed_weights.h"

using namespace enhancer;

int main(int count, char** names) {
  if (count != 3) {
    return static_cast<int>(Error::kUsage);
  }
  std::ifstream file(names[1], std::ios::binary);
  const std::vector<char> content{std::istreambuf_iterator<char>(file), {}};
  const Span<const std::uint8_t> section(reinterpret_cast<const std::uint8_t*>(content.data()),
                                         content.size());
  PackedWeights packed;
  Status status = parse_packed_weights(section, packed);
  std::vector<std::uint8_t> weights(status.ok() ? packed.bytes : 0);
  if (status.ok()) {
    static WeightsUnpacker unpacker;
    status = unpacker.unpack(packed, {weights.data(), weights.size()});
  }
  if (status.ok()) {
    std::ofstream(names[2], std::ios::binary)
        .write(reinterpret_cast<const char*>(weights.data()),
               static_cast<std::streamsize>(weights.size()));
  }
  return static_cast<int>(status.error);
}
