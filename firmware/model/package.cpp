#include "model/package.h"

#include <cmath>
#include <cstddef>
#include <cstring>

#include "base/crc32.h"
#include "dsp/frame.h"

namespace enhancer {
namespace {

using Bytes = Span<const std::uint8_t>;

enum Section : std::uint32_t {
  kFrontEnd = 1,
  kTensors = 2,
  kNpuJob = 3,
  kNpuStream = 4,
  kNpuWeights = 5,
  kTflite = 6,
  kGolden = 7,
  kMemoryTiming = 8,
  kSectionCount = 9,
};

struct Header {
  char magic[4];
  std::uint32_t crc32;  ///< Of everything after this field.
  std::uint16_t version;
  std::uint16_t sections;
  std::uint32_t bytes;
};
static_assert(sizeof(Header) == 16);

struct SectionEntry {
  std::uint32_t kind;
  std::uint32_t offset;
  std::uint32_t bytes;
  std::uint32_t reserved;
};
static_assert(sizeof(SectionEntry) == 16);

constexpr char kMagic[4] = {'S', 'E', 'M', 'P'};
constexpr std::uint16_t kVersion = 1;
constexpr std::size_t kChecked = offsetof(Header, version);
constexpr std::size_t kAlignment = 16;
constexpr std::size_t kGoldenHeaderBytes = 16;

constexpr Status malformed(Section section, std::uint32_t detail = 0) {
  return {Error::kPackageMalformed, section, detail};
}

template <typename T>
T load(Bytes bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

/// Cuts typed arrays off the front of a section; `complete()` is true when exactly all of the
/// section was taken.
class Cursor {
 public:
  explicit Cursor(Bytes bytes) : bytes_(bytes) {}

  template <typename T>
  Span<const T> take(std::size_t count) {
    const std::size_t wanted = count * sizeof(T);
    if (failed_ || wanted > bytes_.size()) {
      failed_ = true;
      return {};
    }
    const Span<const T> result(reinterpret_cast<const T*>(bytes_.data()), count);
    bytes_ = bytes_.subspan(wanted, bytes_.size() - wanted);
    return result;
  }
  bool complete() const { return !failed_ && bytes_.empty(); }

 private:
  Bytes bytes_;
  bool failed_ = false;
};

bool all_finite(Span<const float> values) {
  for (const float value : values) {
    if (!std::isfinite(value)) {
      return false;
    }
  }
  return true;
}

Status parse_front_end(Bytes bytes, FrontEndConstants& result) {
  if (bytes.size() < sizeof(FrontEndHeader)) {
    return malformed(kFrontEnd);
  }
  const auto header = load<FrontEndHeader>(bytes);
  if (header.rate_hz != kRateHz || header.frame_samples != kFrameSamples ||
      header.hop_samples != kHopSamples) {
    return malformed(kFrontEnd, header.frame_samples);
  }
  if (header.bands < 1 || header.bands > kMaxBands || header.weight_count > kMaxBandWeights ||
      !std::isfinite(header.power_exponent) || !(header.feature_limit > 0)) {
    return malformed(kFrontEnd, header.bands);
  }
  Cursor cursor(bytes.subspan(sizeof header, bytes.size() - sizeof header));
  result.header = header;
  result.mean = cursor.take<float>(header.bands);
  result.inverse_deviation = cursor.take<float>(header.bands);
  result.inverse_band_sum = cursor.take<float>(header.bands);
  result.weights = cursor.take<float>(header.weight_count);
  result.first_bin = cursor.take<std::uint16_t>(header.bands);
  result.bin_count = cursor.take<std::uint16_t>(header.bands);
  if (!cursor.complete()) {
    return malformed(kFrontEnd, static_cast<std::uint32_t>(bytes.size()));
  }
  if (!all_finite(result.mean) || !all_finite(result.inverse_deviation) ||
      !all_finite(result.inverse_band_sum) || !all_finite(result.weights)) {
    return malformed(kFrontEnd);
  }
  std::size_t weights = 0;
  for (std::size_t band = 0; band < header.bands; ++band) {
    if (result.first_bin[band] + result.bin_count[band] > kBins) {
      return malformed(kFrontEnd, static_cast<std::uint32_t>(band));
    }
    weights += result.bin_count[band];
  }
  return weights == header.weight_count ? kOk : malformed(kFrontEnd, header.weight_count);
}

bool record_is_sound(const TensorRecord& record) {
  const bool known_type = record.type == TensorType::kInt8 || record.type == TensorType::kInt16;
  const bool in_range = record.type == TensorType::kInt16
                            ? record.zero_point == 0
                            : record.zero_point >= -128 && record.zero_point <= 127;
  return known_type && in_range && record.bytes > 0 &&
         record.bytes % element_bytes(record.type) == 0 && std::isfinite(record.scale) &&
         record.scale > 0;
}

Status parse_tensors(Bytes bytes, ModelPackage& package) {
  if (bytes.size() % sizeof(TensorRecord) != 0) {
    return malformed(kTensors);
  }
  bool has_input[kMaxStates] = {};
  bool has_output[kMaxStates] = {};
  bool has_features = false;
  bool has_mask = false;
  const auto accept = [](bool& seen, TensorRecord& target, const TensorRecord& record) {
    const bool first = !seen;
    seen = true;
    target = record;
    return first;
  };
  const auto count = static_cast<std::uint32_t>(bytes.size() / sizeof(TensorRecord));
  for (std::uint32_t index = 0; index < count; ++index) {
    const auto record =
        load<TensorRecord>(bytes.subspan(index * sizeof(TensorRecord), sizeof(TensorRecord)));
    if (!record_is_sound(record) || record.state >= kMaxStates) {
      return malformed(kTensors, index);
    }
    bool unique = false;
    switch (record.role) {
      case TensorRole::kFeatures:
        unique = accept(has_features, package.features, record);
        break;
      case TensorRole::kMask:
        unique = accept(has_mask, package.mask, record);
        break;
      case TensorRole::kStateIn:
        unique = accept(has_input[record.state], package.state_in[record.state], record);
        break;
      case TensorRole::kStateOut:
        unique = accept(has_output[record.state], package.state_out[record.state], record);
        break;
    }
    if (!unique) {
      return malformed(kTensors, index);
    }
  }
  const std::uint32_t bands = package.front_end.header.bands;
  if (!has_features || !has_mask ||
      package.features.bytes != bands * element_bytes(package.features.type) ||
      package.mask.bytes != bands * element_bytes(package.mask.type)) {
    return malformed(kTensors, count);
  }
  package.states = 0;
  while (package.states < kMaxStates && has_input[package.states]) {
    ++package.states;
  }
  for (std::size_t state = 0; state < kMaxStates; ++state) {
    const TensorRecord& in = package.state_in[state];
    const TensorRecord& out = package.state_out[state];
    const bool used = state < package.states;
    if (has_input[state] != used || has_output[state] != used ||
        (used && (in.bytes != out.bytes || in.type != out.type))) {
      return malformed(kTensors, count);
    }
  }
  return kOk;
}

bool fits(const TensorRecord& record, std::uint32_t arena_bytes) {
  return record.arena_offset <= arena_bytes && record.bytes <= arena_bytes - record.arena_offset;
}

Status parse_npu_job(Bytes bytes, ModelPackage& package) {
  if (bytes.size() != sizeof(NpuJobHeader) || package.npu_stream.empty() ||
      package.npu_stream.size() % sizeof(std::uint32_t) != 0) {
    return malformed(kNpuJob);
  }
  package.npu_job = load<NpuJobHeader>(bytes);
  const NpuJobHeader& job = package.npu_job;
  if (job.weights_placement != WeightsPlacement::kFlash &&
      job.weights_placement != WeightsPlacement::kSramAtBoot) {
    return malformed(kNpuJob, static_cast<std::uint32_t>(job.weights_placement));
  }
  bool inside = fits(package.features, job.arena_bytes) && fits(package.mask, job.arena_bytes);
  for (std::size_t state = 0; state < package.states; ++state) {
    inside = inside && fits(package.state_in[state], job.arena_bytes) &&
             fits(package.state_out[state], job.arena_bytes);
  }
  return inside ? kOk : malformed(kNpuJob, job.arena_bytes);
}

Status parse_golden(Bytes bytes, ModelPackage& package) {
  if (bytes.size() < kGoldenHeaderBytes) {
    return malformed(kGolden);
  }
  const auto hops = load<std::uint32_t>(bytes);
  const std::size_t data_bytes = bytes.size() - kGoldenHeaderBytes;
  const std::size_t hop_bytes = std::size_t{package.features.bytes} + package.mask.bytes;
  if (data_bytes % hop_bytes != 0 || data_bytes / hop_bytes != hops) {
    return malformed(kGolden, hops);
  }
  Cursor cursor(bytes.subspan(kGoldenHeaderBytes, data_bytes));
  package.golden.hops = hops;
  package.golden.features = cursor.take<std::uint8_t>(std::size_t{hops} * package.features.bytes);
  package.golden.mask = cursor.take<std::uint8_t>(std::size_t{hops} * package.mask.bytes);
  return kOk;
}

Status find_sections(Bytes package, std::size_t count, Bytes (&sections)[kSectionCount]) {
  const std::size_t table_end = sizeof(Header) + count * sizeof(SectionEntry);
  if (table_end > package.size()) {
    return {Error::kPackageTruncated, static_cast<std::uint32_t>(table_end),
            static_cast<std::uint32_t>(package.size())};
  }
  for (std::size_t index = 0; index < count; ++index) {
    const auto entry = load<SectionEntry>(
        package.subspan(sizeof(Header) + index * sizeof(SectionEntry), sizeof(SectionEntry)));
    if (entry.kind == 0 || entry.kind >= kSectionCount || !sections[entry.kind].empty() ||
        entry.bytes == 0 || entry.offset % kAlignment != 0 || entry.offset < table_end) {
      return malformed(static_cast<Section>(entry.kind));
    }
    if (entry.offset > package.size() || entry.bytes > package.size() - entry.offset) {
      return {Error::kPackageTruncated, entry.offset, static_cast<std::uint32_t>(package.size())};
    }
    sections[entry.kind] = package.subspan(entry.offset, entry.bytes);
  }
  return kOk;
}

Status check_header(Bytes memory, Header& header) {
  if (memory.size() < sizeof(Header) || std::memcmp(memory.data(), kMagic, sizeof kMagic) != 0) {
    return {Error::kPackageMissing};
  }
  header = load<Header>(memory);
  if (header.version != kVersion) {
    return {Error::kPackageVersion, kVersion, header.version};
  }
  if (header.bytes < sizeof(Header) || header.bytes > memory.size()) {
    return {Error::kPackageTruncated, header.bytes, static_cast<std::uint32_t>(memory.size())};
  }
  const std::uint32_t actual = crc32(memory.subspan(kChecked, header.bytes - kChecked));
  if (actual != header.crc32) {
    return {Error::kPackageChecksum, header.crc32, actual};
  }
  return kOk;
}

}  // namespace

Status parse_package(Span<const std::uint8_t> memory, ModelPackage& package) {
  Header header{};
  if (const Status status = check_header(memory, header); !status.ok()) {
    return status;
  }
  Bytes sections[kSectionCount] = {};
  if (const Status status = find_sections(memory.first(header.bytes), header.sections, sections);
      !status.ok()) {
    return status;
  }
  package = ModelPackage{};
  package.crc32 = header.crc32;
  package.bytes = header.bytes;
  package.npu_stream = sections[kNpuStream];
  package.npu_weights = sections[kNpuWeights];
  package.tflite = sections[kTflite];
  if (const Status status = parse_front_end(sections[kFrontEnd], package.front_end); !status.ok()) {
    return status;
  }
  if (const Status status = parse_tensors(sections[kTensors], package); !status.ok()) {
    return status;
  }
  if (!sections[kNpuJob].empty() || !package.npu_stream.empty()) {
    if (const Status status = parse_npu_job(sections[kNpuJob], package); !status.ok()) {
      return status;
    }
  }
  const Bytes timing = sections[kMemoryTiming];
  if (!timing.empty() && timing.size() != sizeof(MemoryTiming)) {
    return malformed(kMemoryTiming);
  }
  package.has_memory_timing = !timing.empty();
  if (package.has_memory_timing) {
    package.memory_timing = load<MemoryTiming>(timing);
  }
  return sections[kGolden].empty() ? kOk : parse_golden(sections[kGolden], package);
}

}  // namespace enhancer
