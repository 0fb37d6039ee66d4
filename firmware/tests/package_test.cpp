#include "model/package.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <random>

#include "dsp/bands.h"
#include "model/container.h"
#include "package_builder.h"

namespace enhancer {
namespace {

using fake::Bytes;
using fake::PackageParts;

/// Parses a copy that ends exactly with its memory, so that a sanitizer sees any overrun.
Status parse(const Bytes& bytes, ModelPackage& package) {
  static Bytes memory;
  memory = bytes;
  memory.shrink_to_fit();
  return parse_package({memory.data(), memory.size()}, package);
}

Error error_of(const Bytes& bytes) {
  ModelPackage package;
  return parse(bytes, package).error;
}

TEST(Package, HoldsWhatWasPacked) {
  PackageParts parts;
  parts.sections[Section::kGolden] = Bytes(16 + 3 * 8);
  fake::patch<std::uint32_t>(parts.sections[Section::kGolden], 0, 3);
  parts.sections[Section::kMemoryTiming] = Bytes(64, 0);
  fake::patch<std::uint32_t>(parts.sections[Section::kMemoryTiming], 32 + 3 * 4, 64);
  ModelPackage package;
  ASSERT_TRUE(parse(parts.build(), package).ok());
  EXPECT_EQ(package.front_end.header.bands, fake::kBands);
  EXPECT_EQ(package.front_end.weights.size(), 257U);
  EXPECT_EQ(package.front_end.bin_count[3], 65);
  EXPECT_EQ(package.features().arena_offset, fake::kFeaturesOffset);
  EXPECT_EQ(package.mask().zero_point, -128);
  EXPECT_EQ(package.state_in.size(), 1U);
  EXPECT_EQ(package.state_out[0].arena_offset, fake::kStateOutOffset);
  EXPECT_EQ(package.npu_job.config, fake::kConfig);
  EXPECT_EQ(package.npu_weights.size(), 48U);
  EXPECT_TRUE(package.tflite.empty());
  EXPECT_EQ(package.golden.hops, 3U);
  EXPECT_EQ(package.golden.outputs.size(), 3U * fake::kBands);
  EXPECT_EQ(package.memory_timing.axi1[3], 64U);
}

TEST(Package, MayLieInLongerMemory) {
  Bytes bytes = PackageParts().build();
  bytes.resize(bytes.size() + 100, 0xFF);
  EXPECT_EQ(error_of(bytes), Error::kNone);
}

TEST(Package, EveryTruncationIsFound) {
  const Bytes whole = PackageParts().build();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(error_of(cut), size < 16 ? Error::kPackageMissing : Error::kPackageTruncated) << size;
  }
}

TEST(Package, EveryFlippedBitIsFound) {
  Bytes bytes = PackageParts().build();
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1U << bit % 8));
    EXPECT_NE(error_of(bytes), Error::kNone) << bit;
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1U << bit % 8));
  }
}

TEST(Package, OtherVersionsAreRefused) {
  Bytes bytes = PackageParts().build();
  fake::patch<std::uint16_t>(bytes, 8, 2);
  EXPECT_EQ(error_of(bytes), Error::kPackageVersion);
}

struct Flaw {
  const char* name;
  std::uint32_t section;
  std::size_t offset;
  std::uint32_t value;
};

class PackageFlaw : public testing::TestWithParam<Flaw> {};

TEST_P(PackageFlaw, IsMalformed) {
  PackageParts parts;
  fake::patch(parts.sections[GetParam().section], GetParam().offset, GetParam().value);
  ModelPackage package;
  const Status status = parse(parts.build(), package);
  EXPECT_EQ(status.error, Error::kPackageMalformed);
}

constexpr std::size_t kRecord = 32;
constexpr std::uint32_t kNotANumber = 0x7FC00000;
constexpr std::uint32_t kInfinity = 0x7F800000;

INSTANTIATE_TEST_SUITE_P(
    Each, PackageFlaw,
    testing::Values(
        Flaw{"rate", Section::kFrontEnd, 0, 8000}, Flaw{"frame", Section::kFrontEnd, 4, 1024},
        Flaw{"bands", Section::kFrontEnd, 12, 1000}, Flaw{"no_bands", Section::kFrontEnd, 12, 0},
        Flaw{"weights", Section::kFrontEnd, 16, 256},
        Flaw{"exponent", Section::kFrontEnd, 20, kNotANumber},
        Flaw{"conditioned", Section::kFrontEnd, 28, 2},
        Flaw{"mean", Section::kFrontEnd, 32, kNotANumber},
        Flaw{"no_limit", Section::kFrontEnd, 24, kInfinity},
        Flaw{"infinite_mean", Section::kFrontEnd, 32, kInfinity},
        Flaw{"infinite_scaling", Section::kFrontEnd, 48, kInfinity},
        Flaw{"infinite_sum", Section::kFrontEnd, 64, kInfinity},
        Flaw{"infinite_weight", Section::kFrontEnd, 80, kInfinity},
        Flaw{"tiny_scale", Section::kTensors, 8, 1}, Flaw{"huge", Section::kTensors, 4, 0x80000000},
        Flaw{"role", Section::kTensors, 0, 0x00000909},
        Flaw{"type", Section::kTensors, 0, 0x00000200},
        Flaw{"state", Section::kTensors, 2 * kRecord, 0x00080702},
        Flaw{"gap", Section::kTensors, 2 * kRecord, 0x00010702},
        Flaw{"twice", Section::kTensors, kRecord, 0x00000900},
        Flaw{"size", Section::kTensors, 4, 5}, Flaw{"scale", Section::kTensors, 8, 0},
        Flaw{"zero_point", Section::kTensors, 12, 200},
        Flaw{"pair", Section::kTensors, 3 * kRecord + 4, 6},
        Flaw{"arena", Section::kTensors, 16, 61},
        Flaw{"far_away", Section::kTensors, 16, 0xFFFFFFFF},
        Flaw{"arena_size", Section::kNpuJob, 8, 51}, Flaw{"placement", Section::kNpuJob, 12, 2}),
    [](const auto& flaw) { return flaw.param.name; });

/// A record more, of a tensor that the stream writes or the CPU fills.
TensorRecord extra(TensorRole role, std::uint32_t arena_offset) {
  return {role, TensorType::kInt8, 0, 1, 1.0F / 256, -128, arena_offset, 0, {}};
}

Error error_with(const TensorRecord& record) {
  PackageParts parts;
  Bytes& tensors = parts.sections[Section::kTensors];
  tensors.resize(tensors.size() + sizeof record);
  fake::patch(tensors, tensors.size() - sizeof record, record);
  return error_of(parts.build());
}

TEST(Package, AGateIsOneValueOfWholeSteps) {
  EXPECT_EQ(error_with(extra(TensorRole::kGate, 8)), Error::kNone);
  TensorRecord two = extra(TensorRole::kGate, 8);
  two.bytes = 2;
  EXPECT_EQ(error_with(two), Error::kPackageMalformed);
  for (const float scale : {0.0F, 1.0F, 0.3F, 1e-9F, std::numeric_limits<float>::infinity()}) {
    TensorRecord other = extra(TensorRole::kGate, 8);
    other.scale = scale;
    EXPECT_EQ(error_with(other), Error::kPackageMalformed) << scale;
  }
}

TEST(Package, EveryTensorLiesInTheArena) {
  for (const TensorRole role : {TensorRole::kVariable, TensorRole::kFrameOut, TensorRole::kGate}) {
    EXPECT_EQ(error_with(extra(role, fake::kArenaBytes - 1)), Error::kNone);
    EXPECT_EQ(error_with(extra(role, fake::kArenaBytes)), Error::kPackageMalformed);
  }
}

TEST(Package, SectionsMissingOrOfWrongSizeAreMalformed) {
  for (const std::uint32_t kind :
       {Section::kFrontEnd, Section::kTensors, Section::kNpuJob, Section::kNpuStream}) {
    PackageParts without;
    without.sections.erase(kind);
    EXPECT_EQ(error_of(without.build()),
              kind == Section::kFrontEnd ? Error::kNone : Error::kPackageMalformed)
        << kind;
    PackageParts longer;
    longer.sections[kind].push_back(0);
    EXPECT_EQ(error_of(longer.build()), Error::kPackageMalformed) << kind;
  }
  PackageParts golden;
  golden.sections[Section::kGolden] = Bytes(16 + 8);
  EXPECT_EQ(error_of(golden.build()), Error::kPackageMalformed);
}

TEST(Package, WithoutAFrontEndAnyTensorsMayGoInAndOut) {
  PackageParts parts;
  parts.sections.erase(Section::kFrontEnd);
  Bytes& tensors = parts.sections[Section::kTensors];
  fake::patch<std::uint32_t>(tensors, 0, 0x00000300);  // uint8
  fake::patch<std::uint32_t>(tensors, 4, 7);
  fake::patch<std::uint32_t>(tensors, 8, 0);  // no scale
  fake::patch<std::uint32_t>(tensors, 2 * kRecord, 0x00010200);
  fake::patch<std::uint32_t>(tensors, 3 * kRecord, 0x00010201);
  ModelPackage package;
  ASSERT_TRUE(parse(parts.build(), package).ok());
  EXPECT_FALSE(package.has_front_end);
  EXPECT_EQ(package.inputs.bytes(), 7U + 4U);
  EXPECT_EQ(package.outputs[1].type, TensorType::kInt32);
  EXPECT_EQ(package.state_in.size(), 0U);
  fake::patch<std::uint32_t>(tensors, 2 * kRecord, 0x00020200);  // a gap in the numbers
  EXPECT_EQ(error_of(parts.build()), Error::kPackageMalformed);
}

TEST(Package, StateWithoutOutputIsMalformed) {
  PackageParts parts;
  Bytes& tensors = parts.sections[Section::kTensors];
  tensors.resize(tensors.size() - kRecord);
  EXPECT_EQ(error_of(parts.build()), Error::kPackageMalformed);
}

TEST(Package, SectionsMustEndInsideThePackage) {
  constexpr std::size_t kFirstEntry = 16;
  for (const std::size_t field : {kFirstEntry + 4, kFirstEntry + 8}) {
    Bytes bytes = PackageParts().build();
    fake::patch<std::uint32_t>(bytes, field, 1U << 20);
    fake::seal(bytes);
    EXPECT_EQ(error_of(bytes), Error::kPackageTruncated) << field;
  }
}

TEST(Package, BandOutsideTheSpectrumIsMalformed) {
  PackageParts parts;
  Bytes& front_end = parts.sections[Section::kFrontEnd];
  fake::patch<std::uint16_t>(front_end, front_end.size() - 16 + 6, 193);
  EXPECT_EQ(error_of(parts.build()), Error::kPackageMalformed);
}

TEST(Package, ABinIsInAtMostTwoBandsWhichAreInOrder) {
  for (const auto& [band, first_bin] : {std::pair{2, 32}, {0, 70}}) {
    PackageParts parts;
    Bytes& front_end = parts.sections[Section::kFrontEnd];
    const std::size_t place = front_end.size() - 16 + 2 * static_cast<std::size_t>(band);
    fake::patch(front_end, place, static_cast<std::uint16_t>(first_bin));
    EXPECT_EQ(error_of(parts.build()), Error::kPackageMalformed) << band;
  }
}

TEST(Package, RandomDamageWithAValidChecksumNeverEscapesItsMemory) {
  const Bytes whole = PackageParts().build();
  std::minstd_rand random(1);
  const std::vector<float> magnitudes(padded(kBins), 0.5F);
  Bands bands;
  for (int round = 0; round < 20000; ++round) {
    Bytes bytes = whole;
    for (int change = 0; change < 3; ++change) {
      bytes[16 + random() % (bytes.size() - 16)] = static_cast<std::uint8_t>(random() % 256);
    }
    fake::seal(bytes);
    ModelPackage package;
    if (parse(bytes, package).ok()) {
      for (const TensorRecord& tensor : package.outputs) {
        EXPECT_LE(tensor.arena_offset + tensor.bytes, package.npu_job.arena_bytes);
      }
      if (package.has_front_end) {
        alignas(16) std::uint8_t stored[kPaddedBandBytes] = {};
        float gains[padded(kBins)];
        bands.load(package);
        bands.features({magnitudes.data(), magnitudes.size()}, 1.0F, stored);
        bands.gains(stored, gains);
      }
    }
  }
}

}  // namespace
}  // namespace enhancer
