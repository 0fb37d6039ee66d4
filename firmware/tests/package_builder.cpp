#include "package_builder.h"

#include "base/crc32.h"
#include "model/container.h"
#include "model/package.h"

namespace enhancer::fake {
namespace {

template <typename T>
void append(Bytes& bytes, T value) {
  bytes.resize(bytes.size() + sizeof value);
  patch(bytes, bytes.size() - sizeof value, value);
}

TensorRecord record(TensorRole role, TensorType type, std::uint32_t bytes, float scale,
                    std::int32_t zero_point, std::uint32_t arena_offset) {
  return {role, type, 0, bytes, scale, zero_point, arena_offset, 0, {}};
}

/// Four bands over all 257 bins: three of 64 bins, one of 65, without overlap.
Bytes front_end() {
  constexpr std::uint32_t kBins = 257;
  Bytes bytes;
  append(bytes, FrontEndHeader{16000, 512, 256, kBands, kBins, 0.3F, 1.0F, 0});
  for (std::uint32_t band = 0; band < kBands; ++band) append(bytes, 0.5F);
  for (std::uint32_t band = 0; band < kBands; ++band) append(bytes, 2.0F);
  for (std::uint32_t band = 0; band < kBands; ++band) append(bytes, 1.0F / 64);
  for (std::uint32_t bin = 0; bin < kBins; ++bin) append(bytes, 1.0F);
  for (std::uint16_t band = 0; band < kBands; ++band) append<std::uint16_t>(bytes, band * 64);
  for (std::uint16_t band = 0; band < kBands; ++band) append<std::uint16_t>(bytes, 64 + band / 3);
  return bytes;
}

}  // namespace

PackageParts::PackageParts() {
  sections[Section::kFrontEnd] = front_end();
  Bytes& tensors = sections[Section::kTensors];
  const auto int8 = TensorType::kInt8;
  const auto int16 = TensorType::kInt16;
  append(tensors, record(TensorRole::kInput, int8, kBands, 1.0F / 128, 0, kFeaturesOffset));
  append(tensors, record(TensorRole::kOutput, int8, kBands, 1.0F / 255, -128, kMaskOffset));
  append(tensors, record(TensorRole::kStateIn, int16, 4, 1.0F / 2048, 0, kStateInOffset));
  append(tensors, record(TensorRole::kStateOut, int16, 4, 1.0F / 2048, 0, kStateOutOffset));
  append(sections[Section::kNpuJob],
         NpuJobHeader{kArchitecture, kConfig, kArenaBytes, WeightsPlacement::kFlash});
  sections[Section::kNpuStream] = Bytes(16, 0);
  sections[Section::kNpuWeights] = Bytes(48, 7);
}

void PackageParts::widen_bands() {
  constexpr std::size_t kMaskRecord = sizeof(TensorRecord);
  const auto int16 = TensorType::kInt16;
  Bytes& tensors = sections[Section::kTensors];
  constexpr float kScale = 1.0F / 32768;
  patch(tensors, 0, record(TensorRole::kInput, int16, 2 * kBands, kScale, 0, kFeaturesOffset));
  patch(tensors, kMaskRecord,
        record(TensorRole::kOutput, int16, 2 * kBands, kScale, 0, kMaskOffset));
}

Bytes PackageParts::build() const {
  constexpr std::size_t kHeaderBytes = 16;
  Bytes table;
  Bytes body;
  const std::size_t start = kHeaderBytes * (1 + sections.size());
  for (const auto& [kind, content] : sections) {
    append(table, kind);
    append(table, static_cast<std::uint32_t>(start + body.size()));
    append(table, static_cast<std::uint32_t>(content.size()));
    append<std::uint32_t>(table, 0);
    body.insert(body.end(), content.begin(), content.end());
    body.resize((body.size() + 15) / 16 * 16);
  }
  Bytes package = {'S', 'E', 'M', 'P', 0, 0, 0, 0};
  append<std::uint16_t>(package, 1);
  append<std::uint16_t>(package, static_cast<std::uint16_t>(sections.size()));
  append(package, static_cast<std::uint32_t>(start + body.size()));
  package.insert(package.end(), table.begin(), table.end());
  package.insert(package.end(), body.begin(), body.end());
  seal(package);
  return package;
}

void seal(Bytes& package) {
  constexpr std::size_t kCrcOffset = 4;
  constexpr std::size_t kChecked = 8;
  patch(package, kCrcOffset, crc32({package.data() + kChecked, package.size() - kChecked}));
}

}  // namespace enhancer::fake
