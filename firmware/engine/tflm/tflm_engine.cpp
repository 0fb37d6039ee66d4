#include "engine/tflm/tflm_engine.h"

#include <algorithm>

#include "engine/tflm/ethos_u_driver.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace enhancer {
namespace {

Status bad_tensor(const TensorRecord& record) {
  return {Error::kTflmTensors, record.bytes, record.position};
}

bool is_npu_operator(const tflite::OperatorCode& code) {
  return code.builtin_code() == tflite::BuiltinOperator_CUSTOM && code.custom_code() != nullptr &&
         code.custom_code()->str() == "ethos-u";
}

bool uses_npu(const tflite::Model& model) {
  const auto& codes = *model.operator_codes();
  return std::any_of(codes.begin(), codes.end(),
                     [](const tflite::OperatorCode* code) { return is_npu_operator(*code); });
}

}  // namespace

Status TflmEngine::load(const ModelPackage& package, Span<std::uint8_t> arena) {
  package_ = &package;
  flatbuffers::Verifier verifier(package.tflite.data(), package.tflite.size());
  if (!tflite::VerifyModelBuffer(verifier)) {
    return {Error::kTflmSchema, TFLITE_SCHEMA_VERSION, 0};
  }
  const tflite::Model& model = *tflite::GetModel(package.tflite.data());
  if (model.version() != TFLITE_SCHEMA_VERSION) {
    return {Error::kTflmSchema, TFLITE_SCHEMA_VERSION, model.version()};
  }
  if (uses_npu(model)) {
    if (const Status status = ethos_u_driver::start(); !status.ok()) {
      return status;
    }
  }
  if (add_operators(resolver_) != kTfLiteOk) {
    return {Error::kTflmOperator};
  }
  if (const Status status = check_operators(model); !status.ok()) {
    return status;
  }
  Arena memory(arena);
  states_.load(package, memory);
  history_.load(package, memory);
  if (const Status status = memory.status(); !status.ok()) {
    return status;
  }
  stored_bytes_ = static_cast<std::size_t>(memory.used_bytes());
  const Span<std::uint8_t> tensors = memory.rest();
  arena_capacity_bytes_ = arena.size();
  interpreter_.emplace(&model, resolver_, tensors.data(), tensors.size());
  if (interpreter_->AllocateTensors() != kTfLiteOk) {
    return {Error::kArenaTooSmall, 0, static_cast<std::uint32_t>(tensors.size())};
  }
  return check_tensors();
}

Status TflmEngine::check_operators(const tflite::Model& model) const {
  for (const tflite::OperatorCode* code : *model.operator_codes()) {
    const bool is_custom = code->builtin_code() == tflite::BuiltinOperator_CUSTOM;
    const TFLMRegistration* found =
        is_custom
            ? resolver_.FindOp(code->custom_code() != nullptr ? code->custom_code()->c_str() : "")
            : resolver_.FindOp(code->builtin_code());
    if (found == nullptr) {
      return {Error::kTflmOperator, 0, static_cast<std::uint32_t>(code->builtin_code())};
    }
  }
  return kOk;
}

TfLiteTensor* TflmEngine::tensor(const TensorRecord& record) {
  const TensorRole role = record.role;
  const bool is_output = role == TensorRole::kOutput || role == TensorRole::kStateOut ||
                         role == TensorRole::kFrameOut || role == TensorRole::kGate;
  if (record.position >= (is_output ? interpreter_->outputs_size() : interpreter_->inputs_size())) {
    return nullptr;
  }
  return is_output ? interpreter_->output(record.position) : interpreter_->input(record.position);
}

Status TflmEngine::check_tensors() {
  for (const TensorList* list :
       {&package_->inputs, &package_->outputs, &package_->state_in, &package_->state_out,
        &package_->delayed_in, &package_->frame_out, &package_->gate}) {
    for (const TensorRecord& record : *list) {
      const TfLiteTensor* found = tensor(record);
      if (found == nullptr || found->bytes != record.bytes ||
          static_cast<int>(found->type) != static_cast<int>(record.type)) {
        return bad_tensor(record);
      }
    }
  }
  return kOk;
}

void TflmEngine::reset_state() {
  states_.reset();
  history_.reset();
  (void)interpreter_->Reset();  // Variable tensors.
}

Span<std::uint8_t> TflmEngine::input(std::size_t index) {
  const TensorRecord& record = package_->inputs[index];
  return {tensor(record)->data.uint8, record.bytes};
}

Span<const std::uint8_t> TflmEngine::output(std::size_t index) {
  const TensorRecord& record = package_->outputs[index];
  return {tensor(record)->data.uint8, record.bytes};
}

Span<const std::uint8_t> TflmEngine::gate() {
  const TensorRecord& record = package_->gate[0];
  return {tensor(record)->data.uint8, record.bytes};
}

Status TflmEngine::wait(std::uint64_t timeout_ticks, NpuCounters& counters) {
  const auto place = [this](const TensorRecord& record) { return tensor(record)->data.uint8; };
  states_.restore(place);
  history_.restore(place);
  ethos_u_driver::set_timeout(timeout_ticks);
  const TfLiteStatus status = interpreter_->Invoke();
  counters = ethos_u_driver::take_counters();
  if (status != kTfLiteOk) {
    return {ethos_u_driver::timed_out() ? Error::kNpuTimeout : Error::kTflmInvoke};
  }
  states_.save(place);
  history_.save(place);
  return kOk;
}

MemoryUse TflmEngine::memory_use() const {
  MemoryUse use;
  // Both ends of the interpreter's part are aligned.
  use.arena_bytes = static_cast<std::uint32_t>(stored_bytes_ + interpreter_->arena_used_bytes() +
                                               2 * Arena::kAlignment);
  use.arena_capacity_bytes = static_cast<std::uint32_t>(arena_capacity_bytes_);
  use.weights_bytes = static_cast<std::uint32_t>(package_->tflite.size());
  return use;
}

}  // namespace enhancer
