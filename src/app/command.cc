#include "mephisto/command.h"

#include <limits>

#include "base/text.h"

namespace mephisto::detail {
namespace {

std::string type_of(const json::Shape& shape) {
  if (shape.kind == json::Kind::kText) return "TEXT";
  return shape.kind == json::Kind::kInteger ? "INTEGER" : "FLOAT";
}

bool take_integer(const std::string& text, const json::IntegerShape& shape, void* out) {
  const int unused = 64 - 8 * shape.size;
  std::int64_t number = 0;
  std::uint64_t wide = 0;
  if (shape.is_signed) {
    const auto most = std::numeric_limits<std::int64_t>::max() >> unused;
    if (!take_number(text, number) || number > most || number < -most - 1) return false;
    wide = static_cast<std::uint64_t>(number);
  } else if (!take_number(text, wide) || wide > std::numeric_limits<std::uint64_t>::max() >> unused) {
    return false;
  }
  shape.set(wide, out);
  return true;
}

bool take_value(const std::string& text, const json::Shape& shape, void* out) {
  switch (shape.kind) {
    case json::Kind::kInteger: return take_integer(text, static_cast<const json::IntegerShape&>(shape), out);
    case json::Kind::kFloat: return take_number(text, *static_cast<float*>(out));
    case json::Kind::kDouble: return take_number(text, *static_cast<double*>(out));
    default: *static_cast<std::string*>(out) = text; return true;
  }
}

bool add_value(const std::string& text, const json::ListShape& shape, void* list) {
  auto take = [&](void* element) { return take_value(text, *shape.element, element); };
  using Take = decltype(take);
  return shape.add(
      list, 0, [](void* element, void* context) { return (*static_cast<Take*>(context))(element); }, &take);
}

// `class_` → `--class`, `max_latency` → `--max-latency`; a positional one is `MAX_LATENCY`.
std::string option_name(std::string_view field, bool positional) {
  std::string name{field};
  for (char& c : name) {
    if (positional && c >= 'a' && c <= 'z')
      c = static_cast<char>(c - 32);
    else if (!positional && c == '_')
      c = '-';
  }
  while (name.ends_with('-')) name.pop_back();
  return positional ? name : "--" + name;
}

// What the field's type says of the option.
void describe(OptionSpec& spec, const json::Field& field, void* place) {
  const auto& shape = *field.shape;
  if (shape.kind == json::Kind::kBool) {
    spec.flag = true;
    spec.take = [place](const std::string&) { return *static_cast<bool*>(place) = true; };
  } else if (shape.kind == json::Kind::kOptional) {
    const auto& optional = static_cast<const json::OptionalShape&>(shape);
    spec.type = type_of(*optional.held);
    spec.take = [&optional, place](const std::string& text) {
      return take_value(text, *optional.held, optional.emplace(place));
    };
  } else if (shape.kind == json::Kind::kList) {
    const auto& list = static_cast<const json::ListShape&>(shape);
    spec.many = true;
    spec.type = type_of(*list.element);
    spec.take = [&list, place](const std::string& text) { return add_value(text, list, place); };
  } else {
    spec.type = type_of(shape);
    if (shape.kind == json::Kind::kText) {
      spec.default_text = *static_cast<const std::string*>(place);
      spec.required = spec.default_text.empty();
    } else {
      Buffer text;
      field.put(text, place, Dialect::kShown);
      spec.default_text = text.view();
    }
    spec.take = [&shape, place](const std::string& text) { return take_value(text, shape, place); };
  }
}

}  // namespace

std::vector<OptionSpec> option_specs(const json::RecordShape& shape, void* options,
                                     const std::vector<OptionHelp>& helps) {
  std::vector<OptionSpec> specs;
  const auto places = json::places_of(shape, options);
  for (std::size_t i = 0; i < shape.fields.size(); ++i) {
    const auto& field = shape.fields[i];
    OptionSpec spec;
    for (const auto& help : helps) {
      if (help.field != field.member) continue;
      spec.help = help.help;
      spec.short_flag = help.short_flag;
      spec.positional = help.positional;
    }
    spec.name = option_name(field.member, spec.positional);
    describe(spec, field, places[i]);
    specs.push_back(std::move(spec));
  }
  return specs;
}

}  // namespace mephisto::detail
