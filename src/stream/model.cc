#include "mephisto/topic.h"

namespace mephisto {

detail::ModelInfo detail::model_of(const json::RecordShape& shape) {
  ModelInfo model;
  model.name = shape.ns.empty() ? shape.type : shape.ns;
  const auto initial = json::initial_values(shape);
  for (std::size_t i = 0; i < shape.fields.size(); ++i) {
    const auto& field = shape.fields[i];
    const bool required = !(shape.may_be_missing() >> i & 1);
    model.fields.push_back(
        {std::string{field.name}, json::wire_type(*field.shape), required, required ? "" : initial[i].value_or("")});
  }
  model.check = [&shape](std::string_view text) {
    Result<void> read;
    json::with_new(shape, [&](void* record) { read = json::read_any_shape(json::padded_copy(text), shape, record); });
    return read;
  };
  return model;
}

}  // namespace mephisto
