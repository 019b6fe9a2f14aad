// The OpenAPI 3.1 description, whose schemas are those of JSON Schema 2020-12. Source: spec.openapis.org/oas/v3.1.0.
#include <fmt/format.h>

#include <map>

#include "base/text.h"
#include "mephisto/web/page.h"

namespace mephisto {
namespace {

using json::Kind;

std::string quoted(std::string_view text) { return to_json(std::string{text}, Dialect::kShown); }

// Collects the records that it meets, each described once.
class Schemas {
 public:
  std::string of(const json::Shape& shape) {
    switch (shape.kind) {
      case Kind::kBool: return R"({"type":"boolean"})";
      case Kind::kInteger: return R"({"type":"integer"})";
      case Kind::kFloat:
      case Kind::kDouble:
      case Kind::kDuration: return R"({"type":"number"})";
      case Kind::kText:
      case Kind::kBytes:
      case Kind::kDecimal: return R"({"type":"string"})";
      case Kind::kUuid: return R"({"type":"string","format":"uuid"})";
      case Kind::kTime: return R"({"type":"string","format":"date-time"})";
      case Kind::kDate: return R"({"type":"string","format":"date"})";
      case Kind::kNone: return R"({"type":"null"})";
      case Kind::kJson: return "{}";
      case Kind::kEnum: return of_enum(static_cast<const json::EnumShape&>(shape));
      case Kind::kOptional:
        return fmt::format(R"({{"anyOf":[{},{{"type":"null"}}]}})",
                           of(*static_cast<const json::OptionalShape&>(shape).held));
      case Kind::kVariant: {
        std::string all;
        for (const auto& one : static_cast<const json::VariantShape&>(shape).alternatives)
          all += (all.empty() ? "" : ",") + of(*one.shape);
        return fmt::format(R"({{"anyOf":[{}]}})", all);
      }
      case Kind::kTuple: {
        const auto& elements = static_cast<const json::TupleShape&>(shape).elements;
        std::string all;
        for (const auto* one : elements) all += (all.empty() ? "" : ",") + of(*one);
        return fmt::format(R"({{"type":"array","prefixItems":[{}],"minItems":{},"maxItems":{}}})", all, elements.size(),
                           elements.size());
      }
      case Kind::kMap:
        return fmt::format(R"({{"type":"object","additionalProperties":{}}})",
                           of(*static_cast<const json::MapShape&>(shape).mapped));
      case Kind::kList:
        return fmt::format(R"({{"type":"array","items":{}}})", of(*static_cast<const json::ListShape&>(shape).element));
      case Kind::kRecord: return of_record(static_cast<const json::RecordShape&>(shape));
    }
    return "{}";
  }

  // `"Order":{…},"Line":{…}`
  std::string components() const {
    std::string all;
    for (const auto& [name, schema] : by_name_) all += (all.empty() ? "" : ",") + quoted(name) + ":" + schema;
    return all;
  }

 private:
  std::string of_enum(const json::EnumShape& shape) {
    std::string names;
    for (const auto& name : shape.names) names += (names.empty() ? "" : ",") + quoted(name);
    return fmt::format(R"({{"enum":[{}]}})", names);
  }

  std::string of_record(const json::RecordShape& shape) {
    const auto [at, is_new] = names_.try_emplace(&shape);
    if (is_new) {
      // Two records of one name in different namespaces have different numbers.
      std::string name{shape.type};
      std::erase_if(name, [](char c) { return c == '<' || c == '>' || c == ' ' || c == ':' || c == ','; });
      for (int i = 2; by_name_.contains(name); ++i) name = fmt::format("{}_{}", shape.type, i);
      at->second = name;
      by_name_[name];
      const auto may_be_missing = shape.may_be_missing();
      std::string fields;
      std::string required;
      for (std::size_t i = 0; i < shape.fields.size(); ++i) {
        const auto& field = shape.fields[i];
        fields += (fields.empty() ? "" : ",") + quoted(field.name) + ":" + of(*field.shape);
        if ((may_be_missing >> i & 1) == 0) required += (required.empty() ? "" : ",") + quoted(field.name);
      }
      by_name_[name] = fmt::format(R"({{"type":"object","properties":{{{}}},"required":[{}]}})", fields, required);
    }
    return fmt::format(R"({{"$ref":"#/components/schemas/{}"}})", names_.at(&shape));
  }

  std::map<const json::Shape*, std::string> names_;
  std::map<std::string, std::string> by_name_;
};

std::string_view type_of(Kind kind) {
  switch (kind) {
    case Kind::kInteger: return "integer";
    case Kind::kDouble: return "number";
    case Kind::kBool: return "boolean";
    default: return "string";
  }
}

std::string content(const std::string& schema) {
  return fmt::format(R"({{"application/json":{{"schema":{}}}}})", schema);
}

std::string operation(const detail::Page& page, Schemas& schemas) {
  std::string parameters;
  for (std::size_t i = 0; i < page.kinds.size(); ++i) {
    parameters += fmt::format(R"({}{{"name":{},"in":"path","required":true,"schema":{{"type":"{}"}}}})",
                              parameters.empty() ? "" : ",", quoted(page.path.parameters()[i]), type_of(page.kinds[i]));
  }
  std::string text = quoted(to_lower(page.method)) + R"(:{"summary":)" + quoted(page.help);
  text += R"(,"parameters":[)" + parameters + "]";
  if (page.body != nullptr)
    text += R"(,"requestBody":{"required":true,"content":)" + content(schemas.of(*page.body)) + "}";
  text += fmt::format(R"(,"responses":{{"{}":{{"description":"the reply")", page.status);
  if (page.result != nullptr) text += R"(,"content":)" + content(schemas.of(*page.result));
  return text + R"(},"default":{"$ref":"#/components/responses/Error"}}})";
}

}  // namespace

std::string open_api(const std::string& title, const std::string& version, const Router& router) {
  Schemas schemas;
  std::map<std::string, std::string> paths;
  for (const auto& page : router.pages()) {
    // OpenAPI has no name for a parameter of several segments.
    auto path = page.path.text();
    if (path.ends_with("...}")) path.replace(path.size() - 4, 4, "}");
    auto& operations = paths[path];
    operations += (operations.empty() ? "" : ",") + operation(page, schemas);
  }
  std::string all;
  for (const auto& [path, operations] : paths)
    all += fmt::format("{}{}:{{{}}}", all.empty() ? "" : ",", quoted(path), operations);
  std::string text =
      R"({"openapi":"3.1.0","info":{"title":)" + quoted(title) + R"(,"version":)" + quoted(version) + "}";
  text += R"(,"paths":{)" + all + R"(},"components":{"schemas":{)" + schemas.components() + "}";
  text += R"(,"responses":{"Error":{"description":"an error","content":)" +
          content(R"({"type":"object","properties":{"error":{"type":"string"}},"required":["error"]})") + "}}}}";
  return text;
}

}  // namespace mephisto
